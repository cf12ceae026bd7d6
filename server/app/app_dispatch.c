/* app_dispatch.c - one message of a program: is it allowed now, on what it names; then the session layer
 *
 * Everything in the message is the program's claim. A handle must name a session that this client worker, or another
 * holder of the same fork family, holds; requests that come too early or too late are answered with the error Linux would give. */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "server/tcp/tcp.h"

static void answer(struct app_port_client *pc, const struct svm_msg *m, uint8_t type, int error)
{
    struct svm_msg r;

    memset(&r, 0, sizeof(r));
    r.type = type;
    r.proto = m->proto;
    r.attr = m->attr;
    r.flags = type == SVM_MSG_ATTR ? m->flags : 0; /* the number of the question */
    r.ctx = m->ctx;
    r.handle = m->handle;
    if (type == SVM_MSG_BOUND || type == SVM_MSG_CONNECTED || type == SVM_MSG_CLAIMED)
        r.u.conn.error = error;
    else if (type == SVM_MSG_ATTR)
        r.u.attr_val.error = error;
    else
        r.u.error = error;
    app_notify_post(pc, &r);
}

static uint8_t scope_flags(const struct app_port_client *pc, uint8_t flags)
{
    uint8_t f = flags & (SVM_BIND_REUSEADDR | SVM_BIND_REUSEPORT | SVM_BIND_V6ONLY | SVM_CONN_V6 | SVM_BIND_SEQPACKET);

    /* No scope asked for means all that the client has been granted. */
    if (!(flags & (SVM_CONN_SCOPE_LOCAL | SVM_CONN_SCOPE_GLOBAL)))
        flags |= SVM_CONN_SCOPE_LOCAL | SVM_CONN_SCOPE_GLOBAL;
    if ((flags & SVM_CONN_SCOPE_LOCAL) && (pc->aw.scope & SVM_HELLO_SCOPE_LOCAL))
        f |= SVM_CONN_SCOPE_LOCAL;
    if ((flags & SVM_CONN_SCOPE_GLOBAL) && (pc->aw.scope & SVM_HELLO_SCOPE_GLOBAL))
        f |= SVM_CONN_SCOPE_GLOBAL;
    return f;
}

static bool quota_is_full(const struct app_port_client *pc)
{
    uint32_t max = pc->client->as->opt.max_sessions;

    return pc->aw.n_sessions >= max;
}

static void do_bind(struct app_port_client *pc, const struct svm_msg *m)
{
    struct session_bind_args args = {
        .proto = m->proto,
        .flags = scope_flags(pc, m->flags),
        .ctx = m->ctx,
        .lcl = { m->u.conn.lcl_ip, m->u.conn.lcl_port },
        .device = (int32_t)m->u.conn.slot.seg_id,
        .is_free = m->attr & SVM_BIND_FREE,
    };
    struct session *s = NULL;
    struct svm_msg r;
    int err = quota_is_full(pc) ? -ENFILE : session_bind(pc->w, &pc->aw, &args, &s);

    if (err != 0) {
        answer(pc, m, SVM_MSG_BOUND, err);
        return;
    }
    memset(&r, 0, sizeof(r));
    r.type = SVM_MSG_BOUND;
    r.proto = m->proto;
    r.ctx = m->ctx;
    r.handle = s->handle;
    r.u.conn.lcl_ip = s->lcl.ip;
    r.u.conn.lcl_port = s->lcl.port;
    r.u.conn.slot = s->slot;
    app_notify_post(pc, &r);
}

/* Keys of TCP belong to the program that gave them. */
static int take_keys(struct app_port_client *pc, uint8_t proto, uint32_t number)
{
    return proto == SVM_PROTO_TCP && number ? tcp_keys_use(pc->w->stack, pc->aw.app_id, number) : 0;
}

static void do_listen(struct app_port_client *pc, const struct svm_msg *m, struct session *s)
{
    int64_t backlog = m->u.value;
    int err = 0;

    if (!s)
        err = -EBADF;
    else
        err = take_keys(pc, s->proto, m->u.conn.slot.slot);
    if (err == 0 && m->u.conn.slot.slot)
        s->layer_cfg = m->u.conn.slot.slot;
    if (err == 0) /* Linux takes a negative backlog as the largest. */
        err = session_listen(pc->w, &pc->aw, s, backlog < 0 || backlog > 65535 ? 65535 : (uint32_t)backlog);
    if (err != -EINPROGRESS) /* else told when every worker listens */
        answer(pc, m, SVM_MSG_LISTENING, err);
}

static bool names_one(const struct svm_msg *m) { return m->handle.index || m->handle.gen; }

