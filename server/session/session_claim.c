/* session_claim.c - a session that several programs hold (fork, exec, passed descriptors): who uses it has its FIFOs in its memory
 *
 * Who wants to use it claims it, and is given new FIFOs with all that is in the old ones; the former user finds "moved" in the old ones
 * (and is told), and claims it back if it goes on with it. So no two programs ever share a FIFO side.
 *
 *   user = s->app, mem = s->app or the server's own (its user has let go of it; the next one takes it from there) */
#include "server/session/session_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "server/local/local.h"

bool session_is_carried(const struct session *s)
{
    return hs_unlikely(s->proto == SVM_PROTO_SCTP) && s->ops == &local_relay_ops;
}

static uint8_t claim_flags(const struct session *s)
{
    return (uint8_t)((s->has_fifos || s->is_asleep || s->local ? SVM_CLAIM_FIFOS : 0) | (s->state == SESSION_LISTENING ? SVM_CLAIM_LISTENS : 0) |
                     (s->state == SESSION_CONNECTING ? SVM_CLAIM_CONNECTS : 0) | (s->tx_fin_told ? SVM_CLAIM_WR_SHUT : 0) |
                     (s->rare && s->rare->rest_fd ? SVM_CLAIM_REST : 0) | (session_open_holds(s) == 1 ? SVM_CLAIM_ONLY : 0) |
                     (session_is_carried(s) ? SVM_CLAIM_CARRIED : 0));
}

/* ---- what a former cut-through peer wrote: kept here for the next holder, looked at by programs only ---- */
int session_rest_put(struct session *s, struct app_worker *a, int fd, uint32_t *id)
{
    enum { RESTS_MAX = 256 };
    struct session_rare *r = session_rare_get(s);

    if (!r)
        return -ENOMEM;
    if (r->rest_by != a && a->n_rests >= RESTS_MAX)
        return -EMFILE;
    session_rest_drop(s);
    r->rest_fd = fd + 1;
    r->rest_by = a;
    a->n_rests++;
    *id = ++r->rest_id;
    return 0;
}

