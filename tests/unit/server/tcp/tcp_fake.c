/* tcp_fake.c - a session layer over plain arrays and a wire that is a list, for tests of TCP alone */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <rte_eal.h>
#include "server/capture/capture.h"
#include "server/ip/pmtu.h"
#include "tests/unit/server/tcp/tcp_fake.h"

static struct fake_host *host_of(struct worker *w) { return hs_container_of(w, struct fake_host, w); }

/* ---- offered to TCP by the session layer ---- */

void session_lookup_add(struct worker *w, struct transport_conn *c)
{
    c->lookup_next = host_of(w)->lookup;
    host_of(w)->lookup = c;
    c->in_lookup = true;
}

void session_lookup_del(struct worker *w, struct transport_conn *c)
{
    for (struct transport_conn **pp = &host_of(w)->lookup; *pp; pp = &(*pp)->lookup_next) {
        if (*pp == c) {
            *pp = c->lookup_next;
            break;
        }
    }
    c->in_lookup = false;
}

void session_idle(struct worker *w, struct session *s) { (void)w, (void)s; }
bool session_wake(struct worker *w, struct session *s) { return (void)w, s != NULL; }
bool session_keep(struct worker *w, struct session *s, const void *bytes) { return (void)w, memcpy(s->kept, bytes, SESSION_KEPT) != NULL; }
bool session_kept(struct worker *w, struct session *s, void *bytes) { return (void)w, memcpy(bytes, s->kept, SESSION_KEPT) != NULL; }
bool session_tx_is_short(struct worker *w, struct session *s) { return (void)w, s->tx_len == FAKE_FIFO; }

void session_conn_moved(struct worker *w, const struct transport_conn *from, struct transport_conn *to)
{
    struct transport_conn **pp = &host_of(w)->lookup;

    while (*pp != from)
        pp = &(*pp)->lookup_next;
    *pp = to;
    assert(!to->session || to->session->conn == from);
    if (to->session)
        to->session->conn = to;
}

static bool endpoint_eq(const struct ip_endpoint *a, const struct ip_endpoint *b)
{
    return ip_addr_eq(&a->ip, &b->ip) && a->port.raw == b->port.raw;
}

struct transport_conn *session_lookup(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                                      uint32_t from)
{
    (void)proto;
    for (struct transport_conn *c = host_of(w)->lookup; c; c = c->lookup_next) {
        if (c->fib == (uint16_t)from && endpoint_eq(&c->lcl, lcl) && endpoint_eq(&c->rmt, rmt))
            return c;
    }
    return NULL;
}

uint32_t session_lookup_soon(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib)
{
    return (void)w, (void)proto, (void)fib, 1u + (uint32_t)lcl->port.raw * rmt->port.raw;
}

void session_lookup_next(struct worker *w, uint32_t hash) { (void)w, (void)hash; }

struct transport_conn *session_lookup_hashed(struct worker *w, uint32_t hash, uint8_t proto, const struct ip_endpoint *lcl,
                                             const struct ip_endpoint *rmt, uint32_t from)
{
    assert(hash == session_lookup_soon(w, proto, lcl, rmt, (uint16_t)from));
    return session_lookup(w, proto, lcl, rmt, from);
}

struct listener *session_lookup_listener(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl,
                                         const struct ip_endpoint *rmt, uint32_t from)
{
    struct fake_host *h = host_of(w);

    (void)proto;
    (void)rmt;
    (void)from;
    return h->listening && endpoint_eq(&h->listener.lcl, lcl) ? &h->listener : NULL;
}

void session_lookup_fetch(struct worker *w, uint32_t hash) { (void)w, (void)hash; }
void session_ahead_rx(const struct session *s) { (void)s; }
void session_ahead_rx_fifos(const struct session *s) { (void)s; }
void session_ahead_rx_lines(const struct session *s) { (void)s; }
bool session_rx_is_steady(const struct session *s, uint32_t wnd, uint32_t step) { return (void)s, (void)wnd, (void)step, false; }
bool listener_has_attrs(const struct listener *l) { return (void)l, true; }
uint32_t listener_backlog_room(const struct listener *l) { return l->half_open < l->backlog ? 1 : 0; }

