/* dtls.c - DTLS as a transport: how connections begin, at a door or by a program's connect, their timers and ends (RFC 6347) */
#include "server/tls/dtls.h"

#include <errno.h>

static struct tls_io io_of(struct tls_conn *c)
{
    return (struct tls_io){ c, dtls_lower_read, dtls_lower_write, dtls_lower_now_us, dtls_lower_mtu, NULL };
}

static struct tls_conn *conn_new(struct worker *w, struct tls_app *a)
{
    struct tls_conn *c = tls_conn_new(w);

    if (!c)
        return NULL;
    c->base.proto = SVM_PROTO_DTLS;
    c->is_dtls = true;
    c->app = a;
    return c;
}

/* The session below; c gets its FIFOs. On an error c is done with. */
static int lower_open(struct tls_conn *c, const struct session_below_args *args)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    int err;

    tw->connecting = c;
    err = session_open_below(c->w, &c->app->aw, args, &c->lower);
    tw->connecting = NULL;
    if (err != 0) {
        c->lower = NULL;
        c->state = TLS_S_DEAD;
        tls_conn_free_if_done(c);
    }
    return err;
}

/* ---- listeners ---- */

int dtls_door_open(struct worker *w, struct tls_listener *tl, const struct listener *l)
{
    struct session_below_args args = { .above = l, .proto = SVM_PROTO_UDP };
    struct listener_info i;
    struct tls_conn *c;
    int err;

    if (w->stack->tls->cfg.min_version > TLS_V1_2 || !tls_engine_has_dtls(w->stack->tls->engine))
        return -EPROTONOSUPPORT;
    listener_info(l, &i);
    args.lcl = i.lcl;
    c = conn_new(w, tl->app);
    if (!c)
        return -ENOMEM;
    c->state = TLS_S_DOOR;
    c->is_server = true;
    err = lower_open(c, &args);
    if (err != 0)
        return err;
    c->listener = tl; /* but not on its list: it counts the handshakes */
    tl->door = c;
    tls_worker_of(w)->n_doors++;
    tls_conn_ready(c);
    return 0;
}

void dtls_door_close(struct tls_listener *tl)
{
    struct tls_conn *c = tl->door;

    if (!c)
        return;
    tl->door = NULL;
    c->listener = NULL;
    tls_worker_of(c->w)->n_doors--;
    tls_conn_abort_lower(c);
}

/* Certificates may have changed since the engine's session was made that greets with them. */
static bool greeter_is_ready(struct tls_conn *door)
{
    struct tls_stack *ts = door->w->stack->tls;
    struct tls_io io = io_of(door);
    struct tls_profile *p;

    if (tls_listener_profile(door->w, door->listener, &p) != 0)
        return false;
    if (door->engine && door->profile == p) {
        tls_profile_put(door->w->stack, p);
        return true;
    }
    if (door->engine)
        ts->engine->conn_free(door->engine);
    if (door->profile)
        tls_profile_put(door->w->stack, door->profile);
    door->engine = NULL;
    door->profile = p;
    if (ts->engine->conn_new(ts->instance, true, p, &door->base.rmt, &io, &door->engine) == 0)
        return true;
    if (door->engine)
        ts->engine->conn_free(door->engine);
    door->engine = NULL;
    return false;
}

