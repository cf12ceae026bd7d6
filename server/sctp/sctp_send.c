/* sctp_send.c - records of the transmit FIFO to fragments in their streams' queues (RFC 9260 s6.9), and what a record may ask for */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

/* The next record, copied once and checked against what is there. 1, 0 = none whole, -EPROTO. */
static int read_record(struct worker *w, struct session *s, struct svm_sctp_record *r, uint32_t *total)
{
    uint32_t avail = session_tx_avail(w, s);

    if (avail == 0)
        return 0;
    if (avail < sizeof(*r))
        return -EPROTO;
    session_tx_copy(w, s, 0, r, sizeof(*r));
    uint32_t hdr = r->h.hdr_len;
    if (r->h.version != 1 || hdr < sizeof(*r) || hdr > 512 || hdr % 8 || r->h.data_len > SVM_SCTP_RECORD_MAX ||
        r->tlv.type != SVM_TLV_SCTP || r->tlv.len != sizeof(r->info) || ((hdr + r->h.data_len + 7) & ~7u) > avail)
        return -EPROTO;
    *total = (hdr + r->h.data_len + 7) & ~7u;
    return 1;
}

void sctp_tx_free(struct sctp_assoc *a, struct sctp_tx *t)
{
    (void)a;
    if (--t->msg->n_frags == 0 && t->msg->is_whole)
        free(t->msg);
    free(t);
}

static struct sctp_tx *fragment(struct worker *w, struct sctp_assoc *a, struct session *s, struct sctp_msg *m, uint32_t at, uint32_t len)
{
    struct sctp_tx *t = malloc(sizeof(*t) + len);

    (void)a;
    if (!t)
        return NULL;
    memset(t, 0, sizeof(*t));
    t->msg = m;
    t->len = (uint16_t)len;
    session_tx_copy(w, s, at, t->data, len);
    m->n_frags++;
    m->len += len;
    return t;
}

static struct sctp_msg *msg_new(struct worker *w, struct sctp_assoc *a, const struct svm_sctp_info *i)
{
    struct sctp_msg *m = calloc(1, sizeof(*m));
    uint16_t policy = i->u.tx.pr_policy;
    uint32_t value = i->u.tx.pr_value;

    if (!m)
        return NULL;
    m->stream = i->stream;
    m->flags = i->flags & (SCTP_UNORDERED | SCTP_SACK_IMMEDIATELY);
    m->ppid = i->ppid;
    m->context = i->context;
    m->seq = a->next_seq++;
    m->expires_us = UINT64_MAX;
    if (!i->u.tx.pr_valid) {
        policy = a->cfg.pr.pr_policy;
        value = a->cfg.pr.pr_value;
    }
    m->has_auth_key = i->u.tx.auth_valid;
    m->auth_key = i->u.tx.auth_key;
    sctp_pr_set(a, m, policy, value, w->now_us);
    return m;
}

/* The data of one record; 0, -ENOMEM (nothing taken), -EMSGSIZE. */
static int queue_data(struct worker *w, struct sctp_assoc *a, struct session *s, const struct svm_sctp_record *r)
{
    bool more = r->h.flags & SVM_DGRAM_MORE, begins = !a->pull;
    uint32_t max = sctp_frag_max(a), left = r->h.data_len, at = r->h.hdr_len;
    struct sctp_msg *m = a->pull;
    struct sctp_tx *list = NULL, **tail = &list;

    if (a->cfg.no_fragments && (left > max || more || !begins))
        return -EMSGSIZE;
    if (begins && !(m = msg_new(w, a, &r->info)))
        return -ENOMEM;
    while (left) {
        uint32_t n = hs_min_u32(left, max);
        struct sctp_tx *t = fragment(w, a, s, m, at, n);
        if (!t)
            goto no_memory;
        if (begins && left == r->h.data_len)
            t->flags |= SCTP_DATA_B;
        if (!more && left == n)
            t->flags |= SCTP_DATA_E;
        if (m->flags & SCTP_UNORDERED)
            t->flags |= SCTP_DATA_U;
        if ((m->flags & SCTP_SACK_IMMEDIATELY) && (t->flags & SCTP_DATA_E))
            t->flags |= SCTP_DATA_I;
        *tail = t;
        tail = &t->next;
        at += n;
        left -= n;
    }
    if (!more) {
        m->is_whole = true;
        a->n_tx_msgs++;
    }
    a->pull = more ? m : NULL;
    a->dry_told = false;
    while (list) {
        struct sctp_tx *t = list;
        list = t->next;
        sctp_queue_add(a, t);
    }
    return 0;
no_memory:
    while (list) {
        struct sctp_tx *t = list;
        list = t->next;
        m->n_frags--;
        m->len -= t->len;
        free(t);
    }
    if (begins)
        free(m);
    return -ENOMEM;
}

static bool unsent_is_full(const struct sctp_assoc *a) { return a->unsent >= SCTP_UNSENT_MAX || a->unsent_chunks >= SCTP_UNSENT_CHUNKS; }

/* A message that is being sent while it is written goes on, however much of others waits behind it. */
static bool is_awaited(const struct sctp_assoc *a) { return a->current && !a->current->head; }

static bool takes_data(const struct sctp_assoc *a)
{
    return a->state >= SCTP_S_COOKIE_WAIT && a->state <= SCTP_S_ESTABLISHED && !a->eof_asked;
}