bool listener_accept_full(const struct listener *l) { return l->accept_error == -ENOBUFS; }

int listener_attr(const struct listener *l, uint8_t attr, int32_t *value)
{
    *value = attr == SVM_ATTR_RX_FIFO ? (l->rx_says ? l->rx_says : l->rx_max) : attr < HS_ARRAY_LEN(l->attr) ? l->attr[attr] : 0;
    return *value ? 0 : -ENOENT;
}

uint8_t listener_dev(const struct listener *l) { return (void)l, 0; }
uint8_t session_dev(const struct session *s) { return (void)s, 0; }
uint32_t listener_layer_cfg(const struct listener *l) { return l->layer_cfg; }
uint32_t session_layer_cfg(const struct session *s) { return s->layer_cfg; }
const char *listener_congestion(const struct listener *l) { return l->congestion; }

unsigned listener_fastopen_key(const struct listener *l, const uint8_t **key)
{
    *key = l->fastopen_key;
    return l->n_fastopen_keys;
}

uint8_t session_connect_how(const struct session *s) { return s->connect_how; }

void session_connect_attrs(struct worker *w, struct session *s, struct transport_conn *c)
{
    struct fake_host *h = host_of(w);

    assert(c->session == s);
    for (uint8_t a = 1; a < HS_ARRAY_LEN(h->connect_attr); a++)
        if (h->connect_attr[a])
            assert(tcp_transport_ops.attr_set(w, c, a, &h->connect_attr[a], sizeof(int32_t)) == 0);
    if (h->connect_congestion)
        assert(tcp_transport_ops.attr_set(w, c, SVM_ATTR_CONGESTION, h->connect_congestion, (uint32_t)strlen(h->connect_congestion)) == 0);
}

void session_connect_waits(struct worker *w, struct session *s)
{
    (void)w;
    s->connect_waits = true;
}

void listener_half_open(struct listener *l, int delta) { l->half_open += delta; }

static struct session *session_new(struct fake_host *h)
{
    for (unsigned i = 0; i < FAKE_SESSIONS; i++) {
        if (!h->s[i].used) {
            memset(&h->s[i], 0, sizeof(h->s[i]));
            h->s[i].used = true;
            h->s[i].rx_max = FAKE_FIFO;
            h->s[i].rx_says = h->rx_says;
            return &h->s[i];
        }
    }
    abort();
}

int session_accept(struct worker *w, struct listener *l, struct transport_conn *c)
{
    struct session *s;

    if (l->accept_error)
        return l->accept_error;
    s = session_new(host_of(w));
    if (l->rx_max)
        s->rx_max = (uint32_t)l->rx_max;
    s->accepted = s->connected = true;
    s->conn = c;
    c->session = s;
    return 0;
}

void session_connected(struct worker *w, struct session *s, int error)
{
    (void)w;
    s->connected = error == 0;
    s->connect_error = error;
    if (error)
        s->conn = NULL;
}

int64_t session_rx_enqueue(struct worker *w, struct session *s, uint32_t offset, const void *data, uint32_t len)
{
    uint32_t n = 0;

    (void)w;
    if (s->rx_len + offset + len > s->rx_max)
        return -ENOBUFS;
    memcpy(s->rx + s->rx_len + offset, data, len);
    memset(s->have + s->rx_len + offset, 1, len);
    while (s->rx_len + n < s->rx_max && s->have[s->rx_len + n])
        n++;
    s->rx_len += n;
    return n;
}

uint32_t session_rx_space(struct worker *w, struct session *s)
{
    (void)w;
    return s->rx_max - s->rx_len;
}

