/* holds_test.c - cut-through ends that a program has closed and been given again, and the slots that they had before: which hold ends when;
 * and whose turn it is when several programs want one session */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "server/app/app_internal.h"
#include "server/local/local_internal.h"
#include "server/session/session_run.h"
#include "server/worker/worker_private.h"

enum { SLOTS = 4, SEGMENT = 7, OLD_CTX = 1, NEW_CTX = 2, OTHER_CTX = 3, ROOM = 4096, AREA = 1 << 20 };

static struct stack stack;
static struct app_server server;
static struct app_port port = { .as = &server };
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

static void note_reset(struct worker *of, struct app_worker *by, struct session *s, int error)
{
    (void)of;
    (void)by;
    (void)s;
    (void)error;
}

static struct {
    const struct app_worker *a;
    int error;
    uint8_t flags, question;
    unsigned n;
} told; /* about the last claim that something was said about */

static void note_claimed(struct worker *of, struct app_worker *by, struct session *s, uint8_t flags, int error)
{
    (void)of;
    told.a = by;
    told.error = error;
    told.flags = flags;
    told.question = session_question(s, by);
    told.n++;
}

static const struct app_ops ops = { .closed = note_closed, .taken = note_taken, .reset = note_reset, .claimed = note_claimed };
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

/* ---- programs that have both ends, or several of them one ---- */

Test(holds, who_closes_one_end_is_a_former_user_of_the_other_still)
{
    struct session *p = joined(OLD_CTX), *s = p->peer;
    const struct svm_msg_slot old = { SEGMENT, 0 };

    cr_assert(local_old_keep(s, p, &a)); /* b has claimed p, and is told as the user of s */
    p->slot = s->slot = take_slot(1);
    p->local_user = &b;
    hold(s, &a, NEW_CTX, false);
    s->ctx = OTHER_CTX;
    session_close(&w, &a, s, -1);
    cr_assert_eq(closed_ctx, NEW_CTX);
    local_unlinked(&w, s, &b, &old);
    cr_assert_eq(taken_ctx, OLD_CTX, "it looks at what it had of p no more");
    cr_assert_eq(pair->n_used, 2, "until it has said so the slot is nobody else's");
    local_unlinked(&w, p, &a, &old);
    cr_assert_eq(pair->n_used, 1);
}

Test(holds, a_former_user_answers_for_its_own_slot_when_the_other_end_has_gone)
{
    struct session *p = joined(OLD_CTX), *s = p->peer;
    const struct svm_msg_slot slot[2] = { { SEGMENT, 0 }, { SEGMENT, 1 } };

    cr_assert(local_old_keep(s, p, &a));
    p->slot = s->slot = take_slot(1);
    hold(p, &b, NEW_CTX, false);
    cr_assert(local_old_keep(s, p, &b));
    p->slot = s->slot = take_slot(2);
    local_old_put(&w, s);
    p->peer = s->peer = NULL;
    session_hold_remove(s, &b);
    session_free(&w, s);
    local_unlinked(&w, p, &b, &slot[1]);
    cr_assert_eq(pair->n_used, 2, "a has not said that it is out of its slot");
    local_unlinked(&w, p, &a, &slot[0]);
    cr_assert_eq(pair->n_used, 1);
}

Test(holds, nor_is_a_slot_free_when_the_end_that_read_there_is_returned)
{
    struct session *p = joined(OLD_CTX), *s = p->peer;
    const struct svm_msg_slot old = { SEGMENT, 0 };

    p->app = &a;
    cr_assert(local_old_keep(p, s, &b)); /* somebody else has claimed s, and a has read what b wrote */
    p->slot = s->slot = take_slot(1);
    local_unlinked(&w, p, &a, &old);
    cr_assert_eq(taken_ctx, OTHER_CTX);
    session_hold_remove(p, &a);
    local_returned(&w, p, NULL);
    cr_assert_eq(pair->n_used, 2);
    local_unlinked(&w, s, &b, &old);
    cr_assert_eq(pair->n_used, 1, "where a has read; s is asked about it when it is given away again");
}

static struct session *listening(void)
{
    struct session *s = established();

    s->state = SESSION_LISTENING;
    hold(s, &a, OTHER_CTX + 1, false);
    s->app = &a;
    cr_assert_eq(listener_create(&w, s, 1), 0);
    return s;
}

/* b writes, somebody else claims b's end, and a gives its own end back before it has heard of that: what b wrote is in a slot that nobody
 * who accepts it will know. */