/* What a record asks of its association. 0 or the error for the program; -EAGAIN: later; *gone: the association is not there any more. */
static int do_record(struct worker *w, struct sctp_ep *ep, struct sctp_assoc *a, struct svm_sctp_record *r, bool *gone)
{
    uint16_t flags = r->info.flags;
    int err = 0;

    if (flags & SCTP_ABORT) { /* RFC 6458 s5.3.4: the data is the reason */
        uint8_t why[512];
        uint32_t n = hs_min_u32(r->h.data_len, sizeof(why));
        session_tx_copy(w, ep->s, r->h.hdr_len, why, n);
        *gone = true;
        sctp_abort(w, a, SCTP_C_USER_ABORT, why, n, -ECONNABORTED);
        return 0;
    }
    if (!takes_data(a))
        return -EPIPE;
    if (r->h.data_len) {
        if (a->state < SCTP_S_ESTABLISHED && unsent_is_full(a))
            return -EAGAIN;
        uint16_t n_out = a->state < SCTP_S_COOKIE_ECHOED ? a->cfg.n_ostreams : a->n_out;
        if (r->info.stream >= n_out)
            err = -EINVAL;
        else if (r->info.u.tx.auth_valid && !sctp_key_to_send(&a->cfg.auth, r->info.u.tx.auth_key)) /* as Linux */
            err = -EINVAL;
        else if (!a->out) /* streams are known when the peer has answered */
            return -EAGAIN;
        else
            err = queue_data(w, a, ep->s, r);
        if (err == -ENOMEM)
            return -EAGAIN;
    } else if (!(flags & SCTP_EOF)) {
        err = -EINVAL;
    }
    if (err == 0 && (flags & SCTP_EOF)) {
        a->eof_asked = true;
        sctp_shutdown_begin(w, a);
    }
    return err;
}

static bool pull_one(struct worker *w, struct sctp_ep *ep, uint32_t *used)
{
    struct session *s = ep->s;
    struct svm_sctp_record r;
    uint32_t total;
    int err = read_record(w, s, &r, &total);
    bool gone = false;

    if (err == 0)
        return false;
    if (err < 0) {
        struct app_worker *app = s->app;
        sctp_count(w, SCTP_N_violations);
        session_tx_drop(w, s, session_tx_avail(w, s));
        if (app && !ep->is_closing)
            app->ops->violation(w, app, "malformed SCTP record");
        return false;
    }
    bool more = r.h.flags & SVM_DGRAM_MORE;
    struct svm_handle h = s->handle;
    if (ep->discard) { /* the rest of a message that failed */
        ep->discard = more;
    } else {
        struct sctp_assoc *a = ep->assocs;
        err = -EPIPE;
        if (a && unsent_is_full(a) && a->has_prio && r.info.u.tx.pr_valid && r.info.u.tx.pr_policy == SCTP_PR_SCTP_PRIO)
            sctp_queue_prune(w, a, r.info.u.tx.pr_value);
        if (a && unsent_is_full(a) && !is_awaited(a) && !(r.info.flags & SCTP_ABORT) && takes_data(a)) {
            a->tx_blocked = true;
            return false; /* goes on when some of it has been sent */
        }
        err = a ? do_record(w, ep, a, &r, &gone) : err;
        if (err == -EAGAIN) {
            a->tx_blocked = true;
            return false;
        }
        if (session_from_handle(w, h) != s || session_transport_data(s) != ep || !s->has_fifos)
            return false;
        if (err != 0) {
            ep->discard = more;
        } else if (!gone) {
            sctp_touch(w, a);
        }
    }
    session_tx_drop(w, s, total);
    *used += total;
    if (err != 0 && !ep->is_closing)
        session_soft_error(w, s, err);
    return true;
}

bool sctp_pull(struct worker *w, struct sctp_ep *ep, unsigned budget_bytes)
{
    struct session *s = ep->s;
    struct svm_handle h = s->handle;
    uint32_t used = 0;

    while (used < budget_bytes) {
        if (!s->has_fifos || !pull_one(w, ep, &used))
            return false;
        if (session_from_handle(w, h) != s || session_transport_data(s) != ep)
            return false;
    }
    return true;
}

static bool is_written_out(struct worker *w, struct sctp_ep *ep)
{
    return session_tx_avail(w, ep->s) == 0;
}

enum transport_tx_verdict sctp_tx(struct worker *w, struct transport_conn *b, unsigned budget_bytes)
{
    struct session *s = b->session;
    struct sctp_ep *ep = s ? sctp_ep_of_session(s) : NULL;
    struct svm_handle h;

    if (!ep)
        return TRANSPORT_TX_DONE;
    h = s->handle;
    if (ep->ready)
        sctp_deliver_flush(w, ep);
    bool more = sctp_pull(w, ep, budget_bytes);
    sctp_touched_run(w);
    if (session_from_handle(w, h) != s || session_transport_data(s) != ep)
        return TRANSPORT_TX_DONE;
    if ((session_tx_is_fin(s) || ep->is_closing) && is_written_out(w, ep)) { /* everything has been taken: the end may be said */
        for (struct sctp_assoc *a = ep->assocs, *next; a; a = next) {
            next = a->ep_next;
            sctp_shutdown_begin(w, a);
        }
        sctp_touched_run(w);
    }
    return more ? TRANSPORT_TX_MORE : TRANSPORT_TX_DONE;
}