uint32_t session_rx_window(struct worker *w, struct session *s) { return session_rx_space(w, s); }
uint32_t session_rx_max(const struct session *s) { return s->rx_says ? s->rx_says : s->rx_max; }
uint32_t session_rx_limit(const struct session *s) { return session_rx_max(s); }
uint32_t session_rx_room(struct worker *w, struct session *s) { return session_rx_space(w, s); }
void session_rx_is_stream(struct session *s) { s->rx_streams = true; }
void session_rx_is_near(struct session *s, bool on) { s->rx_near = on; }

uint32_t session_rx_unread(struct worker *w, struct session *s)
{
    (void)w;
    return s->rx_len;
}

int session_rx_ooo(struct session *s, struct session_ooo *out, int max)
{
    int n = 0;

    for (uint32_t i = s->rx_len; i < s->rx_max && n < max;) {
        uint32_t start;

        while (i < s->rx_max && !s->have[i])
            i++;
        start = i;
        while (i < s->rx_max && s->have[i])
            i++;
        if (i > start)
            out[n++] = (struct session_ooo){ start - s->rx_len, i - s->rx_len };
    }
    return n;
}

void session_rx_urgent(struct worker *w, struct session *s, uint32_t offset, bool is_pending)
{
    (void)w;
    if (is_pending && s->rx_len + offset <= s->rx_urgent)
        return;
    s->rx_urgent = s->rx_len + offset;
    s->n_urgent++;
}

bool session_rx_urgent_came(struct worker *w, struct session *s)
{
    (void)w;
    s->urgent_came = s->rx_len > s->rx_urgent;
    return s->urgent_came;
}

bool session_tx_urgent(const struct session *s, uint32_t *end)
{
    *end = s->tx_urgent_end;
    return s->tx_urgent_end != 0;
}

void session_rx_want_space(struct worker *w, struct session *s, uint32_t bytes)
{
    (void)w;
    s->want_space = s->rx_says ? s->rx_max / 2 : bytes;
}

void session_rx_fin(struct worker *w, struct session *s)
{
    (void)w;
    s->rx_fin = true;
}

void session_reset(struct worker *w, struct session *s, int error)
{
    (void)w;
    s->reset_error = error;
    s->conn = NULL;
}

void session_soft_error(struct worker *w, struct session *s, int error)
{
    (void)w;
    s->soft_error = error;
}

void session_closed(struct worker *w, struct session *s)
{
    (void)w;
    s->is_closed = true;
    s->conn = NULL;
}

uint32_t session_tx_avail(struct worker *w, struct session *s)
{
    (void)w;
    if (++s->n_tx_looks == s->late_look)
        s->tx_len += s->late_len;
    return s->tx_seen = s->tx_len;
}

uint32_t session_tx_seen(const struct session *s) { return s->tx_seen; }

void session_tx_copy(struct worker *w, struct session *s, uint32_t offset, void *dst, uint32_t len)
{
    (void)w;
    assert(offset + len <= s->tx_len);
    memcpy(dst, s->tx + s->tx_at + offset, len);
}

int session_tx_attach_iov(struct worker *w, struct session *s, uint32_t offset, uint32_t len, struct iovec iov[4])
{
    (void)offset, (void)len, (void)iov;
    host_of(w)->n_attach_asked++;
    return s->used ? 0 : -EPROTO; /* what is sent waits here for long: copies */
}

void session_tx_drop(struct worker *w, struct session *s, uint32_t len)
{
    (void)w;
    assert(len <= s->tx_len);
    s->tx_at += len;
    s->tx_len -= len;
    if (s->tx_at > sizeof(s->tx) - FAKE_FIFO) {
        memmove(s->tx, s->tx + s->tx_at, s->tx_len);
        s->tx_at = 0;
    }
    s->tx_seen -= len;
    s->tx_urgent_end -= hs_min_u32(s->tx_urgent_end, len);
}

uint16_t session_fib(const struct session *s)
{
    (void)s;
    return 0;
}

void session_tx_schedule(struct worker *w, struct session *s)
{
    (void)w;
    s->tx_due = true;
}