Test(holds, what_was_written_before_a_claim_comes_along_with_a_returned_end)
{
    struct session *p = joined(OLD_CTX), *s = p->peer, *l = listening();
    struct svm_region_table regions = { .n = 2 };
    struct svm_ring_alloc rings;
    struct svm_fifo_prod wrote;
    const struct svm_msg_slot now = { SEGMENT, 1 };
    struct svm_slot_pair *slot;
    struct session_rest *rest;

    pair->seg = (struct svm_segment){ mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), AREA, -1 };
    cr_assert_neq(pair->seg.base, MAP_FAILED);
    regions.r[0] = regions.r[1] = app_pair_region(pair);
    svm_ring_alloc_init(&rings);
    cr_assert_eq(svm_ring_alloc_add(&rings, 0, AREA / 2, AREA / 2, -1, false), 0);
    slot = app_pair_slot(pair, 0);
    p->local_side = 1;
    svm_fifo_prod_init(&wrote, &slot->side[0].tx, &slot->side[1].rx, &regions, &svm_ring_alloc_ops, &rings, SVM_PAIR_FIFO_MAX);
    cr_assert_eq(svm_fifo_enqueue(&wrote, "before", 6), 6);
    p->origin = l->handle;
    p->app = &a;
    cr_assert(local_old_keep(p, s, NULL)); /* b's hold has gone with it */
    p->slot = s->slot = take_slot(1);
    session_return(&w, &a, p);
    cr_assert_eq(closed_ctx, OLD_CTX);
    cr_assert_eq(p->state, SESSION_ACCEPTING);
    cr_assert(p->is_queued, "it waits for who accepts it");
    rest = session_tx_rest(s);
    cr_assert_not_null(rest);
    cr_assert_eq(rest->len - rest->off, 6);
    cr_assert_eq(memcmp(rest->bytes + rest->off, "before", 6), 0);
    cr_assert_eq(slot->side[1].tx.flags & SVM_FIFO_MOVED, SVM_FIFO_MOVED, "a touches the slot no more");
    cr_assert_eq(taken_ctx, OTHER_CTX);
    cr_assert_eq(pair->n_used, 1, "the last one, where b may look until it has answered");
    session_unlink(&w, &b, s, &now);
    cr_assert_eq(pair->n_used, 0);
}

/* ---- turns ---- */

static struct svm_fifo_cons_line line; /* of whoever has the session */

/* Two programs hold it, and it has just been given to a. */
static struct session *given(void)
{
    struct session *s = established();

    memset(&line, 0, sizeof(line));
    memset(&told, 0, sizeof(told));
    timer_wheel_init(&w.timers, w.now_us);
    s->fifos = calloc(1, sizeof(*s->fifos));
    cr_assert_not_null(s->fifos);
    s->fifos->rx.peer = &line;
    s->has_fifos = true;
    hold(s, &a, OLD_CTX, false);
    hold(s, &b, OTHER_CTX, false);
    s->app = &b;
    s->mem = &b; /* who gets it next needs no memory for it */
    session_set_user(&w, s, &a);
    return s;
}

static void pass_us(uint64_t us)
{
    for (uint64_t end = w.now_us + us; w.now_us < end; w.now_us += TIMER_TICK_US)
        timer_wheel_run(&w.timers, &w, w.now_us);
}

static void taken_apart(struct session *s)
{
    s->has_fifos = false;
    free(s->fifos);
    s->fifos = NULL;
    session_hold_remove(s, &a);
    session_hold_remove(s, &b);
    session_free(&w, s);
}

static void claim_early(struct session *s)
{
    session_claim(&w, &b, s, OTHER_CTX, 1);
    cr_assert_eq(told.a, &b);
    cr_assert_eq(told.error, -EINPROGRESS, "a has been given it and has not been there yet");
    cr_assert_eq(s->app, &a);
    pass_us(1000);
    cr_assert_eq(s->app, &a);
    cr_assert_eq(told.n, 1);
}

Test(holds, who_has_been_given_a_session_keeps_it_until_it_has_looked)
{
    struct session *s = given();

    claim_early(s);
    line.flags |= SVM_FIFO_RD_LOOKED;
    pass_us(1000);
    cr_assert_eq(s->app, &b, "then the other one has it, who asked once");
    cr_assert_eq(told.a, &b);
    cr_assert_eq(told.error, 0);
    taken_apart(s);
}

Test(holds, or_for_a_moment_if_it_does_not_look)
{
    struct session *s = given();

    claim_early(s);
    session_claim(&w, &b, s, OTHER_CTX, 2); /* and asking again makes the moment neither shorter nor longer */
    cr_assert_eq(told.error, -EINPROGRESS);
    pass_us(20000);
    cr_assert_eq(s->app, &b);
    cr_assert_eq(told.error, 0);
    taken_apart(s);
}

Test(holds, who_asks_after_a_turn_is_over_does_not_wait)
{
    struct session *s = given();

    line.flags |= SVM_FIFO_RD_LOOKED;
    session_claim(&w, &b, s, OTHER_CTX, 1);
    cr_assert_eq(s->app, &b);
    cr_assert_eq(told.error, 0);
    cr_assert_eq(taken_ctx, OLD_CTX);
    taken_apart(s);
}

Test(holds, a_session_that_waits_for_a_turn_may_go)
{
    struct session *s = given();

    claim_early(s);
    taken_apart(s);
    pass_us(20000); /* nothing fires */
    cr_assert_eq(told.n, 1);
}

/* ---- ends ---- */

/* b has used it, and its FIFO, which says so, is not a's any more. */
Test(holds, that_a_former_user_has_ended_it_the_user_is_told)
{
    struct session *p = joined(OLD_CTX);

    memset(&told, 0, sizeof(told));
    p->app = &a;
    session_hold_of(p, &a)->question = 5;
    session_shutdown(&w, p, SHUT_RD);
    cr_assert_eq(told.n, 0);
    hold(p, &b, NEW_CTX, false);
    p->ctx = OLD_CTX;
    session_shutdown(&w, p, SHUT_WR);
    cr_assert_eq(told.n, 1);
    cr_assert_eq(told.a, &a);
    cr_assert_eq(told.error, 0);
    cr_assert(told.flags & SVM_CLAIM_WR_SHUT);
    cr_assert_eq(told.question, 0, "it is no answer: who has been answered and has FIFOs takes that for a peer's lie");
    session_shutdown(&w, p, SHUT_RDWR);
    cr_assert_eq(told.n, 1);
}
