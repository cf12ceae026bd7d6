/* app_notify_test.c - when a sleeping program is woken: at once, or when the worker is near the end of what it has asked for */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "server/app/app_internal.h"
#include "server/session/session_run.h"
#include "server/worker/worker_private.h"

enum { LEN = 256, TURN_US = 10 };

static struct stack stack;
static struct app_port port;
static struct worker_private priv;
static struct worker w = { .stack = &stack, .app = &port, .now_us = 1000000, .priv = &priv };
static struct svm_presence_page page;
static struct svm_msgq_prod_line in_prod, out_prod;
static struct svm_msgq_cons_line in_cons, out_cons;
static struct svm_msg in[LEN], out[LEN];
static struct svm_msgq_prod asks; /* the program's ends */
static struct svm_msgq_cons hears;
static struct app_client *c;
static struct app_port_client *pc;
static int bell[2];

static void setup(void)
{
    cr_assert_eq(session_stack_create(&stack), 0);
    cr_assert_eq(session_worker_create(&w), 0);
    cr_assert_eq(pipe2(bell, O_NONBLOCK), 0);
    c = calloc(1, sizeof(*c) + sizeof(c->per[0]));
    c->p.base = (uint8_t *)&page;
    c->bell_wr = bell[1];
    pc = &c->per[0];
    pc->client = c;
    pc->w = &w;
    pc->has_queues = true;
    pc->in = (struct svm_msgq_cons){ .line = &in_cons, .peer = &in_prod, .entries = in, .mask = LEN - 1 };
    pc->out = (struct svm_msgq_prod){ .line = &out_prod, .peer = &out_cons, .entries = out, .mask = LEN - 1 };
    asks = (struct svm_msgq_prod){ .line = &in_prod, .peer = &in_cons, .entries = in, .mask = LEN - 1 };
    hears = (struct svm_msgq_cons){ .line = &out_cons, .peer = &out_prod, .entries = out, .mask = LEN - 1 };
    port.w = &w;
    port.clients = pc;
    svm_sleep_begin(&page.sleep);
}

static void teardown(void)
{
    close(bell[0]);
    close(bell[1]);
    free(c);
    session_worker_destroy(&w);
    session_stack_destroy(&stack);
}

TestSuite(app_notify, .init = setup, .fini = teardown);

static void ask(unsigned n)
{
    struct svm_msg m = { .type = SVM_MSG_DATA }; /* of no session that there is */

    while (n--)
        cr_assert_eq(svm_msgq_post(&asks, &m), 0);
}

/* A turn that has some news for the program. How often it was rung for? */
static unsigned turn(uint64_t us, unsigned n_news)
{
    struct svm_msg news = { .type = SVM_MSG_DATA };
    char rung[16];
    ssize_t n;

    w.now_us += us;
    app_port_input(&w);
    while (n_news--)
        app_notify_post(pc, &news);
    app_port_flush(&w);
    n = read(bell[0], rung, sizeof(rung));
    return n > 0 ? (unsigned)n : 0;
}

Test(app_notify, who_has_asked_for_little_is_woken_at_once)
{
    ask(2 * APP_BURST); /* what is left is done in the next turn */
    cr_assert_eq(turn(TURN_US, 1), 1);
    cr_assert_eq(turn(TURN_US, 1), 0, "once for each sleep");
    svm_sleep_end(&page.sleep);
    svm_sleep_begin(&page.sleep);
    cr_assert_eq(turn(TURN_US, 1), 1);
}

Test(app_notify, who_has_asked_for_much_is_woken_near_its_end)
{
    ask(4 * APP_BURST);
    cr_assert_eq(turn(TURN_US, 1), 0);
    cr_assert_eq(turn(TURN_US, 0), 0);
    cr_assert_eq(turn(TURN_US, 0), 1, "for news of two turns ago");
    cr_assert_eq(turn(TURN_US, 0), 0);
    ask(4 * APP_BURST);
    svm_sleep_end(&page.sleep);
    svm_sleep_begin(&page.sleep);
    cr_assert_eq(turn(APP_RING_LATER_US * 10, 1), 0, "each wait begins anew");
    cr_assert_eq(turn(APP_RING_LATER_US, 1), 1, "it does not wait for ever");
}

Test(app_notify, a_full_queue_does_not_wait)
{
    ask(4 * APP_BURST);
    cr_assert_eq(turn(TURN_US, LEN + 1), 1);
    cr_assert_eq(pc->n_pending, 1);
}

Test(app_notify, who_sleeps_later_is_not_forgotten)
{
    svm_sleep_end(&page.sleep);
    ask(4 * APP_BURST);
    cr_assert_eq(turn(TURN_US, 1), 0);
    svm_sleep_begin(&page.sleep); /* and did not look once more, which it must: it is rung for all the same */
    cr_assert_eq(turn(TURN_US, 0), 0);
    cr_assert_eq(turn(TURN_US, 0), 1);
}

static enum app_presence presence(void) { return app_client_ops.presence(&w, &pc->aw); }

/* Whom connections are offered to that others could have, too. */
Test(app_notify, who_waits_or_speaks_is_here)
{
    cr_assert_eq(presence(), APP_HERE, "it sleeps");
    svm_sleep_end(&page.sleep);
    cr_assert_eq(presence(), APP_LEFT, "it has never said anything");
    ask(1);
    turn(TURN_US, 0);
    cr_assert_eq(presence(), APP_HERE);
    w.now_us += 2 * APP_QUIET_US;
    cr_assert_eq(presence(), APP_QUIET);
    svm_sleep_begin(&page.sleep);
    cr_assert_eq(presence(), APP_HERE);
    cr_assert_eq(turn(TURN_US, 1), 1);
    svm_sleep_end(&page.sleep);
    cr_assert_eq(presence(), APP_HERE, "it has been woken, and will speak");
}