int worker_pin_add(struct worker *w, const struct ip_endpoint *src, const struct ip_endpoint *dst) { return (void)w, (void)src, (void)dst, 0; }
uint64_t worker_random(struct worker *w) { return w->rng[0] += 0x9e3779b97f4a7c15ull; }

/* ---- below TCP ---- */

bool ip_cache_is_local(struct worker *w, const struct ip_route_cache *c) { return (void)w, (void)c, false; }

int ip_output(struct worker *w, struct pkt *p, const struct ip_tx *tx)
{
    struct fake_host *h = host_of(w);

    h->last_tx = *tx;
    pkt_meta(p)->tos = tx->tos;
    if (h->output_error || h->n_out == FAKE_OUT) {
        pkt_free(p);
        return h->output_error;
    }
    h->out[h->n_out++] = p;
    return 0;
}

void ip_confirm_way(struct worker *w, struct ip_route_cache *c)
{
    (void)w;
    (void)c;
}

int ip_path_lookup_by(struct worker *w, uint16_t fib, uint8_t dev HS_UNUSED, const struct ip_addr *dst, struct ip_path *out)
{
    struct fake_host *h = host_of(w);

    (void)fib;
    (void)dst;
    *out = (struct ip_path){ .mtu = h->cached_mtu && h->cached_mtu < h->mtu ? h->cached_mtu : h->mtu, .link_mtu = h->mtu,
                             .offloads = (h->tso_max ? PORT_TX_TSO | PORT_TX_CSUM : 0u) |
                             (h->takes_attached ? PORT_TX_ATTACHED : 0u), .tso_max = h->tso_max,
                             .ifc = &h->ifc };
    return h->route_error;
}

void pmtu_learn(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint32_t mtu)
{
    struct fake_host *h = host_of(w);

    (void)fib;
    (void)dst;
    if (!h->cached_mtu || mtu < h->cached_mtu)
        h->cached_mtu = (uint16_t)mtu;
}

void pmtu_arrived(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint16_t mtu)
{
    struct fake_host *h = host_of(w);

    (void)fib;
    (void)dst;
    if (h->cached_mtu && mtu > h->cached_mtu)
        h->cached_mtu = mtu;
}

uint16_t pmtu_limit(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint16_t mtu)
{
    struct fake_host *h = host_of(w);

    (void)fib;
    (void)dst;
    return h->cached_mtu && h->cached_mtu < mtu ? h->cached_mtu : mtu;
}

bool interface_is_broadcast(const struct interface *ifc, const struct ip_addr *ip)
{
    (void)ifc;
    return ip_addr_is_v4(ip) && (be32_get(ip->w[3]) & 255) == 255;
}

/* ---- for tests ---- */