int session_rest_get(const struct session *s, uint32_t *id)
{
    const struct session_rare *r = s->rare;
    int fd;

    *id = r ? r->rest_id : 0;
    if (!r || !r->rest_fd)
        return -ENOENT;
    fd = fcntl(r->rest_fd - 1, F_DUPFD_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

/* There is one. Another holder answers for it; NULL = nobody has to. */
void session_rest_passes(struct session *s, struct app_worker *to)
{
    struct session_rare *r = s->rare;

    if (r->rest_by)
        r->rest_by->n_rests--;
    r->rest_by = to;
    if (to)
        to->n_rests++;
}

void session_rest_drop(struct session *s)
{
    if (!s->rare || !s->rare->rest_fd)
        return;
    close(s->rare->rest_fd - 1);
    s->rare->rest_fd = 0;
    session_rest_passes(s, NULL);
}

void session_claim_done(struct worker *w, struct session *s, uint8_t flags, int error)
{
    struct app_worker *a = s->app;

    a->ops->claimed(w, a, s, claim_flags(s) | flags, error);
    if (error == 0 && s->state == SESSION_DEAD && s->error)
        a->ops->reset(w, a, s, s->error);
}

/* ---- turns ----
 *
 * Who has been given a session finds it there with its next call: until it has looked (SVM_FIFO_RD_LOOKED, a word of its own that shortens
 * its own turn), or for so long. Who claims it meanwhile is told when the turn is over. So nobody who asks all the time takes it from
 * one who needs it once. */
enum { TURN_US = 4000, TURN_LOOK_US = 2 * TIMER_TICK_US };

static bool has_turn(const struct worker *w, const struct session *s)
{
    const struct session_rare *r = s->rare;
    const struct svm_fifo_cons_line *line;

    if (hs_likely(!r || !r->given_us || !s->app) || w->now_us - r->given_us >= TURN_US)
        return false;
    line = s->local ? local_line(s) : s->has_fifos ? s->fifos->rx.peer : NULL;
    return line && !(__atomic_load_n(&line->flags, __ATOMIC_RELAXED) & SVM_FIFO_RD_LOOKED);
}

static void turn_look(struct worker *w, struct timer_node *t)
{
    struct session *s = hs_container_of(t, struct session_rare, turn_timer)->turn_of;

    if (has_turn(w, s))
        timer_start(&w->timers, t, w->now_us + TURN_LOOK_US);
    else
        session_claims_retry(w, s);
}

static void turn_begins(struct worker *w, struct session *s)
{
    struct session_rare *r = session_open_holds(s) > 1 ? session_rare_get(s) : NULL; /* without memory it has none */

    if (r)
        r->given_us = w->now_us;
}

static void turn_wait(struct worker *w, struct session *s, struct session_hold *h)
{
    struct session_rare *r = s->rare;

    session_claim_later(w, s, h);
    r->turn_of = s;
    r->turn_timer.fire = turn_look;
    if (!timer_is_running(&r->turn_timer))
        timer_start(&w->timers, &r->turn_timer, w->now_us + TURN_LOOK_US);
}

void session_claim_later(struct worker *w, struct session *s, struct session_hold *h)
{
    h->wants = true;
    h->a->ops->claimed(w, h->a, s, 0, -EINPROGRESS);
}

void session_claims_retry(struct worker *w, struct session *s)
{
    for (struct session_hold *h = s->holds; h && !s->local_joining;) {
        if (!h->wants || h->closed) {
            h = h->s_next;
            continue;
        }
        h->wants = false;
        session_claim(w, h->a, s, h->ctx, h->question);
        if (h->wants)
            return;
        h = s->holds; /* some may have gone */
    }
}

/* a is the one whom events go to; the one before is told. */
void session_set_user(struct worker *w, struct session *s, struct app_worker *a)
{
    struct app_worker *before = s->app;
    struct session_hold *h = session_hold_of(s, a);

    s->app = a;
    s->ctx = h->ctx;
    h->wants = false;
    turn_begins(w, s);
    if (before && before != a && session_is_held_by(s, before))
        before->ops->taken(w, before, s);
}

void session_claim_news(struct worker *w, struct session *s)
{
    struct session_hold *h = s->app && session_open_holds(s) > 1 ? session_hold_of(s, s->app) : NULL;

    if (!h || h->closed)
        return;
    h->question = 0; /* what nobody has asked */
    session_claim_done(w, s, 0, 0);
}

static int claim_fifos(struct worker *w, struct session *s, struct app_worker *a)
{
    bool keep = s->mem && s->mem != a && session_is_held_by(s, s->mem);

    if (s->mem == a)
        return 0;
    return session_rest_is_full(s) ? -EAGAIN : session_fifos_move(w, s, a, keep);
}

uint8_t session_question(const struct session *s, const struct app_worker *a)
{
    const struct session_hold *h = session_hold_of(s, a);

    return h ? h->question : 0;
}

void session_claim(struct worker *w, struct app_worker *a, struct session *s, uint32_t ctx, uint8_t question)
{
    struct session_hold *h = session_hold_of(s, a);
    int err = 0;

    h->ctx = ctx;
    h->question = question;
    if (s->state == SESSION_LISTENING || s->state == SESSION_BOUND) { /* used by all of them at once */
        a->ops->claimed(w, a, s, claim_flags(s), 0);
        return;
    }
    if (s->local && s->state == SESSION_CONNECTING)
        err = -EALREADY; /* being joined with the program that has begun it */
    else if (s->state == SESSION_ACCEPTING || s->state == SESSION_CLOSING || (!s->has_fifos && !s->is_asleep && !s->local))
        err = -ECONNABORTED;
    else if (!session_wake(w, s))
        err = -ENOMEM;
    if (err != 0) {
        a->ops->claimed(w, a, s, 0, err);
        return;
    }
    if (s->app != a && hs_unlikely(has_turn(w, s))) {
        turn_wait(w, s, h);
        return;
    }
    if (s->local) {
        local_claim(w, s, a);
        return;
    }
    err = claim_fifos(w, s, a);
    if (err != 0) {
        a->ops->claimed(w, a, s, 0, err);
        return;
    }
    session_set_user(w, s, a);
    session_claim_done(w, s, 0, 0);
    if (s->conn) /* room that the former user made, and may have told of meanwhile */
        session_rx_space_kick(w, s);
}

void session_unmapped(struct worker *w, struct app_worker *a, struct session *s, const struct svm_msg_slot *slot)
{
    local_unmapped(w, s, a, slot);
}

static void other_user(struct session *s, const struct app_worker *a)
{
    for (struct session_hold *h = s->holds; h; h = h->s_next) {
        if (h->a != a && !h->closed) {
            s->app = h->a;
            s->ctx = h->ctx;
        }
    }
}

void session_leave(struct worker *w, struct session *s, struct app_worker *a)
{
    struct session_hold *h = session_hold_of(s, a);

    if (h)
        h->wants = false;
    session_old_free(w, s, a, NULL);
    if (s->app == a) {
        s->app = NULL;
        if (s->state == SESSION_LISTENING || s->state == SESSION_BOUND)
            other_user(s, a);
    }
    if ((s->has_fifos || s->is_asleep) && s->mem == a && (!session_wake(w, s) || session_fifos_move(w, s, NULL, false) != 0)) {
        session_fifos_drop(w, s); /* no memory: the connection cannot go on */
        s->error = -ENOBUFS;
        s->state = SESSION_DEAD;
        if (s->conn) {
            s->conn->session = NULL;
            s->ops->reset(w, s->conn);
            s->conn = NULL;
        }
    }
}

void session_unlink(struct worker *w, struct app_worker *a, struct session *s, const struct svm_msg_slot *slot)
{
    session_old_free(w, s, a, slot);
    local_unlinked(w, s, a, slot);
}