/* The greeter becomes the connection's: it has the ClientHello. The next one who comes gets another. */
void dtls_welcome(struct tls_conn *door, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    struct session_below_args args = { .above = door->listener->l, .proto = SVM_PROTO_UDP, .lcl = *lcl, .rmt = *rmt };
    struct tls_worker *tw = tls_worker_of(door->w);
    struct tls_stack *ts = door->w->stack->tls;
    struct tls_conn *c = conn_new(door->w, door->app);

    if (!c)
        return; /* the client asks again */
    c->state = TLS_S_HANDSHAKE;
    c->is_server = true;
    if (lower_open(c, &args) != 0)
        return;
    c->engine = door->engine;
    c->profile = door->profile;
    door->engine = NULL;
    door->profile = NULL;
    ts->engine->set_io_arg(c->engine, c);
    tls_listener_join(door->listener, c);
    c->lower_up = true;
    c->base.lcl = c->lower->lcl;
    c->base.rmt = c->lower->rmt;
    c->base.fib = c->lower->fib;
    c->is_shaking = true;
    tw->n_handshakes++;
    c->shake_bytes = tls_wait_bytes(ts, c); /* there is room: is_crowded() */
    tw->shakes[true].bytes += c->shake_bytes;
    c->deadline_us = c->w->now_us + ts->cfg.handshake_timeout_us;
    dtls_timer_start(c);
    tls_conn_ready(c);
}

/* Who comes now asks again a little later. */
static bool is_crowded(struct tls_conn *door)
{
    struct tls_stack *ts = door->w->stack->tls;

    return door->listener->n_conns >= ts->cfg.max_handshakes || !tls_wait_has_room(tls_worker_of(door->w), true, tls_wait_bytes(ts, door));
}

bool dtls_greet(struct tls_conn *door, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    struct tls_worker *tw = tls_worker_of(door->w);
    struct tls_stack *ts = door->w->stack->tls;

    if (is_crowded(door)) {
        tw->count.handshakes_refused++;
        return false;
    }
    tw->count.dtls_greeted++;
    return greeter_is_ready(door) && ts->engine->greet(door->engine, lcl, rmt);
}

/* RFC 6347 s4.2.8: from where c's client is comes a ClientHello, as if there were no connection. Only who brings a cookie back ends it.
 * True: c has ended, another one has begun. */
bool dtls_greet_anew(struct tls_conn *c)
{
    struct ip_endpoint lcl = c->base.lcl, rmt = c->base.rmt;
    struct listener *l = session_lookup_listener(c->w, SVM_PROTO_DTLS, &lcl, &rmt, session_from(c->base.fib, session_dev(c->lower)));
    struct tls_conn *door = l ? tls_listener_door(c->w, l) : NULL;
    struct tls_stack *ts = c->w->stack->tls;
    bool is_back;

    if (!door || is_crowded(door))
        return false;
    door->base.lcl = lcl;
    door->base.rmt = rmt;
    tls_worker_of(c->w)->count.dtls_greeted++;
    is_back = greeter_is_ready(door) && ts->engine->greet(door->engine, &lcl, &rmt);
    tls_lower_tell(door);
    if (!is_back)
        return false;
    tls_conn_fail(c, -ECONNRESET, "the client has begun anew");
    dtls_welcome(door, &lcl, &rmt);
    return true;
}

/* ---- timers ---- */

void dtls_timer_start(struct tls_conn *c)
{
    int64_t left = c->engine && !tls_job_is_busy(c->job) ? c->w->stack->tls->engine->timeout_us(c->engine) : -1;
    uint64_t at = c->deadline_us;

    if (left >= 0 && c->w->now_us + (uint64_t)left < at)
        at = c->w->now_us + (uint64_t)left;
    timer_stop(&c->timer, &c->w->timers);
    timer_start(&c->w->timers, &c->timer, at);
}

static void on_open_timer(struct tls_conn *c)
{
    uint64_t limit = c->w->stack->tls->cfg.dtls_idle_us;

    tls_lower_idle(c);
    if (limit && c->w->now_us >= c->last_us + limit) {
        const struct tls_engine *e = c->w->stack->tls->engine;
        (void)e->close_notify(c->engine);
        tls_worker_of(c->w)->count.dtls_idle++;
        tls_conn_fail(c, -ETIMEDOUT, NULL);
    } else if (limit && !timer_is_running(&c->timer)) {
        timer_start(&c->w->timers, &c->timer, c->last_us + limit);
    }
}

