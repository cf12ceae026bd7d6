/* session_close.c - shutdown, close, return, reset, the death of a program: how sessions end
 *
 * The last holder stays noted until the session is finished, so that it is told (CLOSED) and its death is noticed. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "server/local/local.h"

static void list_remove(struct session **head, struct session ***tail, struct session *s, size_t link)
{
    for (struct session **p = head; *p; p = (struct session **)(void *)((char *)*p + link)) {
        if (*p != s)
            continue;
        *p = *(struct session **)(void *)((char *)s + link);
        if (!*p)
            *tail = p;
        return;
    }
}

void session_unlist(struct worker *w, struct session *s)
{
    struct session_worker *sw = w->session;

    if (s->on_evt_list)
        list_remove(&sw->evt_head, &sw->evt_tail, s, offsetof(struct session, evt_next));
    if (s->on_tx_list) {
        list_remove(&sw->tx_head, &sw->tx_tail, s, offsetof(struct session, tx_next));
        sw->n_tx--;
    }
    s->on_evt_list = s->on_tx_list = false;
}

void session_finish(struct worker *w, struct session *s)
{
    session_unlist(w, s);
    if (s->from.gen) {
        if (s->app && !s->local)
            listener_offered(listener_of_session(w, s->from), s->app, -1);
        listener_taken(w, s);
    }
    session_fifos_drop(w, s);
    session_old_free(w, s, NULL, NULL);
    local_old_put(w, s);
    session_endpoint_release(w, s->endpoint);
    s->endpoint = NULL;
    s->app = NULL;
    while (s->holds) {
        struct app_worker *a = s->holds->a;
        a->ops->closed(w, a, s);
        session_hold_remove(s, a);
    }
    session_free(w, s);
}

static void detach_conn(struct session *s)
{
    if (s->conn)
        s->conn->session = NULL;
    s->conn = NULL;
}

/* ---- by transports ---- */

void session_reset(struct worker *w, struct session *s, int error)
{
    struct session_fifos room, *f;

    detach_conn(s);
    if (s->state == SESSION_CLOSING || (s->state == SESSION_ACCEPTING && !s->app && !s->is_queued)) {
        session_finish(w, s);
        return;
    }
    if (s->state == SESSION_CONNECTING) {
        session_connected(w, s, error);
        return;
    }
    s->error = error;
    s->state = SESSION_DEAD;
    f = session_fifos_look(w, s, &room);
    if (f)
        svm_fifo_prod_set_rst(&f->rx, error);
    if (s->app && !s->from.gen) /* unnamed: told when it is named (session_accepted) */
        s->app->ops->reset(w, s->app, s, error);
}

void session_soft_error(struct worker *w, struct session *s, int error)
{
    if (s->app)
        s->app->ops->soft_error(w, s->app, s, error);
}

void session_closed(struct worker *w, struct session *s)
{
    detach_conn(s);
    if (s->state == SESSION_CLOSING)
        session_finish(w, s);
    else
        s->state = SESSION_DEAD; /* both directions have ended, the program has still to close */
}

/* ---- by programs ---- */

void session_shutdown(struct worker *w, struct session *s, int how)
{
    if (s->local && how != SHUT_RD && !s->tx_fin_told) { /* the FIFO says it to the other end; who claims the session next must know, too */
        s->tx_fin_told = true;
        session_claim_news(w, s);
    }
    if (s->local || !s->conn || s->state == SESSION_CLOSING)
        return;
    if (how == SHUT_RD || how == SHUT_RDWR)
        s->rd_closed = true;
    if ((how == SHUT_WR || how == SHUT_RDWR) && !s->tx_fin_told) {
        s->tx_fin_told = true;
        s->ops->shutdown_wr(w, s->conn);
        session_tx_schedule(w, s);
    }
}

/* What Linux has sent already when an abort comes: written, and within the windows, and the end of that. Before the session
 * is closing, which would send a FIN in any case. */
static void send_before_abort(struct worker *w, struct session *s)
{
    enum { BUDGET = 1 << 16 };

    if (s->state == SESSION_ESTABLISHED && s->ops->ip_proto && (s->tx_fin_told || session_tx_avail(w, s) > 0))
        s->ops->tx(w, s->conn, BUDGET);
}

static void last_close(struct worker *w, struct session *s, int linger_s, bool died)
{
    if (s->local || s->local_waiting) {
        /* Aborted before it had a FIFO that could say so. Else the slot and what was written stay until the other end, which may read
         * on, has closed too. */
        local_close(w, s, died || (linger_s == 0 && s->state != SESSION_ESTABLISHED));
        return;
    }
    if (s->listener)
        listener_destroy(w, s->listener);
    if (!s->conn) {
        session_finish(w, s);
        return;
    }
    if (s->state == SESSION_CONNECTING)
        linger_s = 0; /* RFC 9293 s3.10.4, SYN-SENT: delete */
    if (s->proto == SVM_PROTO_TCP && s->has_fifos && (linger_s == 0 || session_rx_unread(w, s) > 0))
        send_before_abort(w, s);
    s->state = SESSION_CLOSING;
    if (linger_s == 0)
        s->ops->reset(w, s->conn);
    else
        s->ops->close(w, s->conn, linger_s);
}