/* What cannot be kept was refused by the program's side, or its memory is not the one that vcl/ writes. */
static void do_attr_early(struct app_port_client *pc, const struct svm_msg *m)
{
    if (pc->early_ctx != m->ctx)
        session_attrs_forget(pc->early);
    pc->early_ctx = m->ctx;
    if (m->u.attr_val.len <= sizeof(m->u.attr_val.bytes))
        (void)session_attr_early(&pc->early, m->attr, m->u.attr_val.bytes, m->u.attr_val.len);
}

static void do_connect(struct app_port_client *pc, const struct svm_msg *m, struct session *bound)
{
    struct session_connect_args args = {
        .proto = m->proto,
        .flags = scope_flags(pc, m->flags),
        .ctx = m->ctx,
        .bound = bound,
        .layer_cfg = m->u.conn.slot.slot,
        .how = m->proto == SVM_PROTO_TCP ? m->attr & (SVM_CONNECT_FASTOPEN | SVM_CONNECT_NO_COOKIE) : 0,
        .lcl = { m->u.conn.lcl_ip, m->u.conn.lcl_port },
        .rmt = { m->u.conn.rmt_ip, m->u.conn.rmt_port },
        .device = (int32_t)m->u.conn.slot.seg_id,
        .attrs = pc->early_ctx == m->ctx ? pc->early : NULL,
    };
    struct session *s;
    int err;

    if (names_one(m) && !bound)
        err = -EBADF;
    else if ((!names_one(m) || args.flags & SVM_BIND_SEQPACKET) && quota_is_full(pc))
        err = -ENFILE;
    else
        err = take_keys(pc, m->proto, args.layer_cfg);
    if (err == 0)
        err = session_connect(pc->w, &pc->aw, &args, &s); /* success is told by the notice CONNECTED */
    session_attrs_forget(pc->early);
    if (err != 0)
        answer(pc, m, SVM_MSG_CONNECTED, err);
}

struct late_answer {
    struct session_settled x;
    uint32_t client_id;             /* it may have gone by then */
    struct svm_msg m;
};

static void answer_late(struct worker *w, struct session_settled *x)
{
    struct late_answer *l = hs_container_of(x, struct late_answer, x);
    struct app_worker *a = w->app ? app_client_ops.on_worker(w, l->client_id) : NULL;

    if (a) {
        struct app_port_client *pc = hs_container_of(a, struct app_port_client, aw);
        pc->n_settling--;
        app_notify_post(pc, &l->m);
    }
    free(l);
}

/* True: m is the answer when every worker has what was set on s. The program waits for it, and what comes in afterwards, to whichever worker,
 * is to find the option; as with listen(). */
static bool is_answered_late(struct app_port_client *pc, const struct session *s, const struct svm_msg *m)
{
    struct late_answer *l = pc->n_settling < APP_SETTLING_MAX ? malloc(sizeof(*l)) : NULL;

    if (!l)
        return false;
    *l = (struct late_answer){ .x.done = answer_late, .client_id = pc->aw.client_id, .m = *m };
    pc->n_settling++;
    if (session_settle(pc->w, s, &l->x))
        return true;
    pc->n_settling--;
    free(l);
    return false;
}

static void do_attr(struct app_port_client *pc, const struct svm_msg *m, struct session *s)
{
    struct svm_msg r;
    uint32_t len = m->u.attr_val.len;
    int err;

    memset(&r, 0, sizeof(r));
    r.type = SVM_MSG_ATTR;
    r.attr = m->attr;
    r.flags = m->flags;
    r.ctx = m->ctx;
    r.handle = m->handle;
    if (!s) {
        err = -EBADF;
    } else if (len > sizeof(m->u.attr_val.bytes)) {
        err = -EINVAL;
    } else if (m->type == SVM_MSG_ATTR_SET) {
        uint32_t number = 0;

        if (m->attr == SVM_ATTR_TCP_KEYS)
            memcpy(&number, m->u.attr_val.bytes, sizeof(number));
        err = take_keys(pc, SVM_PROTO_TCP, number);
        if (err == 0)
            err = session_attr_set(pc->w, s, m->attr, m->u.attr_val.bytes, len);
    } else {
        memcpy(r.u.attr_val.bytes, m->u.attr_val.bytes, len); /* some say there what they want */
        len = sizeof(r.u.attr_val.bytes);
        err = session_attr_get(pc->w, s, m->attr, r.u.attr_val.bytes, &len);
        r.u.attr_val.len = err == 0 ? len : 0;
        memset(r.u.attr_val.bytes + r.u.attr_val.len, 0, sizeof(r.u.attr_val.bytes) - r.u.attr_val.len);
    }
    r.u.attr_val.error = err;
    if (err == 0 && m->type == SVM_MSG_ATTR_SET && m->flags && s->state == SESSION_LISTENING && is_answered_late(pc, s, &r))
        return;
    app_notify_post(pc, &r);
}