void dtls_on_timer(struct tls_conn *c)
{
    const struct tls_engine *e = c->w->stack->tls->engine;

    if (c->state == TLS_S_OPEN) {
        on_open_timer(c);
    } else if (c->w->now_us >= c->deadline_us) {
        tls_worker_of(c->w)->count.handshake_timeouts++;
        tls_conn_fail(c, -ETIMEDOUT, "the handshake was not finished in time");
    } else if (tls_job_is_busy(c->job)) {
        dtls_timer_start(c); /* the step that a thread does now comes first */
    } else if (e->on_timeout(c->engine) == TLS_FAILED) {
        tls_worker_of(c->w)->count.handshakes_failed++;
        tls_conn_fail(c, e->error_code(c->engine), e->error(c->engine));
    } else {
        tls_worker_of(c->w)->count.dtls_retransmitted++;
        tls_lower_tell(c);
        dtls_timer_start(c);
    }
}

void dtls_opened(struct tls_conn *c)
{
    uint64_t limit = c->w->stack->tls->cfg.dtls_idle_us;

    c->last_us = c->w->now_us;
    if (limit)
        timer_start(&c->w->timers, &c->timer, c->last_us + limit);
}

/* ---- programs ---- */

static int dtls_connect(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                        struct transport_conn **out)
{
    /* Without an endpoint of its own the session below reserves one: a port of the stack's choice. */
    struct session_below_args args = { .proto = SVM_PROTO_UDP, .flags = s->flags, .reserve = !s->endpoint, .dev = session_dev(s),
                                       .lcl = *lcl, .rmt = *rmt };
    struct tls_conn *c;
    struct tls_app *a;
    int err;

    if (!w->stack->tls || w->stack->tls->cfg.min_version > TLS_V1_2 || !tls_engine_has_dtls(w->stack->tls->engine))
        return -EPROTONOSUPPORT;
    a = tls_app_get(w, s->app->ns, s->app->fib);
    c = a ? conn_new(w, a) : NULL;
    if (!c)
        return -ENOMEM;
    c->state = TLS_S_LOWER;
    err = tls_store_profile(w->stack, s->app->app_id, s->layer_cfg, false, &c->profile);
    if (err != 0) {
        c->state = TLS_S_DEAD;
        tls_conn_free_if_done(c);
        return err;
    }
    err = lower_open(c, &args);
    if (err != 0)
        return err;
    c->base.lcl = c->lower->lcl;
    c->base.rmt = *rmt;
    c->base.fib = s->fib;
    c->lower_up = true;
    tls_conn_ready(c);
    *out = &c->base;
    return 0;
}

static void dtls_reset(struct worker *w, struct transport_conn *b)
{
    struct tls_conn *c = tls_of(b);

    if (c->state == TLS_S_OPEN || c->state == TLS_S_CLOSING) /* there is no RST: the peer learns of the end by this */
        (void)w->stack->tls->engine->close_notify(c->engine);
    tls_reset(w, b);
}

static void dtls_close(struct worker *w, struct transport_conn *b, int linger_s)
{
    struct tls_conn *c = tls_of(b);

    (void)linger_s; /* nobody acknowledges */
    if (c->state != TLS_S_OPEN) {
        tls_reset(w, b);
        return;
    }
    c->state = TLS_S_CLOSING;
    session_tx_schedule(w, b->session);
}

const struct transport_ops dtls_transport_ops = {
    .name = "dtls",
    .proto = SVM_PROTO_DTLS,
    .over = SVM_PROTO_UDP,
    .listen = tls_listen,
    .unlisten = tls_unlisten,
    .connect = dtls_connect,
    .shutdown_wr = tls_shutdown_wr,
    .close = dtls_close,
    .reset = dtls_reset,
    .tx = dtls_tx,
    .rx_space = tls_rx_space,
    .attr_set = tls_attr_set,
    .attr_get = tls_attr_get,
    .show = tls_show,
};
