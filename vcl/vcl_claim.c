/* vcl_claim.c - sessions that several processes hold (fork, exec, passed descriptors): one uses it, the others claim it when they want to
 *
 * The FIFOs of such a session are in the memory of who used it last. Another process finds "moved" in them, or none at all (a fork's
 * child), and asks the server, which gives it new ones with all that was in the old. What was written or read at that very moment is
 * settled afterwards: the old lines tell how much of it counted. So they do when the server goes between the two ends (svm_layout.h, settle).
 *   the peer: what it can write is asked of the server (await_settled(), vcl_claim_on_claimed())
 *   waiting: who only waits for such a session asks again every now and then, less often while it asks in vain. */
#include <stdlib.h>
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sys.h"

enum { CLAIM_AGAIN_MIN_NS = 1000000, CLAIM_AGAIN_MAX_NS = 32000000 };
enum { CLAIM_SOON_NS = 50000000,   /* the server's answer */
       CLAIM_GRACE_NS = 40000000,  /* until another holder has had its turn, or the other end's program has answered, or the server does without it */
       SETTLE_NS = 1000000000,     /* what the server does within microseconds */
       PEER_SETTLE_NS = 50000000,  /* what the other end's program does so */
       LIE_LOG_NS = 1000000000 };

/* ---- what happened while the session went elsewhere ---- */
static uint32_t flag_set(struct svm_fifo_prod *f, uint32_t bits)
{
    return __atomic_fetch_or(&f->line->flags, bits, __ATOMIC_ACQ_REL);
}

/* Cut-through: the peer's end has a new user, with other FIFOs. The former one may be at work at this moment: it looks at "moved" after
 * every step, and at the positions from which on it does not count. Worker lock held. */