int fake_eal_init(void)
{
    char prefix[64];
    char *argv[] = { "tcp", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", prefix, NULL };

    snprintf(prefix, sizeof(prefix), "--file-prefix=tcp-fake-%d", (int)getpid());
    return rte_eal_init((int)HS_ARRAY_LEN(argv) - 1, argv);
}

void fake_init(struct fake_host *h, const char *pool_name)
{
    memset(h, 0, sizeof(*h));
    h->w.stack = &h->stack;
    h->w.pools = &h->stack.pools;
    h->w.transport_state[SVM_PROTO_TCP] = &h->tw;
    h->w.now_us = 1000000000;
    h->w.rng[0] = 42;
    h->w.secret[3] = 7;
    h->mtu = 1500;
    assert(pkt_pools_create(&h->stack.pools, pool_name, 2048, 64) == 0);
    timer_wheel_init(&h->w.timers, h->w.now_us);
    assert(tcp_transport_ops.worker_init(&h->w) == 0);
    h->tw.cfg.idle_us = 0; /* scripts hold on to their connections */
    h->listener.backlog = 8;
}

void fake_fini(struct fake_host *h)
{
    tcp_transport_ops.worker_fini(&h->w);
    for (unsigned i = 0; i < h->n_out; i++)
        pkt_free(h->out[i]);
    assert(h->w.timers.n_running == 0);
    assert(h->tw.n_conns == 0 && h->tw.n_half_open == 0 && h->listener.half_open == 0);
    assert(rte_mempool_in_use_count(h->stack.pools.small) == 0);
    assert(rte_mempool_in_use_count(h->stack.pools.big) == 0);
    pkt_pools_destroy(&h->stack.pools);
}

void fake_tx(struct fake_host *h)
{
    for (unsigned i = 0; i < FAKE_SESSIONS; i++) {
        struct session *s = &h->s[i];

        while (s->used && s->tx_due) {
            s->tx_due = false;
            if (s->conn && tcp_transport_ops.tx(&h->w, s->conn, 1 + worker_random(&h->w) % 65536) == TRANSPORT_TX_MORE)
                s->tx_due = true;
        }
    }
}

void fake_advance(struct fake_host *h, uint64_t us)
{
    uint64_t end = h->w.now_us + us;

    for (;;) {
        uint64_t next = timer_wheel_next_us(&h->w.timers);

        if (next > end)
            break;
        if (next > h->w.now_us)
            h->w.now_us = next;
        timer_wheel_run(&h->w.timers, &h->w, h->w.now_us);
        fake_tx(h);
    }
    h->w.now_us = end;
}

struct session *fake_accepted(struct fake_host *h)
{
    struct session *last = NULL;

    for (unsigned i = 0; i < FAKE_SESSIONS; i++) {
        if (h->s[i].used && h->s[i].accepted)
            last = &h->s[i];
    }
    return last;
}

struct ip_endpoint fake_endpoint(const char *ip, uint16_t port)
{
    struct ip_endpoint e = { .port = be16_of(port) };

    assert(ip_addr_parse(ip, &e.ip) == 0);
    return e;
}

struct session *fake_connect(struct fake_host *h, const char *lcl, uint16_t lport, const char *rmt, uint16_t rport)
{
    struct ip_endpoint l = fake_endpoint(lcl, lport), r = fake_endpoint(rmt, rport);
    struct session *s = session_new(h);

    s->layer_cfg = h->layer_cfg;
    s->connect_how = h->connect_how;
    int rc = tcp_transport_ops.connect(&h->w, s, &l, &r, &s->conn);

    if (rc != 0) {
        s->connect_error = rc;
        s->conn = NULL;
    }
    return s;
}

uint32_t fake_write(struct fake_host *h, struct session *s, const void *data, uint32_t len)
{
    if (len > FAKE_FIFO - s->tx_len)
        len = FAKE_FIFO - s->tx_len;
    memcpy(s->tx + s->tx_at + s->tx_len, data, len);
    s->tx_len += len;
    s->tx_due = true;
    fake_tx(h);
    return len;
}

uint32_t fake_read(struct fake_host *h, struct session *s, void *buf, uint32_t len)
{
    if (len > s->rx_len)
        len = s->rx_len;
    memcpy(buf, s->rx, len);
    memmove(s->rx, s->rx + len, s->rx_max - len);
    memmove(s->have, s->have + len, s->rx_max - len);
    memset(s->have + s->rx_max - len, 0, len);
    s->rx_len -= len;
    if (s->want_space && s->conn && s->rx_max - s->rx_len >= s->want_space) {
        s->want_space = 0;
        tcp_transport_ops.rx_space(&h->w, s->conn);
    }
    return len;
}

static void prepare_pkt(struct fake_host *h, struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst, uint16_t flags,
                      uint8_t tos)
{
    struct pkt_meta *m = pkt_meta(p);

    memset(m, 0, sizeof(*m));
    m->src = *src;
    m->dst = *dst;
    m->ip_proto = 6;
    m->flags = flags;
    m->tos = tos;
    m->ifc = &h->ifc;
    m->l4_total = pkt_len(p);
}

static void input_pkt(struct fake_host *h, struct pkt *p)
{
    tcp_transport_ops.input(&h->w, &p, 1);
    fake_tx(h);
}

struct pkt *fake_packet(struct fake_host *h, const struct ip_endpoint *src, const struct ip_endpoint *dst, const struct fake_seg *s)
{
    unsigned opt_len = (s->opt_len + 3) & ~3u, hdr_len = 20 + opt_len;
    struct pkt *p = pkt_alloc(&h->stack.pools, hdr_len + s->len);
    struct tcp_hdr *t = (struct tcp_hdr *)(void *)pkt_append(p, (uint16_t)(hdr_len + s->len));

    memset(t, 0, hdr_len);
    t->src_port = src->port;
    t->dst_port = dst->port;
    t->seq = be32_of(s->seq);
    t->ack = be32_of(s->ack);
    t->data_off = (uint8_t)(hdr_len << 2 | (s->reserved & 15));
    t->urgent = be16_of(s->urgent);
    t->flags = s->flags;
    t->window = be16_of(s->wnd);
    if (s->opt_len)
        memcpy(t + 1, s->opt, s->opt_len);
    if (s->len)
        memcpy((uint8_t *)t + hdr_len, s->data, s->len);
    if (s->bad_checksum)
        t->checksum.raw = 0x1234;
    prepare_pkt(h, p, &src->ip, &dst->ip, (uint16_t)(s->pkt_flags | (s->bad_checksum ? 0 : PKT_L4_CSUM_GOOD)), s->tos);
    pkt_meta(p)->ttl = s->ttl ? s->ttl : 64;
    return p;
}

void fake_input(struct fake_host *h, const struct ip_endpoint *src, const struct ip_endpoint *dst, const struct fake_seg *s)
{
    input_pkt(h, fake_packet(h, src, dst, s));
}

void fake_deliver(struct fake_host *h, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    uint32_t n = pkt_len(p);
    struct pkt *copy = pkt_alloc(&h->stack.pools, n);
    struct ip_addr src = m->src, dst = m->dst;

    pkt_copy_out(p, 0, pkt_append(copy, (uint16_t)n), n);
    prepare_pkt(h, copy, &src, &dst, PKT_L4_CSUM_GOOD, pkt_meta(p)->tos);
    input_pkt(h, copy);
}

bool fake_take(struct fake_host *h, struct fake_seg *s, uint8_t *data, uint32_t data_max)
{
    static uint8_t opt[TCP_OPT_MAX]; /* valid until the next call */
    const struct tcp_hdr *t;
    struct pkt *p;
    unsigned hdr_len;

    if (h->n_out == 0)
        return false;
    memset(s, 0, sizeof(*s));
    p = h->out[0];
    memmove(h->out, h->out + 1, --h->n_out * sizeof(h->out[0]));
    t = (const struct tcp_hdr *)(const void *)pkt_data(p);
    hdr_len = tcp_hdr_len(t);
    s->flags = t->flags;
    s->tos = pkt_meta(p)->tos;
    s->seq = be32_get(t->seq);
    s->ack = be32_get(t->ack);
    s->wnd = be16_get(t->window);
    s->urgent = be16_get(t->urgent);
    s->reserved = t->data_off & 15;
    s->opt_len = hdr_len - 20;
    memcpy(opt, t + 1, s->opt_len);
    s->opt = opt;
    s->len = pkt_len(p) - hdr_len;
    if (data && s->len <= data_max)
        pkt_copy_out(p, hdr_len, data, s->len);
    pkt_free(p);
    return true;
}

/* ---- capture/: nobody looks ---- */

void capture_drop(struct worker *w HS_UNUSED, struct pkt *p HS_UNUSED, const char *layer HS_UNUSED, const char *why HS_UNUSED) {}
void capture_stop_at(struct worker *w HS_UNUSED, const struct pkt *p HS_UNUSED, const char *stop HS_UNUSED, const char *fmt HS_UNUSED, ...) {}