static void do_close(struct app_port_client *pc, const struct svm_msg *m, struct session *s)
{
    int64_t linger = m->u.value;

    if (s)
        session_close(pc->w, &pc->aw, s, linger < 0 && linger != SVM_CLOSE_UNREAD ? -1 : linger > 65535 ? 65535 : (int)linger);
    else /* the session went meanwhile (this client was dropped as its holder): the slot is not in use any more */
        answer(pc, m, SVM_MSG_CLOSED, -EBADF);
}

/* It has taken the offer of a connection that has ended since: it has a socket for that. */
static void do_accepted(struct app_port_client *pc, const struct svm_msg *m, struct session *s)
{
    uint32_t offer = s ? session_ctx(s, &pc->aw) : 0;

    if (!s) {
        answer(pc, m, SVM_MSG_CLOSED, -EBADF);
    } else if (session_accepted(pc->w, &pc->aw, s, m->ctx)) {
        app_notify_offer_over(pc, offer);
        app_notify_accepted(pc, s);
    }
}

static void do_claim(struct app_port_client *pc, const struct svm_msg *m, struct session *s)
{
    if (s && hs_unlikely(m->attr & SVM_CLAIM_UNMAPPED))
        session_unmapped(pc->w, &pc->aw, s, &m->u.conn.slot);
    if (!s)
        answer(pc, m, SVM_MSG_CLAIMED, -EBADF);
    else
        session_claim(pc->w, &pc->aw, s, m->ctx, (uint8_t)m->u.conn.question);
}

void app_dispatch(struct app_port_client *pc, const struct svm_msg *m)
{
    struct session *s = session_from_handle(pc->w, m->handle);

    /* The zombie of a cut-through end answers for it still (UNLINK). */
    if (s && !session_is_held_by(s, &pc->aw) && !(m->type == SVM_MSG_UNLINK && session_holds_any(s, &pc->aw)))
        s = NULL;
    if (s && hs_unlikely(!session_wake(pc->w, s))) {
        app_port_fail(pc, "no memory for a session of it that was idle");
        return;
    }
    switch ((enum svm_msg_type)m->type) {
    case SVM_MSG_DATA:
        if (s && s->app == &pc->aw && s->has_fifos) /* of a former user it is about FIFOs that are no more */
            session_tx_kick(pc->w, s);
        return;
    case SVM_MSG_SPACE:
        if (s && s->app == &pc->aw && s->has_fifos)
            session_rx_space_kick(pc->w, s);
        return;
    case SVM_MSG_ACCEPTED:
        do_accepted(pc, m, s);
        return;
    case SVM_MSG_BIND:
        do_bind(pc, m);
        return;
    case SVM_MSG_LISTEN:
        do_listen(pc, m, s);
        return;
    case SVM_MSG_ARM:
        if (s)
            session_listener_arm(pc->w, &pc->aw, s, m->ctx,
                                 m->u.value == 1 ? SESSION_ARM_ON : m->u.value == 2 ? SESSION_ARM_WEAK : SESSION_ARM_OFF);
        return;
    case SVM_MSG_CLAIM:
        do_claim(pc, m, s);
        return;
    case SVM_MSG_REST_READ:
        if (s && s->rare && m->u.value == s->rare->rest_id)
            session_rest_drop(s);
        return;
    case SVM_MSG_UNLINK:
        if (s)
            session_unlink(pc->w, &pc->aw, s, &m->u.conn.slot);
        return;
    case SVM_MSG_CONNECT:
        do_connect(pc, m, s);
        return;
    case SVM_MSG_SHUTDOWN:
        if (s && m->u.value >= SHUT_RD && m->u.value <= SHUT_RDWR)
            session_shutdown(pc->w, s, (int)m->u.value);
        return;
    case SVM_MSG_CLOSE:
        do_close(pc, m, s);
        return;
    case SVM_MSG_RETURN:
        if (s)
            session_return(pc->w, &pc->aw, s);
        return;
    case SVM_MSG_ATTR_SET:
        if (!names_one(m)) {
            do_attr_early(pc, m);
            return;
        }
        do_attr(pc, m, s);
        return;
    case SVM_MSG_ATTR_GET:
        do_attr(pc, m, s);
        return;
    case SVM_MSG_DETACH:
        pc->fail_event.type = APP_EVENT_DETACH;
        if (!pc->is_failed) {
            pc->is_failed = true;
            app_event_post(pc->client->as, &pc->fail_event);
        }
        return;
    default:
        app_port_fail(pc, "it sent a message of a type that only the server sends, or none at all");
        return;
    }
}