/* One of several holders lets go. */
static void hold_drop(struct worker *w, struct app_worker *a, struct session *s, bool died)
{
    if (s->listener && s->state == SESSION_LISTENING) {
        listener_replicate_arm(w, s->listener, a, 0, SESSION_ARM_OFF);
        listener_unarm(w, s->listener, a, died);
    }
    session_leave(w, s, a);
    if (s->local && !died && local_keep(s, a)) { /* told when the other end reads there no more */
        session_hold_of(s, a)->closed = true;
        local_claims_go_on(w, s);
        return;
    }
    if (!died)
        a->ops->closed(w, a, s);
    if (s->local)
        local_forget(w, s, a, died ? NULL : session_hold_of(s, a));
    session_hold_remove(s, a);
    if (s->local)
        local_claims_go_on(w, s);
}

void session_close(struct worker *w, struct app_worker *a, struct session *s, int linger_s)
{
    if (!session_is_held_by(s, a) || s->state == SESSION_CLOSING)
        return;
    if (session_open_holds(s) > 1) { /* how it ends is the last one's affair, unless that one is dying and will not say */
        if (linger_s == 0 || linger_s == SVM_CLOSE_UNREAD)
            s->linger_s = linger_s;
        hold_drop(w, a, s, false);
        return;
    }
    if (linger_s == SVM_CLOSE_UNREAD)
        linger_s = 0;
    s->linger_s = linger_s;
    last_close(w, s, linger_s, false);
}

/* Nothing was read or written by the program that had it. */
static bool is_untouched(const struct session *s)
{
    return s->local || (s->has_fifos && s->fifos->rx.head_seen == 0 && __atomic_load_n(&s->fifos->rx.peer->head, __ATOMIC_RELAXED) == 0 &&
                        s->fifos->tx.head == 0 && __atomic_load_n(&s->fifos->tx.peer->tail, __ATOMIC_RELAXED) == 0);
}

void session_return(struct worker *w, struct app_worker *a, struct session *s)
{
    struct listener *l = listener_of_session(w, s->origin);
    bool is_dead, unnamed;

    if (!session_is_held_by(s, a) || s->holds->s_next || !s->origin.gen || s->is_branch)
        return;
    if (s->local && local_return_moved(w, s) != 0) {
        last_close(w, s, -1, false);
        return;
    }
    is_dead = s->state == SESSION_DEAD; /* reset before anybody took it: Linux lets it be accepted all the same */
    unnamed = session_is_unnamed(s);
    if (is_dead && (!l || s->local || !is_untouched(s))) {
        last_close(w, s, -1, false);
        return;
    }
    if (!unnamed && ((s->state != SESSION_ESTABLISHED && !is_dead) || !is_untouched(s)))
        return;
    if (unnamed)
        listener_offered(l, a, -1);
    a->ops->closed(w, a, s);
    session_hold_remove(s, a);
    session_old_free(w, s, a, NULL);
    s->app = NULL;
    if (s->local) {
        local_returned(w, s, l);
        return;
    }
    if (!l) {
        s->state = SESSION_CLOSING;
        if (s->conn)
            s->ops->reset(w, s->conn);
        else
            session_finish(w, s);
        return;
    }
    if (!unnamed) {
        if (!is_dead)
            s->state = SESSION_ACCEPTING;
        s->from = l->handle;
        l->n_waiting++;
    }
    session_unlist(w, s);
    listener_offer(w, l, s);
}

void app_worker_detach(struct worker *w, struct app_worker *a)
{
    /* Listeners first, so that what this program has been offered goes to others. Copies here are not held, only accepted from. */
    for (struct listener *l = w->session->replicas; l; l = l->replica_next)
        listener_unarm(w, l, a, true);
    for (struct session_hold *h = a->holds; h;) {
        struct session *s = h->s;
        bool is_acceptor = false;
        for (struct acceptor *x = s->listener ? s->listener->acceptors : NULL; x; x = x->next)
            is_acceptor |= x->a == a;
        if (is_acceptor) {
            listener_unarm(w, s->listener, a, true);
            h = a->holds; /* the list has changed */
        } else {
            h = h->app_next;
        }
    }
    while (a->holds) {
        struct session *s = a->holds->s;
        struct svm_handle handle = s->handle;
        if (a->holds->closed) {
            local_forget(w, s, a, NULL);
            session_hold_over(w, s, a->holds, false);
            continue;
        }
        if (session_open_holds(s) > 1) {
            hold_drop(w, a, s, true);
            continue;
        }
        if (s->state != SESSION_CLOSING)
            last_close(w, s, s->linger_s == 0 ? 0 : -1, true); /* what a former holder's close has said holds */
        s = session_from_handle(w, handle);
        if (s && session_is_held_by(s, a)) { /* goes on without anybody to tell */
            local_forget(w, s, a, NULL);
            session_hold_remove(s, a);
            s->app = NULL;
        }
    }
}

void session_abort_all(struct worker *w)
{
    struct session_worker *sw = w->session;

    for (uint32_t c = 0; c < sw->n_chunks; c++) {
        for (uint32_t i = 0; i < SESSION_CHUNK; i++) {
            struct session *s = &sw->chunk[c][i];
            if (s->state == SESSION_FREE)
                continue;
            if (s->listener)
                listener_destroy(w, s->listener);
            if (s->conn && s->state != SESSION_FREE) {
                s->state = SESSION_CLOSING;
                s->ops->reset(w, s->conn);
            }
        }
    }
    listener_replicas_end(w);
}

void session_app_fail(struct worker *w, struct session *s, const char *what)
{
    struct app_worker *a = s->app ? s->app : s->mem;

    if (a)
        a->ops->violation(w, a, what);
}