int vcl_claim_peer_moved(struct vcl_socket *s, const struct svm_msg *m, struct svm_msg_slot *old_slot)
{
    struct svm_fifo_prod old_tx;
    struct svm_fifo_cons old_rx;
    struct vcl_pair *old_pair, *pair = vcl_worker_pair(s->w, m->u.conn.slot.seg_id);
    int rc;

    if (pair && !pair->base) { /* there is no answer from here: the server takes what is in both slots */
        vcl_claim_unmapped(s, &m->u.conn.slot);
        return -EALREADY;
    }
    vcl_socket_lock(s);
    if (!s->has_fifos || !s->pair) {
        vcl_socket_unlock(s);
        return -EPROTO;
    }
    old_tx = s->tx;
    old_rx = *vcl_rx_last(s);
    old_pair = s->pair;
    *old_slot = (struct svm_msg_slot){ old_pair->seg_id, s->slot };
    if (flag_set(&old_tx, SVM_FIFO_MOVED) & SVM_FIFO_MOVED) { /* we have let go, and the server was faster (local_take.c) */
        vcl_socket_unlock(s);
        return -EALREADY;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before the positions are read; pairs with vcl_claim_settle_*() */
    rc = vcl_socket_remap_pair(s, m);
    if (rc == 0) {
        uint32_t head;

        rc = svm_fifo_prod_unread(&old_tx) < 0 ? -EPROTO : 0;
        head = old_tx.head_seen;
        __atomic_store_n(&old_tx.line->space_bytes, head, __ATOMIC_RELAXED);
        if (s->rest)
            s->rest->next = s->rx;
        if (rc == 0)
            rc = vcl_rest_keep(s, &old_rx);
        flag_set(&old_tx, SVM_FIFO_SETTLED);
        if (rc == 0)
            rc = vcl_socket_write_again(s, &old_tx, head);
        svm_fifo_cons_set_looked(vcl_rx_last(s)); /* see vcl_claim_look_again() */
        svm_fifo_prod_fini(&old_tx);
        vcl_socket_leave_slot(s, old_pair, old_slot->slot);
    }
    vcl_socket_unlock(s);
    if (atomic_load(&old_pair->gone))
        vcl_worker_reap_pairs(s->w);
    if (rc == 0 && s->shared) /* before the answer: the next claim of another holder comes after it */
        rc = vcl_rest_share(s);
    return rc;
}

/* ---- whom to believe ---- */

/* Words in a PAIR slot are the peer's to write, whoever should have written them. They make nobody wait, unless memory that the server
 * alone writes says that it may be so; and who learns from them that the socket is elsewhere asks the server, once. Does that know of
 * nothing, the peer has lied, and its connection ends. */
static void lie_seen(struct vcl_socket *s)
{
    int64_t now = vcl_now_ns();

    svm_fifo_cons_fail(vcl_rx_last(s));
    if (now - atomic_exchange(&s->w->lie_said_ns, now) > LIE_LOG_NS)
        vcl_log(0, "the program at the other end of a cut-through connection broke the contract: the connection is reset");
}

void vcl_claim_lied(struct vcl_socket *s)
{
    lie_seen(s);
    svm_fifo_prod_fail(&s->tx);
}

/* Both locks held. */
static void fail_both(struct vcl_socket *s)
{
    if (svm_fifo_cons_failed(vcl_rx_last(s)))
        svm_fifo_prod_fail(&s->tx);
}

void vcl_claim_rx_failed(struct vcl_socket *s)
{
    vcl_socket_lock(s);
    if (s->has_fifos)
        fail_both(s);
    vcl_socket_unlock(s);
}

static void next_number(struct vcl_socket *s)
{
    if (++s->claim_no == 0)
        s->claim_no = 1;
}

void vcl_claim_begin(struct vcl_socket *s)
{
    s->moved_seen = s->claim_waited = s->peer_due = false;
    next_number(s); /* answers that are on their way are about other FIFOs */
}

/* Answers that are on their way and say that only this process holds it are from before. */
void vcl_claim_shared_anew(struct vcl_socket *s)
{
    vcl_socket_set_shared(s);
    next_number(s);
}

struct said {
    uint32_t settle, flags;
};

static struct said what_is_said(const struct svm_fifo_cons *rx)
{
    return (struct said){ svm_fifo_cons_settle(rx), __atomic_load_n(&rx->peer->flags, __ATOMIC_ACQUIRE) };
}

static bool is_settled(struct said w)
{
    return w.settle == SVM_SETTLE_DONE || (w.settle == SVM_SETTLE_NONE && w.flags & SVM_FIFO_SETTLED);
}

/* Until the positions stand. False: the peer has lied, or takes too long for what it does within microseconds. rx_lock held: the
 * server's memory stays mapped as long as the socket has FIFOs. */
static bool await_settled(const struct vcl_socket *s, const struct svm_fifo_cons *rx)
{
    const struct vcl_worker *w = s->w;
    const uint32_t *settling = &w->srv->settling[s->server_worker], *moves = &w->in[s->server_worker].peer->moves;
    uint32_t first_turn = 0;
    int64_t until = 0;

    for (;;) {
        struct said said = what_is_said(rx);
        /* Acquire: what the server had to say before is there. Looked at after the words, and these once more after it. */
        uint32_t turn = __atomic_load_n(settling, __ATOMIC_ACQUIRE), n_moves = __atomic_load_n(moves, __ATOMIC_ACQUIRE);
        bool may_be = !s->local;
        int64_t now;

        if (is_settled(said))
            return true;
        if (said.settle == SVM_SETTLE_BEGUN) {
            may_be = turn & 1 && (!first_turn || turn == first_turn);
            first_turn = turn;
        } else if (said.settle == SVM_SETTLE_NONE && s->local) {
            may_be = s->shared && n_moves;
        }
        if (!may_be)
            return is_settled(what_is_said(rx));
        now = vcl_now_ns();
        if (!until)
            until = now + (s->local && said.settle == SVM_SETTLE_NONE ? PEER_SETTLE_NS : SETTLE_NS);
        else if (now > until)
            return false;
        sys_ppoll(NULL, 0, &(struct timespec){ 0, 20000 }, NULL); /* allowed in every sandbox that may wait at all */
    }
}

struct positions {
    uint32_t head, tail; /* what this side has taken before counts, and what it has written before */
};

/* False: not moved after all, or all is lost. Otherwise waits until the positions stand. rx_lock held. */
static bool settled(struct vcl_socket *s, struct positions *at)
{
    const struct svm_fifo_cons *rx = vcl_rx_last(s);
    const struct svm_fifo_prod_line *line = rx->peer;
    const struct svm_fifo_cons_line *own = rx->line;
    struct said said;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* after our own position was published; pairs with vcl_claim_peer_moved() and the server */
    said = what_is_said(rx);
    if (hs_likely(!(said.flags & SVM_FIFO_MOVED) && said.settle == SVM_SETTLE_NONE) || svm_fifo_cons_failed(rx))
        return false;
    if (!await_settled(s, rx)) {
        lie_seen(s);
        return false;
    }
    s->moved_seen = true;
    if (svm_fifo_cons_settle(rx) == SVM_SETTLE_NONE) {
        *at = (struct positions){ __atomic_load_n(&line->space_bytes, __ATOMIC_RELAXED), __atomic_load_n(&s->tx.peer->head, __ATOMIC_ACQUIRE) };
        return true;
    }
    *at = (struct positions){ __atomic_load_n(&own->settled_head, __ATOMIC_RELAXED), __atomic_load_n(&own->settled_tail, __ATOMIC_RELAXED) };
    vcl_socket_set_shared(s); /* to be claimed */
    return true;
}

uint32_t vcl_claim_settle_tx(struct vcl_socket *s, uint32_t n)
{
    struct positions at;
    uint32_t lost;

    if (!settled(s, &at)) {
        fail_both(s);
        return n;
    }
    lost = s->tx.tail - at.tail;
    return (int32_t)lost <= 0 ? n : lost >= n ? 0 : n - lost;
}

uint32_t vcl_claim_settle_rx_alone(struct vcl_socket *s, uint32_t n, bool is_peek, bool *failed)
{
    struct positions at;
    uint32_t over;

    if (s->rest || !settled(s, &at)) {
        *failed = svm_fifo_cons_failed(vcl_rx_last(s));
        return n;
    }
    if (is_peek) /* the ring may have been somebody else's by then */
        return 0;
    over = s->rx.head - at.head;
    return (int32_t)over <= 0 ? n : over >= n ? 0 : n - over;
}

uint32_t vcl_claim_settle_rx(struct vcl_socket *s, uint32_t n, bool is_peek)
{
    bool failed = false;

    n = vcl_claim_settle_rx_alone(s, n, is_peek, &failed);
    if (failed)
        svm_fifo_prod_fail(&s->tx);
    return n;
}

bool vcl_claim_is_elsewhere(const struct vcl_socket *s)
{
    const struct svm_fifo_cons *rx = s->rest ? &s->rest->next : &s->rx;

    if (s->unclaimed || !s->has_fifos || svm_fifo_cons_failed(rx))
        return s->unclaimed;
    return s->moved_seen || __atomic_load_n(&rx->peer->flags, __ATOMIC_ACQUIRE) & SVM_FIFO_MOVED ||
           svm_fifo_cons_settle(rx) != SVM_SETTLE_NONE;
}

bool vcl_claim_is_here(struct vcl_socket *s)
{
    if (vcl_claim_is_elsewhere(s))
        return false;
    if (s->has_fifos)
        svm_fifo_cons_set_looked(vcl_rx_last(s));
    return true;
}

/* ---- asking for it ---- */
static void want_end(struct vcl_socket *s)
{
    if (atomic_exchange(&s->claim_wanted, false))
        atomic_fetch_sub(&s->w->n_wanted, 1);
}

static bool is_elsewhere(struct vcl_socket *s)
{
    bool yes;

    vcl_lock_take(&s->rx_lock);
    yes = !vcl_claim_is_here(s);
    vcl_lock_give(&s->rx_lock);
    return yes && !vcl_handle_is_none(s->handle);
}

/* Its answer is about what the words in the FIFOs say now. Worker lock held. */
static struct svm_msg claim_msg(struct vcl_socket *s)
{
    struct svm_msg m = vcl_socket_msg(s, SVM_MSG_CLAIM);

    next_number(s);
    m.u.conn.question = s->claim_no;
    if (hs_unlikely(s->unmapped)) {
        m.attr = SVM_CLAIM_UNMAPPED;
        m.u.conn.slot = (struct svm_msg_slot){ s->slot_seg, s->slot };
    }
    return m;
}

/* The answer comes whether or not somebody waits for it. Worker lock held. */
void vcl_claim_unmapped(struct vcl_socket *s, const struct svm_msg_slot *slot)
{
    struct svm_msg m = claim_msg(s);

    m.attr = SVM_CLAIM_UNMAPPED;
    m.u.conn.slot = *slot;
    vcl_socket_post(s, &m);
}

static int claim(struct vcl_socket *s, int64_t timeout_ns)
{
    struct svm_msg m;
    bool yes;
    int rc = 0;

    if (hs_unlikely(s->rest_read))
        vcl_rest_tell(s);
    if (!is_elsewhere(s))
        return 0;
    pthread_mutex_lock(&s->op_lock);
    pthread_mutex_lock(&s->w->lock);
    m = claim_msg(s);
    yes = is_elsewhere(s);
    pthread_mutex_unlock(&s->w->lock);
    if (yes)
        rc = vcl_socket_request_within(s, VCL_OP_CLAIM, &m, timeout_ns);
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

int vcl_claim_look(struct vcl_socket *s)
{
    struct svm_msg m;
    int rc = vcl_socket_adopt(s);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->op_lock);
    pthread_mutex_lock(&s->w->lock);
    m = claim_msg(s);
    pthread_mutex_unlock(&s->w->lock);
    if (vcl_state(s) == VCL_BOUND && !vcl_handle_is_none(m.handle))
        rc = vcl_socket_request(s, VCL_OP_CLAIM, &m);
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

static bool is_here(struct vcl_socket *s)
{
    return vcl_state(s) == VCL_DEAD || !is_elsewhere(s);
}

/* The server waits for another program's answer, or does without it before long. */
static int wait_here(struct vcl_socket *s, int64_t timeout_ns)
{
    struct vcl_deadline d = vcl_deadline_ns(timeout_ns);

    vcl_claim_want(s);
    while (vcl_wait_socket(s, is_here, &d) == -EINTR)
        ;
    return is_here(s) ? 0 : -EINPROGRESS;
}

int vcl_claim(struct vcl_socket *s, int64_t timeout_ns)
{
    int rc = claim(s, VCL_ANSWER_NS);

    return rc == -EINPROGRESS ? wait_here(s, timeout_ns) : rc;
}

static int claim_soon(struct vcl_socket *s)
{
    int rc = claim(s, CLAIM_SOON_NS);

    if (rc == -EINPROGRESS && !s->claim_waited) { /* a program that is awake answers at once; another one delays nobody a second time */
        s->claim_waited = true;
        rc = wait_here(s, CLAIM_GRACE_NS);
    }
    return rc;
}

int vcl_claim_soon(struct vcl_socket *s)
{
    int64_t until = 0;
    int rc;

    while ((rc = claim_soon(s)) == 0 && is_elsewhere(s)) { /* given, and taken by another holder before this thread ran */
        if (!until)
            until = vcl_now_ns() + CLAIM_SOON_NS;
        else if (vcl_now_ns() > until)
            rc = -EAGAIN;
        if (rc || vcl_state(s) == VCL_DEAD)
            break;
    }
    if (rc == -ETIMEDOUT || rc == -EAGAIN || rc == -EINPROGRESS) { /* who waits goes on asking */
        vcl_claim_want(s);
        rc = -EAGAIN;
    }
    return rc;
}

/* Cut-through: what the former user has not read comes when the other end's program has written it again. The server does without that
 * program before long; the word that it has is the peer's, and can make a call wait once. */
static bool is_peer_due(struct vcl_socket *s, bool *came)
{
    bool due;

    vcl_lock_take(&s->rx_lock);
    due = s->peer_due && s->has_fifos && s->local && !vcl_claim_is_elsewhere(s);
    *came = due && __atomic_load_n(&s->tx.peer->flags, __ATOMIC_ACQUIRE) & SVM_FIFO_RD_LOOKED;
    if (*came)
        s->peer_due = false;
    vcl_lock_give(&s->rx_lock);
    return due;
}

bool vcl_claim_look_again(struct vcl_socket *s)
{
    int64_t until = 0;
    bool came;

    if (hs_likely(!s->shared) || vcl_state(s) != VCL_CONNECTED)
        return false;
    while (is_peer_due(s, &came) && !came) {
        int64_t now = vcl_now_ns();

        if (!until)
            until = now + CLAIM_GRACE_NS;
        else if (now > until) {
            s->peer_due = false;
            return false;
        }
        sys_ppoll(NULL, 0, &(struct timespec){ 0, 50000 }, NULL);
        vcl_worker_turn(s->w);
    }
    return came || until || is_elsewhere(s);
}

/* Somebody here waits for it. Any lock may be held. */
void vcl_claim_want(struct vcl_socket *s)
{
    if (!atomic_exchange(&s->claim_wanted, true))
        atomic_fetch_add(&s->w->n_wanted, 1);
}

/* Worker lock held. */
static bool is_due(struct vcl_worker *w)
{
    int64_t now = vcl_now_ns();

    if (now < w->claim_at_ns)
        return false;
    w->claim_pause_ns = w->claim_pause_ns ? 2 * w->claim_pause_ns : CLAIM_AGAIN_MIN_NS;
    if (w->claim_pause_ns > CLAIM_AGAIN_MAX_NS)
        w->claim_pause_ns = CLAIM_AGAIN_MAX_NS;
    w->claim_at_ns = now + w->claim_pause_ns;
    return true;
}

int vcl_claim_idly(struct vcl_socket *s)
{
    bool due;

    if (!is_elsewhere(s))
        return 0;
    pthread_mutex_lock(&s->w->lock);
    due = is_due(s->w);
    pthread_mutex_unlock(&s->w->lock);
    return due ? vcl_claim_soon(s) : -EAGAIN;
}

/* Worker lock held. */
void vcl_claim_again(struct vcl_worker *w)
{
    if (!is_due(w))
        return;
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *s = w->table[i];
        struct svm_msg m;

        if (!s || !atomic_load(&s->claim_wanted))
            continue;
        if (!vcl_claim_is_elsewhere(s) || vcl_handle_is_none(s->handle) || (!s->waiters && !s->subs)) {
            want_end(s);
            continue;
        }
        m = claim_msg(s);
        if (is_elsewhere(s))
            vcl_socket_post(s, &m);
    }
}

int64_t vcl_claim_cap_ns(const struct vcl_worker *w)
{
    int64_t left = w->claim_at_ns - vcl_now_ns();

    return left > 0 ? left : 0;
}

/* ---- what the server says; worker lock held ---- */

/* The end of what is sent was in the FIFO that another process had. */
static void end_again(struct vcl_socket *s)
{
    struct svm_msg e = { .type = SVM_MSG_DATA, .proto = s->proto, .ctx = s->slot };
    bool due;

    vcl_socket_lock(s);
    due = s->has_fifos && !s->tx.fin;
    if (due) {
        svm_fifo_prod_set_fin(&s->tx);
        due = svm_fifo_prod_event_due(&s->tx);
        e.u.value = s->tx.evt_seq;
    }
    vcl_socket_unlock(s);
    if (due && s->pair && s->pair->peer_client_id == s->w->client_id)
        vcl_worker_self_event(s, &e);
    else if (due && s->pair)
        vcl_worker_post_pair(s->w, s->pair, &e);
}

int vcl_claim_on_claimed(struct vcl_socket *s, const struct svm_msg *m)
{
    bool is_new = !s->has_fifos, is_last = (uint8_t)m->u.conn.question == s->claim_no, is_only = is_last && m->attr & SVM_CLAIM_ONLY;
    int error = m->u.conn.error;

    if (vcl_state(s) == VCL_ZOMBIE)
        return error;
    if (!error && s->has_fifos && s->local && is_last) {
        vcl_socket_lock(s);
        if (!svm_fifo_cons_failed(vcl_rx_last(s)))
            vcl_claim_lied(s);
        vcl_socket_unlock(s);
        vcl_socket_fail(s, -ECONNRESET);
        return error;
    }
    if (!error && !s->has_fifos && m->attr & SVM_CLAIM_FIFOS) {
        error = m->attr & SVM_CLAIM_REST && !s->rest_due ? vcl_rest_fetch(s) : 0;
        if (!error)
            error = vcl_socket_map_fifos(s, m);
        if (error == -EALREADY || error == -EAGAIN) /* nobody would come back to it */
            error = -ECONNRESET;
        if (error == VCL_UNMAPPED) {
            vcl_space_claim(s);
            error = -EINPROGRESS;
        }
    }
    if (error) {
        if (error != -EALREADY && error != -EAGAIN && error != -EINPROGRESS)
            vcl_socket_fail(s, error);
        return m->u.conn.error ? m->u.conn.error : error == -EINPROGRESS ? error : 0;
    }
    want_end(s);
    s->unclaimed = false;
    s->peer_due = s->peer_due || (is_new && s->local);
    if (m->attr & SVM_CLAIM_LISTENS && vcl_state(s) == VCL_BOUND) { /* by another holder */
        vcl_socket_set_state(s, VCL_LISTENING);
        if (s->n_in_subs)
            vcl_accept_arm(s, VCL_ARM_ON);
    }
    s->rest_unshare = is_only && s->rest_read;
    s->shared = !is_only || s->rest_read;
    s->wr_shut = s->wr_shut || m->attr & SVM_CLAIM_WR_SHUT;
    if (s->sctp) {
        s->sctp->is_carried = m->attr & SVM_CLAIM_CARRIED;
        vcl_sctp_hello_again(s);
    }
    if (s->wr_shut && s->local && !s->is_dgram)
        end_again(s);
    if (vcl_poll_now(s) & EPOLLIN)
        s->w->claim_pause_ns = 0;
    vcl_set_notify(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    return 0;
}

void vcl_claim_on_taken(struct vcl_socket *s)
{
    struct svm_msg m = vcl_socket_msg(s, SVM_MSG_UNLINK);
    struct vcl_rest *rest;

    m.u.conn.slot = (struct svm_msg_slot){ s->slot_seg, s->slot };
    if (s->rest)
        vcl_rest_share(s);
    vcl_socket_lock(s);
    rest = vcl_rest_detach(s);
    vcl_socket_fifos_end(s);
    s->rest_due = rest;
    s->unclaimed = true; /* with the FIFOs: who reads would take their end for a reset */
    vcl_socket_set_shared(s);
    vcl_socket_unlock(s);
    vcl_socket_fifos_leave(s);
    vcl_socket_post(s, &m);
    if (s->waiters || s->subs)
        vcl_claim_want(s);
}
