/* vcl_set_test.c - a thread that goes to sleep in an epoll set while another one adds to it
 *
 * Without a server: the sockets are listeners that it does not know, and the test says itself that their workers are attached. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

#define LIMIT_NS 40000000000ll /* for what happens at once */

static struct vcl_worker first, second; /* of two attachments; a set may have sockets of both */

static struct vcl_socket *listener(struct vcl_worker *w)
{
    struct vcl_socket *s;

    vcl_worker_init(w);
    s = vcl_socket_alloc(w, SVM_PROTO_TCP, false);
    cr_assert_not_null(s);
    atomic_store(&s->state, VCL_LISTENING);
    atomic_store(&w->attached, true); /* nobody looks for a server */
    return s;
}

static atomic_int sleeper;

static void *wait_in(void *set)
{
    struct epoll_event ev = { 0 };

    atomic_store(&sleeper, (int)syscall(SYS_gettid));
    return vcl_set_wait(set, &ev, 1, NULL, NULL) == 1 ? (void *)(uintptr_t)ev.data.u64 : NULL;
}

static bool is_asleep(void)
{
    char path[64], state = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&sleeper));
    f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        fclose(f);
    }
    return state == 'S';
}

static bool is_announced(void)
{
    unsigned n;

    pthread_mutex_lock(&second.lock);
    n = second.n_sleepers;
    pthread_mutex_unlock(&second.lock);
    return n == 1;
}

static bool comes(bool (*what)(void))
{
    int64_t limit = vcl_now_ns() + LIMIT_NS;

    while (!what() && vcl_now_ns() < limit)
        sched_yield();
    return what();
}

/* The thread has begun to say of whom it waits for something, and is held up at the first one: what is added meanwhile it must say, too,
 * before it sleeps. Nobody rings for who has not. */
static void added_meanwhile(struct vcl_set *set)
{
    struct vcl_socket *a = listener(&first), *b = listener(&second);
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
    void *told = NULL;
    pthread_t t;

    cr_assert_eq(vcl_set_add(set, a, 1, &ev), 0);
    atomic_store(&first.attached, false); /* there is nothing to take from it: it is locked for the announcement alone */
    pthread_mutex_lock(&first.lock);
    cr_assert_eq(pthread_create(&t, NULL, wait_in, set), 0);
    cr_assert(comes(is_asleep), "it waits for the lock");
    atomic_store(&first.attached, true);
    ev.data.u64 = 2;
    cr_assert_eq(vcl_set_add(set, b, 1, &ev), 0);
    pthread_mutex_unlock(&first.lock);
    cr_assert(comes(is_announced), "it sleeps, and nobody knows that it has to be woken");
    pthread_mutex_lock(&second.lock);
    atomic_store(&b->n_acc, 1);
    vcl_set_notify(b, EPOLLIN);
    pthread_mutex_unlock(&second.lock);
    cr_assert_eq(pthread_join(t, &told), 0);
    cr_assert_eq((uintptr_t)told, 2);
}

Test(vcl_set, a_worker_that_comes_while_a_thread_goes_to_sleep)
{
    struct vcl_set *set;

    cr_assert_eq(vcl_set_new(sys_epoll_create(), &set), 0);
    added_meanwhile(set);
}

Test(vcl_set, the_same_with_news)
{
    struct vcl_set *set;

    cr_assert_eq(vcl_set_new_for_news(&set), 0);
    added_meanwhile(set);
}
