/* vcl_sctp.c - life of an SCTP socket: how associations begin and end (cut-through: without packets), what it is ready for */
#include <stdlib.h>
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

int vcl_sctp_new(struct vcl_socket *s)
{
    s->sctp = calloc(1, sizeof(*s->sctp));
    if (!s->sctp)
        return -ENOMEM;
    vcl_sctp_opts_init(&s->sctp->o);
    pthread_mutex_init(&s->sctp->ask_lock, NULL);
    pthread_mutex_init(&s->sctp->kept_lock, NULL);
    s->sctp->assoc_id = VCL_SCTP_FIRST_ID + atomic_fetch_add_explicit(&vcl_process()->n_assocs, 1, memory_order_relaxed);
    return 0;
}

void vcl_sctp_free(struct vcl_socket *s)
{
    if (!s->sctp)
        return;
    vcl_sctp_kept_free(s->sctp);
    vcl_sctp_held_free(s->sctp);
    vcl_sctp_many_free(s->sctp->many);
    pthread_mutex_destroy(&s->sctp->ask_lock);
    pthread_mutex_destroy(&s->sctp->kept_lock);
    free(s->sctp->ssn);
    free(s->sctp->peers);
    free(s->sctp);
}

/* What a listener was set to counts for what it accepts. */
void vcl_sctp_inherit(struct vcl_socket *s, const struct vcl_socket *listener)
{
    s->sctp->o = listener->sctp->o;
    (void)vcl_sctp_kept_copy(s->sctp, listener->sctp); /* without memory: read as the defaults, the session has them from the server */
}

/* An event for the other side. Worker lock held. */
static void post_data(struct vcl_socket *s)
{
    struct svm_msg m = { .type = SVM_MSG_DATA, .proto = s->proto, .ctx = s->local ? s->slot : s->ctx, .handle = s->handle,
                         .u.value = s->tx.evt_seq };

    if (s->local && !s->pair)
        return;
    if (!s->local)
        vcl_socket_post(s, &m);
    else if (s->pair->peer_client_id == s->w->client_id)
        vcl_worker_self_event(s, &m);
    else
        vcl_worker_post_pair(s->w, s->pair, &m);
}

/* In place of INIT and INIT ACK: the streams that this side wants, and its adaptation layer (RFC 9260 s3.3.2, RFC 5061 s4.2.6). */
static int put_hello(struct vcl_socket *s)
{
    struct vcl_sctp_opts *o = &s->sctp->o;
    struct vcl_sctp_hello h = {
        .up = { .sac_type = SCTP_ASSOC_CHANGE, .sac_length = sizeof(h.up), .sac_state = SCTP_COMM_UP,
                .sac_outbound_streams = o->init.sinit_num_ostreams, .sac_inbound_streams = o->init.sinit_max_instreams },
        .has_adaptation = o->has_adaptation,
        .adaptation = o->adaptation,
    };
    struct svm_sctp_record r = vcl_sctp_record(s, sizeof(h));
    struct iovec iov[2] = { { &r, sizeof(r) }, { &h, sizeof(h) } };

    r.info.flags = SCTP_NOTIFICATION;
    return svm_fifo_enqueue_record(&s->tx, iov, 2);
}

/* Socket lock held. */
static void say_hello(struct vcl_socket *s)
{
    uint32_t tail = s->tx.tail;

    s->sctp->hello_due = false;
    if (put_hello(s) != 0)
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    s->sctp->hello_due = vcl_claim_may_be(s) && vcl_claim_settle_tx(s, s->tx.tail - tail) == 0;
}

void vcl_sctp_hello_again(struct vcl_socket *s)
{
    bool data = false;

    if (hs_unlikely(s->sctp->begin_due && s->has_fifos)) {
        vcl_sctp_begin(s);
        return;
    }
    vcl_socket_lock(s);
    if (s->sctp->hello_due && s->has_fifos) {
        say_hello(s);
        data = !s->sctp->hello_due && svm_fifo_prod_event_due(&s->tx);
    }
    vcl_socket_unlock(s);
    if (data)
        post_data(s);
}

void vcl_sctp_begin(struct vcl_socket *s)
{
    struct vcl_sctp_front f;
    bool data = false;

    vcl_socket_lock(s);
    s->sctp->begin_due = !s->has_fifos;
    if (hs_unlikely(!s->has_fifos)) { /* vcl_space.c */
        vcl_socket_unlock(s);
        return;
    }
    s->sctp->out_streams = s->sctp->o.init.sinit_num_ostreams;
    vcl_sctp_hold_room(s, sizeof(struct svm_sctp_record) + sizeof(struct vcl_sctp_hello));
    if (vcl_sctp_is_near(s))
        say_hello(s);
    else
        (void)vcl_sctp_look(s, &f); /* COMM_UP stands first and tells the numbers of streams */
    vcl_sctp_send_held(s);
    data = svm_fifo_prod_unread(&s->tx) > 0 && svm_fifo_prod_event_due(&s->tx);
    vcl_socket_unlock(s);
    if (data)
        post_data(s);
}

