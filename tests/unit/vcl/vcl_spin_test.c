/* vcl_spin_test.c - a program that polls gives its core away; one that works between its calls does not, nor one whose core is kept */
#include <criterion/criterion.h>
#include <sched.h>
#include "vcl/vcl_internal.h"

static struct {
    unsigned n;
    int64_t keep_ns;         /* somebody keeps the core for so long */
    int64_t back_ns;         /* from the last one */
    int64_t shortest_ns;     /* between two */
} yields;

int sched_yield(void) /* in place of libc's */
{
    int64_t begin = vcl_now_ns();

    if (yields.n && begin - yields.back_ns < yields.shortest_ns)
        yields.shortest_ns = begin - yields.back_ns;
    while (vcl_now_ns() - begin < yields.keep_ns)
        ;
    yields.n++;
    yields.back_ns = vcl_now_ns();
    return 0;
}

static void poll_until(struct vcl_spin *sp, unsigned n_yields)
{
    int64_t limit = vcl_now_ns() + 20000000000;

    while (yields.n < n_yields && vcl_now_ns() < limit)
        for (int i = 0; i < 1000; i++)
            vcl_spin_vain(sp);
}

Test(vcl_spin, who_polls_gives_the_core_away)
{
    struct vcl_spin sp;

    vcl_spin_init(&sp);
    yields.shortest_ns = INT64_MAX;
    poll_until(&sp, 100);
    cr_assert_geq(yields.n, 100, "%u", yields.n);
}

Test(vcl_spin, who_works_between_its_calls_does_not)
{
    struct vcl_spin sp;

    vcl_spin_init(&sp);
    for (int i = 0; i < 500; i++) {
        int64_t begin = vcl_now_ns();
        while (vcl_now_ns() - begin < 2000)
            ;
        vcl_spin_vain(&sp);
    }
    cr_assert_eq(yields.n, 0, "%u", yields.n);
}

Test(vcl_spin, a_core_that_was_kept_is_not_given_away_again_soon)
{
    struct vcl_spin sp;

    vcl_spin_init(&sp);
    yields.keep_ns = 3000000;
    yields.shortest_ns = INT64_MAX;
    poll_until(&sp, 3);
    cr_assert_geq(yields.n, 3, "%u", yields.n);
    cr_assert_geq(yields.shortest_ns, 20000000, "%lld ns", (long long)yields.shortest_ns);
}
