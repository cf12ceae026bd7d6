/* app_notify_test.c - when a sleeping program is woken: at once, or when the worker is near the end of what it has asked for; offers */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "server/app/app_internal.h"
#include "server/session/session_internal.h"
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
    stack.n_workers = 1;
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

/* ---- offers ---- */

static uint32_t offer(struct session *s)
{
    static struct listener l;

    *s = (struct session){ .state = SESSION_ACCEPTING, .app = &pc->aw };
    cr_assert_eq(session_hold_add(s, &pc->aw), 0);
    app_client_ops.accept(&w, &pc->aw, &l, s);
    return session_ctx(s, &pc->aw);
}

static void end(struct session *s)
{
    app_client_ops.closed(&w, &pc->aw, s);
    session_hold_remove(s, &pc->aw);
}

static struct svm_msg heard(uint8_t type)
{
    struct svm_msg m;

    do
        cr_assert_eq(svm_msgq_take(&hears, &m, 1), 1);
    while (m.type != type);
    return m;
}

Test(app_notify, an_offer_is_taken_or_withdrawn)
{
    struct session s;
    uint32_t id = offer(&s), before = id;

    cr_assert_eq((uint32_t)heard(SVM_MSG_ACCEPT).u.conn.error, id);
    cr_assert_eq(page.offer[id % SVM_OFFERS], id);
    cr_assert(app_client_ops.withdraw(&w, &pc->aw, &s));
    cr_assert_eq(page.offer[id % SVM_OFFERS], 0, "the program finds that it has gone");
    end(&s);
    cr_assert_eq(heard(SVM_MSG_CLOSED).ctx, id);
    id = offer(&s);
    cr_assert_neq(id, before);
    page.offer[id % SVM_OFFERS] = 0; /* the program takes it */
    cr_assert_not(app_client_ops.withdraw(&w, &pc->aw, &s));
    end(&s);
}

Test(app_notify, an_offer_that_ends_is_none)
{
    struct session s;
    uint32_t id = offer(&s);

    end(&s);
    cr_assert_eq(page.offer[id % SVM_OFFERS], 0);
    cr_assert_eq(pc->n_offered, 0);
}

/* What a program writes there changes nothing for the server. */
Test(app_notify, offers_are_bounded)
{
    struct session *s = calloc(SVM_OFFERS, sizeof(*s));
    uint32_t id[SVM_OFFERS];

    for (unsigned i = 0; i < SVM_OFFERS; i++) {
        cr_assert_neq(app_client_ops.presence(&w, &pc->aw), APP_FULL);
        id[i] = offer(&s[i]);
        page.offer[id[i] % SVM_OFFERS] = i % 2 ? id[0] : 7;
    }
    cr_assert_eq(app_client_ops.presence(&w, &pc->aw), APP_FULL);
    app_notify_offer_over(pc, 5); /* a session's own number */
    cr_assert_eq(app_client_ops.presence(&w, &pc->aw), APP_FULL);
    session_hold_of(&s[9], &pc->aw)->ctx = 3; /* it has been accepted */
    app_notify_offer_over(pc, id[9]);
    app_notify_offer_over(pc, id[9]);
    cr_assert_eq(pc->n_offered, SVM_OFFERS - 1);
    cr_assert_neq(app_client_ops.presence(&w, &pc->aw), APP_FULL);
    for (unsigned i = 0; i < SVM_OFFERS; i++)
        end(&s[i]);
    cr_assert_eq(pc->n_offered, 0);
    free(s);
}

Test(app_notify, who_waits_for_connections_says_so)
{
    cr_assert_eq(app_client_ops.presence(&w, &pc->aw), APP_HERE, "it sleeps in a call");
    page.accepting = 2;
    cr_assert_eq(app_client_ops.presence(&w, &pc->aw), APP_ACCEPTS);
    page.accepting = 0;
    svm_sleep_end(&page.sleep);
    pc->heard_us = w.now_us;
    w.now_us += APP_QUIET_US;
    cr_assert_eq(app_client_ops.presence(&w, &pc->aw), APP_QUIET);
    app_notify_post(pc, &(struct svm_msg){ .type = SVM_MSG_DATA });
    cr_assert_eq(app_client_ops.presence(&w, &pc->aw), APP_LEFT, "it does not look at what it is told");
}

/* A child that has not attached has no page, and a program may give its sessions any number. */
Test(app_notify, what_only_looks_like_an_offer_is_none)
{
    struct session s = { .state = SESSION_ESTABLISHED, .app = &pc->aw };

    cr_assert_eq(session_hold_add(&s, &pc->aw), 0);
    session_hold_of(&s, &pc->aw)->ctx = SVM_OFFER_MARK | 5;
    c->p.base = NULL;
    end(&s);
    c->p.base = (uint8_t *)&page;
    cr_assert_eq(session_hold_add(&s, &pc->aw), 0);
    session_hold_of(&s, &pc->aw)->ctx = SVM_OFFER_MARK | 5;
    page.offer[5] = SVM_OFFER_MARK | 5;
    end(&s);
    cr_assert_eq(page.offer[5], SVM_OFFER_MARK | 5);
    cr_assert_eq(pc->n_offered, 0);
}
