/* holds_test.c - cut-through ends that a program has closed and been given again, and the slots that they had before: which hold ends when */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include "server/app/app_internal.h"
#include "server/local/local_internal.h"
#include "server/session/session_run.h"
#include "server/worker/worker_private.h"

enum { SLOTS = 4, SEGMENT = 7, OLD_CTX = 1, NEW_CTX = 2, OTHER_CTX = 3, ROOM = 4096 };

static struct stack stack;
static struct app_port port;
static struct worker_private priv;
static struct worker w = { .stack = &stack, .app = &port, .now_us = 1000000, .priv = &priv };
static struct app_pair *pair;
static uint32_t closed_ctx, taken_ctx; /* 0: nobody was told */

static void note_closed(struct worker *of, struct app_worker *a, struct session *s)
{
    (void)of;
    closed_ctx = session_ctx(s, a);
}

static void note_taken(struct worker *of, struct app_worker *a, struct session *s)
{
    (void)of;
    taken_ctx = session_ctx(s, a);
}

static const struct app_ops ops = { .closed = note_closed, .taken = note_taken };
static struct app_worker a = { .ops = &ops, .client_id = 1 }, b = { .ops = &ops, .client_id = 2 };

static void setup(void)
{
    cr_assert_eq(session_stack_create(&stack), 0);
    cr_assert_eq(session_worker_create(&w), 0);
    pair = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(pair, MAP_FAILED);
    static_assert(sizeof(*pair) + SLOTS * sizeof(uint32_t) <= ROOM, "it and its slots");
    pair->slot_next = (uint32_t *)(pair + 1);
    pair->seg_id = SEGMENT;
    port.w = &w;
}

static void teardown(void)
{
    session_worker_destroy(&w);
    session_stack_destroy(&stack);
}

TestSuite(holds, .init = setup, .fini = teardown);

static void hold(struct session *s, struct app_worker *by, uint32_t ctx, bool closed)
{
    s->ctx = ctx;
    cr_assert_eq(session_hold_add(s, by), 0);
    session_hold_of(s, by)->closed = closed;
}

static struct session *established(void)
{
    struct session *s = session_alloc(&w, SVM_PROTO_TCP);

    cr_assert_not_null(s);
    s->state = SESSION_ESTABLISHED;
    return s;
}

static struct svm_msg_slot take_slot(uint32_t slot)
{
    pair->n_used++;
    pair->slot_next[slot] = 1;
    return (struct svm_msg_slot){ SEGMENT, slot };
}

/* Two ends in slot 0: a's by `ctx`, and b's. */
static struct session *joined(uint32_t ctx)
{
    struct session *p = established(), *s = established();

    p->local = s->local = true;
    p->peer = s;
    s->peer = p;
    p->pair = s->pair = pair;
    p->slot = s->slot = take_slot(0);
    hold(p, &a, ctx, false);
    hold(s, &b, OTHER_CTX, false);
    s->app = s->local_user = &b;
    p->local_user = &a;
    return p;
}

/* ---- two holds of one program ---- */

Test(holds, what_was_closed_before_is_over)
{
    struct session *s = established();
    struct svm_handle handle = s->handle;
    struct session_hold *closed;

    hold(s, &a, OLD_CTX, true);
    closed = session_hold_of(s, &a);
    hold(s, &a, NEW_CTX, false);
    session_hold_over(&w, s, closed, true);
    cr_assert_eq(closed_ctx, OLD_CTX);
    cr_assert(session_is_held_by(s, &a), "the open one stays");
    cr_assert_eq(session_ctx(s, &a), NEW_CTX);
    cr_assert_eq(a.n_sessions, 1);
    app_worker_detach(&w, &a);
    cr_assert_eq(a.n_sessions, 0);
    cr_assert_null(session_from_handle(&w, handle), "its end is the session's");
}

/* It closes its end, is given it again and uses it in another slot: the other end's answer about the first one is about what it closed. */
static struct session *closed_and_given_again(void)
{
    struct session *p = joined(OLD_CTX);

    session_hold_of(p, &a)->closed = true;
    cr_assert(local_old_keep(p->peer, p, &a));
    p->slot = p->peer->slot = take_slot(1);
    hold(p, &a, NEW_CTX, false);
    return p;
}

Test(holds, an_old_slot_is_of_the_hold_that_used_it)
{
    struct session *p = closed_and_given_again();
    const struct svm_msg_slot old = { SEGMENT, 0 };

    p->app = &a;
    local_unlinked(&w, p->peer, &b, &old);
    cr_assert_eq(closed_ctx, OLD_CTX);
    cr_assert_eq(taken_ctx, 0, "nobody has taken the new one");
    cr_assert_eq(pair->n_used, 1, "the old slot is free");
    cr_assert(session_is_held_by(p, &a));
    cr_assert_eq(a.n_sessions, 1);
}

Test(holds, what_is_closed_unused_leaves_the_one_before_as_it_is)
{
    struct session *p = joined(OLD_CTX);
    const struct svm_msg_slot old = { SEGMENT, 0 };

    session_hold_of(p, &a)->closed = true;
    hold(p, &b, OTHER_CTX + 1, false); /* another holder, so that it goes on */
    hold(p, &a, NEW_CTX, false);
    p->ctx = OLD_CTX; /* by which it was used last */
    session_close(&w, &a, p, -1);
    cr_assert_eq(closed_ctx, NEW_CTX);
    cr_assert_eq(a.n_sessions, 1);
    cr_assert_eq(p->local_user, &a, "what it wrote by the first one is read still");
    cr_assert(local_old_keep(p->peer, p, &a));
    closed_ctx = 0;
    local_unlinked(&w, p->peer, &b, &old);
    cr_assert_eq(closed_ctx, OLD_CTX);
    cr_assert_eq(a.n_sessions, 0);
}

/* ---- slots of before ---- */

/* An end that has been in two slots before, one of them the server's now. */
static struct session *with_slots(void)
{
    struct session *p = joined(OLD_CTX);
    struct svm_msg_slot left;

    cr_assert(local_old_keep(p, p->peer, NULL));
    p->slot = p->peer->slot = take_slot(1);
    left = take_slot(2);
    local_left_add(p, &a, pair, &left);
    app_pair_put(&w, pair, 2); /* it alone counts on it */
    cr_assert_eq(pair->n_used, 3);
    return p;
}

Test(holds, an_end_that_is_returned_leaves_no_slot)
{
    struct session *p = with_slots(), *s = p->peer;

    session_hold_remove(p, &a);
    s->state = SESSION_CLOSING;
    s->local_moving = true; /* it has not been told of this slot */
    local_returned(&w, p, NULL);
    cr_assert_eq(pair->n_used, 0);
    cr_assert_eq(session_count(&w), 0);
}

Test(holds, nor_when_the_other_one_has_gone)
{
    struct session *p = with_slots(), *s = p->peer;

    p->peer = s->peer = NULL;
    s->pair = NULL;
    session_hold_remove(p, &a);
    local_returned(&w, p, NULL);
    cr_assert_eq(pair->n_used, 0);
    cr_assert_eq(session_count(&w), 1);
}

Test(holds, slots_are_not_looked_at_when_the_server_ends)
{
    with_slots();
    w.app = NULL;
    cr_assert_eq(munmap(pair, ROOM), 0);
    session_worker_destroy(&w);
    cr_assert_null(w.session);
}