/* RFC 9260 s9.2: whoever receives a SHUTDOWN ends its own sending; all that was sent before is in the FIFO already. */
bool vcl_sctp_answer_fin(struct vcl_socket *s)
{
    if (!vcl_sctp_is_near(s) || !s->has_fifos || s->wr_shut || !svm_fifo_cons_is_fin(vcl_rx_last(s)) || svm_fifo_cons_rst(vcl_rx_last(s)))
        return false;
    s->wr_shut = true;
    svm_fifo_prod_set_fin(&s->tx);
    (void)svm_fifo_prod_event_due(&s->tx);
    return true;
}

void vcl_sctp_on_data(struct vcl_socket *s)
{
    bool due;

    vcl_socket_lock(s);
    due = vcl_sctp_answer_fin(s);
    vcl_socket_unlock(s);
    if (due)
        post_data(s);
}

/* RFC 6458 s6.2.1; s6.1.9: who asks for "sender dry" while nothing is outstanding is told so at once. Over a network only the server
 * sees when that is, and says so to those alone who want it. */
int vcl_sctp_subscribe(struct vcl_socket *s, uint32_t on, uint32_t mask)
{
    uint32_t before, dry = 1u << (SCTP_SENDER_DRY_EVENT - SCTP_SN_TYPE_BASE);
    struct sctp_event e = { .se_type = SCTP_SENDER_DRY_EVENT, .se_on = (on & dry) != 0 };
    bool tell = false;

    vcl_socket_lock(s);
    before = s->sctp->o.events;
    s->sctp->o.events = (before & ~mask) | (on & mask);
    if (s->has_fifos && !(before & dry) && s->sctp->o.events & dry) {
        tell = vcl_sctp_is_near(s);
        s->sctp->due |= tell ? VCL_SCTP_DRY : 0;
    }
    vcl_socket_unlock(s);
    if (tell)
        vcl_socket_rearm(s);
    if (!(mask & dry) || !!(before & dry) == e.se_on)
        return 0;
    return vcl_sctp_ask_set(s, SCTP_EVENT, &e, sizeof(e), true);
}

bool vcl_sctp_has_news(struct vcl_socket *s)
{
    bool news;

    if (vcl_state(s) == VCL_CONNECTING)
        return false;
    vcl_socket_lock(s);
    news = (s->has_fifos || s->sctp->due) && vcl_sctp_is_readable(s);
    vcl_socket_unlock(s);
    return news;
}

bool vcl_sctp_is_over(struct vcl_socket *s)
{
    bool over;

    if (vcl_state(s) == VCL_CONNECTING)
        return false;
    vcl_socket_lock(s);
    over = vcl_state(s) == VCL_DEAD || s->sctp->aborted || atomic_load(&s->peer_gone) || !s->has_fifos || svm_fifo_cons_rst(vcl_rx_last(s)) ||
           (svm_fifo_cons_is_fin(vcl_rx_last(s)) && s->wr_shut);
    over = over && !((s->has_fifos || s->sctp->due) && vcl_sctp_is_readable(s));
    vcl_socket_unlock(s);
    return over;
}

/* RFC 6458 s6.1.1: who did not call connect() hears of it by a notification. */
void vcl_sctp_failed(struct vcl_socket *s)
{
    if (!s->sctp->parent)
        return;
    vcl_socket_lock(s);
    if (vcl_sctp_wants_note(s->sctp, SCTP_ASSOC_CHANGE))
        s->sctp->due |= VCL_SCTP_CANT;
    if (s->sctp->held && vcl_sctp_wants_note(s->sctp, SCTP_SEND_FAILED_EVENT))
        s->sctp->due |= VCL_SCTP_UNSENT;
    vcl_socket_unlock(s);
}

int64_t vcl_sctp_readable_bytes(struct vcl_socket *s)
{
    struct vcl_sctp_front f;

    return vcl_sctp_look(s, &f) == 1 ? f.len - s->sctp->rx_done : 0;
}

bool vcl_sctp_is_readable(struct vcl_socket *s)
{
    struct vcl_sctp_front f;

    return vcl_sctp_look(s, &f) != 0;
}

/* Cut-through an abort is a reset of the FIFO; over a network the server sends the ABORT for the record that asks for it. */
int vcl_sctp_abort(struct vcl_socket *s)
{
    struct svm_sctp_record r = vcl_sctp_record(s, 0);
    struct iovec iov = { &r, sizeof(r) };
    bool data = false;
    int rc = 0;

    r.info.flags = SCTP_ABORT;
    vcl_socket_lock(s);
    if (!s->has_fifos)
        rc = -EPIPE;
    else if (vcl_sctp_is_near(s))
        svm_fifo_prod_set_rst(&s->tx, -ECONNRESET);
    else
        rc = svm_fifo_enqueue_record(&s->tx, &iov, 1);
    if (rc == 0)
        data = svm_fifo_prod_event_due(&s->tx) || vcl_sctp_is_near(s);
    if (rc == 0 && vcl_sctp_is_near(s)) {
        s->wr_shut = true;
        s->sctp->aborted = true;
        if (vcl_sctp_wants_note(s->sctp, SCTP_ASSOC_CHANGE))
            s->sctp->due |= VCL_SCTP_LOST;
    }
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, data, false);
    vcl_socket_rearm(s);
    return rc;
}
