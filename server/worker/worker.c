/* worker.c - a stack and its workers: made and ended, one turn of a worker, packets and commands between workers */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <rte_cycles.h>
#include "common/log.h"
#include "common/splitmix.h"
#include "server/app/app_port.h"
#include "server/autoconf/autoconf.h"
#include "server/dhcp/dhcp.h"
#include "server/linux_sync/linux_sync.h"
#include "server/capture/capture.h"
#include "server/eth/eth.h"
#include "server/ip/ip.h"
#include "server/session/session_run.h"
#include "server/worker/worker_private.h"

enum { LOCAL_BUDGET = 1024 };

/* ---- random numbers ---- */

uint64_t worker_random(struct worker *w) /* xoroshiro128+ (Blackman and Vigna, 2018) */
{
    uint64_t a = w->rng[0], b = w->rng[1], sum = a + b;

    b ^= a;
    w->rng[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    w->rng[1] = b << 37 | b >> 27;
    return sum;
}

/* ---- rings between workers ---- */

static struct rte_ring *ring_new(const char *name)
{
    ssize_t size = rte_ring_get_memsize_elem(16, WORKER_RING);
    struct rte_ring *r = size > 0 ? aligned_alloc(HS_CACHE_LINE, ((size_t)size + 63) & ~(size_t)63) : NULL;

    if (r && rte_ring_init(r, name, WORKER_RING, RING_F_SC_DEQ) != 0) {
        free(r);
        r = NULL;
    }
    return r;
}

bool worker_hand_over(struct worker *from, struct worker *to, struct pkt *p, unsigned port, enum worker_handover_kind kind)
{
    struct worker_handover h = { p, port, kind };

    if (rte_ring_mp_enqueue_elem(to->priv->handover, &h, sizeof(h)) != 0) {
        worker_count(&from->priv->counters.handover_drops, 1);
        return false;
    }
    worker_count(&from->priv->counters.handed_over, 1);
    worker_wake(to);
    return true;
}

void worker_clone_to_all(struct worker *w, unsigned port, struct pkt *p)
{
    for (unsigned i = 0; i < w->stack->n_workers; i++) {
        if (i == w->index)
            continue;
        struct pkt *copy = pkt_alloc(w->pools, pkt_len(p));
        uint8_t *room = copy ? pkt_append(copy, (uint16_t)pkt_len(p)) : NULL;
        if (!room) {
            if (copy)
                pkt_free(copy);
            worker_count(&w->priv->counters.handover_drops, 1);
            continue;
        }
        pkt_copy_out(p, 0, room, pkt_len(p));
        *pkt_meta(copy) = *pkt_meta(p);
        pkt_vlan_tci_set(copy, pkt_vlan_tci(p));
        pkt_meta(copy)->flags |= PKT_CLONED;
        if (!worker_hand_over(w, w->stack->worker[i], copy, port, HANDOVER_ETH))
            pkt_free(copy);
    }
}

int worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
    struct worker_command c = { fn, arg };

    if (worker_is_here(w)) {
        fn(w, arg);
        return 0;
    }
    if (rte_ring_mp_enqueue_elem(w->priv->commands, &c, sizeof(c)) != 0)
        return -EAGAIN;
    worker_wake(w);
    return 0;
}

static inline unsigned run_commands(struct worker *w)
{
    struct worker_command c;
    unsigned n = 0;

    while (n < WORKER_BURST && rte_ring_sc_dequeue_elem(w->priv->commands, &c, sizeof(c)) == 0) {
        c.fn(w, c.arg);
        n++;
    }
    if (n) {
        worker_count(&w->priv->counters.commands, n);
        worker_sure_room(w);
    }
    return n;
}

unsigned worker_run_commands(struct worker *w)
{
    return run_commands(w);
}

/* ---- transmit ---- */

static void tx_flush_port(struct worker *w, unsigned port)
{
    struct worker_tx_buf *b = &w->priv->tx[port];
    struct port *p = w->stack->port[port];
    unsigned queue = w->index % p->n_tx_queues;
    unsigned sent = p->ops->tx_burst(p, queue, b->p, b->n);

    if (sent < b->n && sent)
        sent += p->ops->tx_burst(p, queue, b->p + sent, b->n - sent);
    worker_count(&w->priv->counters.tx_packets, sent);
    b->n -= sent;
    if (b->n == 0) {
        b->stuck_since_us = 0;
        return;
    }
    memmove(b->p, b->p + sent, b->n * sizeof(b->p[0]));
    if (sent || b->stuck_since_us == 0) {
        b->stuck_since_us = w->now_us ? w->now_us : 1;
    } else if (w->now_us - b->stuck_since_us >= WORKER_TX_STUCK_US) {
        worker_count(&w->priv->counters.tx_drops, b->n);
        for (unsigned i = 0; i < b->n; i++)
            pkt_free(b->p[i]);
        b->n = 0;
        b->stuck_since_us = 0;
    }
}

static void tx_drop(struct worker *w, struct pkt *p, const char *why)
{
    if (capture_is_on(w))
        capture_drop(w, p, "port", why);
    worker_count(&w->priv->counters.tx_drops, 1);
    pkt_free(p);
}

void worker_tx_settle(struct worker *w)
{
    for (unsigned port = 0; port < w->stack->n_ports; port++) {
        struct worker_tx_buf *b = &w->priv->tx[port];
        unsigned kept = 0;

        if (!b->has_attached)
            continue;
        b->has_attached = false;
        if (b->n)
            tx_flush_port(w, port);
        for (unsigned i = 0; i < b->n; i++) {
            if (pkt_own(w->pools, b->p[i]) == 0)
                b->p[kept++] = b->p[i];
            else
                tx_drop(w, b->p[i], "takes nothing, no packet buffer");
        }
        b->n = kept;
    }
}

void worker_tx(struct worker *w, unsigned port, struct pkt *p)
{
    struct worker_tx_buf *b = &w->priv->tx[port];
    const struct port *out = w->stack->port[port];
    uint32_t offloads = port_offloads(out);
    /* A queue has one user: with fewer queues than workers, worker 0 sends for all. */
    bool is_passed_on = w->index != 0 && out->n_tx_queues < w->stack->n_workers && !(offloads & PORT_MT_TX);

    if (pkt_meta(p)->flags & PKT_ATTACHED) {
        if (hs_likely(!is_passed_on && (offloads & PORT_TX_ATTACHED))) {
            b->has_attached = true;
        } else if (pkt_own(w->pools, p) < 0) {
            tx_drop(w, p, "no packet buffer");
            return;
        }
    }
    if (is_passed_on) {
        if (!worker_hand_over(w, w->stack->worker[0], p, port, HANDOVER_TX))
            pkt_free(p);
        return;
    }
    if (capture_is_on(w))
        capture_tx(w, port, p);
    if (b->n == WORKER_TX_BUF)
        tx_flush_port(w, port);
    if (b->n == WORKER_TX_BUF) {
        tx_drop(w, p, "takes nothing, queue full");
        return;
    }
    b->p[b->n++] = p;
}

bool worker_tx_is_pending(const struct worker *w)
{
    for (unsigned i = 0; i < w->stack->n_ports; i++)
        if (w->priv->tx[i].n)
            return true;
    return false;
}

/* ---- receive ---- */

static void lost(struct worker *w, unsigned port, struct pkt *p)
{
    if (capture_is_on(w)) {
        capture_rx(w, port, &p, 1);
        capture_drop(w, p, "worker", "the worker that it is for has too much to do");
    }
    pkt_free(p);
}

/* Keeps what this worker owns, in order; the rest goes to its owners. */
static unsigned keep_own(struct worker *w, unsigned port, struct pkt **pkts, unsigned n)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned owner = worker_rss_of_frame(w->stack, pkts[i]);
        if (owner == w->index) {
            pkts[kept++] = pkts[i];
            continue;
        }
        struct pkt *p = pkt_compact(w->pools, pkts[i]); /* it may have to wait */
        if (!worker_hand_over(w, w->stack->worker[owner], p, port, HANDOVER_ETH))
            lost(w, port, p);
    }
    return kept;
}

struct stage_clock {
    uint64_t last;
    uint64_t cycles[WORKER_N_STAGES];
};

static inline void stage_done(struct stage_clock *c, enum worker_stage stage)
{
    uint64_t now = rte_rdtsc();

    c->cycles[stage] += now - c->last;
    c->last = now;
}

static unsigned rx_queue(struct worker *w, unsigned port, unsigned queue, struct stage_clock *clock)
{
    struct port *p = w->stack->port[port];
    struct pkt *pkts[WORKER_BURST];
    unsigned total = 0;

    for (int round = 0; round < WORKER_RX_ROUNDS; round++) {
        unsigned n = p->ops->rx_burst(p, queue, pkts, WORKER_BURST), own = n;
        if (n == 0)
            break;
        total += n;
        if (w->stack->n_workers > 1)
            own = keep_own(w, port, pkts, n);
        stage_done(clock, WORKER_STAGE_RX);
        if (own)
            eth_input(w, port, pkts, own);
        stage_done(clock, WORKER_STAGE_TRANSPORT);
        if (n < WORKER_BURST)
            break;
    }
    return total;
}

static unsigned rx_handed_over(struct worker *w)
{
    struct worker_handover h[WORKER_BURST];
    unsigned n = rte_ring_sc_dequeue_burst_elem(w->priv->handover, h, sizeof(h[0]), WORKER_BURST, NULL);

    for (unsigned i = 0; i < n; i++) {
        if (h[i].kind == HANDOVER_TX)
            worker_tx(w, h[i].port, h[i].p);
        else if (h[i].kind == HANDOVER_IP)
            ip_worker_input(w, pkt_meta(h[i].p)->ifc, &h[i].p, 1);
        else
            eth_input(w, h[i].port, &h[i].p, 1);
    }
    return n;
}

/* Where asking costs a system call, a port without traffic must not slow down what goes on inside of the host. An idle worker asks always. */
static bool rx_can_wait(const struct worker *w, unsigned port)
{
    const struct worker_rx *r = &w->priv->rx[port];

    return w->priv->had_work && r->n_empty >= WORKER_RX_QUIET && w->now_us - r->asked_us < WORKER_RX_LATER_US;
}

static void rx_asked(struct worker *w, unsigned port, bool in_vain)
{
    struct worker_rx *r = &w->priv->rx[port];

    r->n_empty = in_vain ? r->n_empty + 1 : 0;
    r->asked_us = w->now_us;
}

static unsigned rx_all(struct worker *w, struct stage_clock *clock)
{
    struct stack *s = w->stack;
    unsigned n = 0;

    for (unsigned port = 0; port < s->n_ports; port++) {
        bool by_call = port_offloads(s->port[port]) & PORT_RX_CALL;
        unsigned before = n;

        if (hs_unlikely(by_call && rx_can_wait(w, port)))
            continue;
        for (unsigned q = w->index; q < s->port[port]->n_rx_queues; q += s->n_workers)
            n += rx_queue(w, port, q, clock);
        if (by_call)
            rx_asked(w, port, n == before);
    }
    worker_count(&w->priv->counters.rx_packets, n);
    if (s->n_workers > 1)
        n += rx_handed_over(w);
    n += ip_worker_drain_local(w, LOCAL_BUDGET);
    stage_done(clock, WORKER_STAGE_TRANSPORT);
    return n;
}

/* ---- one turn ---- */

static void count_turn(struct worker *w, struct stage_clock *clock, unsigned work)
{
    struct worker_counters *c = &w->priv->counters;

    worker_count(&c->turns, 1);
    w->priv->had_work = work > 0;
    if (!work) {
        uint64_t sum = 0;
        for (int i = 0; i < WORKER_N_STAGES; i++)
            sum += clock->cycles[i];
        worker_count(&c->cycles[WORKER_STAGE_EMPTY], sum);
        return;
    }
    worker_count(&c->busy_turns, 1);
    for (int i = 0; i < WORKER_N_STAGES; i++)
        worker_count(&c->cycles[i], clock->cycles[i]);
    w->priv->active_us = w->now_us;
}

unsigned worker_step(struct worker *w, uint64_t now_us)
{
    struct stage_clock clock = { .last = rte_rdtsc() };
    unsigned work;

    if (now_us > w->now_us)
        w->now_us = now_us;
    work = run_commands(w);
    if (hs_unlikely(w->priv->kept))
        work += worker_sure_run(w);
    work += rx_all(w, &clock);
    work += session_events_flush(w);
    work += app_port_input(w);
    stage_done(&clock, WORKER_STAGE_SESSION);
    work += session_transports_turn(w);
    work += session_tx_run(w);
    work += ip_worker_drain_local(w, LOCAL_BUDGET);
    stage_done(&clock, WORKER_STAGE_TX);
    work += timer_wheel_run(&w->timers, w, w->now_us);
    work += ip_worker_drain_local(w, LOCAL_BUDGET);
    stage_done(&clock, WORKER_STAGE_TRANSPORT);
    work += session_events_flush(w);
    for (unsigned port = 0; port < w->stack->n_ports; port++)
        if (w->priv->tx[port].n)
            tx_flush_port(w, port);
    stage_done(&clock, WORKER_STAGE_TX);
    app_port_flush(w);
    stage_done(&clock, WORKER_STAGE_SESSION);
    if (capture_is_on(w))
        capture_turn_end(w);
    count_turn(w, &clock, work);
    return work;
}

uint64_t worker_next_event_us(const struct worker *w)
{
    uint64_t next = timer_wheel_next_us(&w->timers);

    if (worker_tx_is_pending(w) && w->now_us + WORKER_TX_RETRY_US < next)
        next = w->now_us + WORKER_TX_RETRY_US; /* a port took not all: offer it again */
    return next;
}

/* ---- made and ended ---- */

static void drop_tx(struct worker *w)
{
    struct worker_handover h;

    while (rte_ring_sc_dequeue_elem(w->priv->handover, &h, sizeof(h)) == 0)
        pkt_free(h.p);
    for (unsigned port = 0; port < STACK_MAX_PORTS; port++) {
        for (unsigned i = 0; i < w->priv->tx[port].n; i++)
            pkt_free(w->priv->tx[port].p[i]);
        w->priv->tx[port].n = 0;
    }
}

static void worker_free(struct worker *w)
{
    if (w->priv) {
        free(w->priv->handover);
        free(w->priv->commands);
    }
    free(w->priv);
    free(w);
}

static struct worker *worker_new(struct stack *s, unsigned index, uint64_t *seed)
{
    struct worker *w = aligned_alloc(HS_CACHE_LINE, (sizeof(*w) + 63) & ~(size_t)63);

    if (!w)
        return NULL;
    memset(w, 0, sizeof(*w));
    w->priv = aligned_alloc(HS_CACHE_LINE, (sizeof(*w->priv) + 63) & ~(size_t)63);
    if (!w->priv)
        goto free_worker;
    memset(w->priv, 0, sizeof(*w->priv));
    w->priv->event_fd = w->priv->epfd = -1;
    w->priv->handover = ring_new("handover");
    w->priv->commands = ring_new("commands");
    if (!w->priv->handover || !w->priv->commands)
        goto free_worker;
    w->stack = s;
    w->index = index;
    w->pools = &s->pools;
    w->rng[0] = hs_splitmix(seed);
    w->rng[1] = hs_splitmix(seed) | 1; /* never all zero */
    timer_wheel_init(&w->timers, 0);
    return w;
free_worker:
    worker_free(w);
    return NULL;
}

static int stack_init_keys(struct stack *s, uint64_t seed)
{
    uint8_t secret[16];

    if (seed) { /* a test: everything replays */
        for (unsigned i = 0; i < 2; i++) {
            uint64_t v = hs_splitmix(&seed);
            memcpy(s->priv->rss_key + 8 * i, &v, 8);
            v = hs_splitmix(&seed);
            memcpy(secret + 8 * i, &v, 8);
        }
    } else if (getrandom(s->priv->rss_key, 16, 0) != 16 || getrandom(secret, 16, 0) != 16) {
        return -errno;
    }
    for (unsigned i = 0; i < s->n_workers; i++)
        memcpy(s->worker[i]->secret, secret, 16);
    return 0;
}

static int stack_make_workers(struct stack *s, const struct stack_options *opt)
{
    uint64_t seed = opt->seed;

    s->priv = aligned_alloc(HS_CACHE_LINE, HS_CACHE_LINE);
    if (!s->priv)
        return -ENOMEM;
    memset(s->priv, 0, sizeof(*s->priv));
    if (opt->n_workers > 1 && !(s->priv->udp_claims = calloc(65536, sizeof(*s->priv->udp_claims))))
        return -ENOMEM;
    if (opt->n_workers > 1 && worker_pins_create(&s->priv->pins) != 0)
        return -ENOMEM;
    if (!seed && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return -errno;
    for (; s->n_workers < opt->n_workers; s->n_workers++)
        if (!(s->worker[s->n_workers] = worker_new(s, s->n_workers, &seed)))
            return -ENOMEM;
    return stack_init_keys(s, opt->seed);
}

static void stack_free(struct stack *s)
{
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_free(s->worker[i]);
    if (s->priv) {
        free(s->priv->udp_claims);
        worker_pins_free(s->priv->pins);
    }
    free(s->priv);
    free(s);
}

int stack_create(const struct stack_options *opt, struct stack **out)
{
    unsigned n_session = 0, n_ip = 0;
    int rc = -ENOMEM;

    if (opt->n_workers < 1 || opt->n_workers > WORKER_MAX)
        return -EINVAL;
    struct stack *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    if ((rc = stack_make_workers(s, opt)) != 0)
        goto undo_workers;
    if ((rc = pkt_pools_create(&s->pools, opt->pool_name, opt->n_small_pkts, opt->n_big_pkts)) != 0)
        goto undo_workers;
    if ((rc = ip_stack_create(s)) != 0)
        goto undo_pools;
    if ((rc = session_stack_create(s)) != 0)
        goto undo_ip_stack;
    for (; n_ip < s->n_workers; n_ip++)
        if ((rc = ip_worker_create(s->worker[n_ip])) != 0)
            goto undo_ip_workers;
    for (; n_session < s->n_workers; n_session++)
        if ((rc = session_worker_create(s->worker[n_session])) != 0)
            goto undo_session_workers;
    *out = s;
    return 0;
undo_session_workers:
    while (n_session > 0)
        session_worker_destroy(s->worker[--n_session]);
undo_ip_workers:
    while (n_ip > 0)
        ip_worker_destroy(s->worker[--n_ip]);
    session_stack_destroy(s);
undo_ip_stack:
    ip_stack_destroy(s);
undo_pools:
    pkt_pools_destroy(&s->pools);
undo_workers:
    stack_free(s);
    return rc;
}

int stack_add_port(struct stack *s, struct port *p)
{
    if (s->n_ports == STACK_MAX_PORTS)
        return -ENOSPC;
    if (p->n_tx_queues == 0)
        return -EINVAL;
    s->port[s->n_ports++] = p;
    return 0;
}

void stack_destroy(struct stack *s)
{
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_stop(s->worker[i]);
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_finish_calls(s->worker[i]);
    capture_destroy(s);
    autoconf_destroy(s);
    dhcp_destroy(s);
    linux_sync_destroy(s);
    for (unsigned i = s->n_workers; i-- > 0;)
        session_worker_destroy(s->worker[i]);
    for (unsigned i = s->n_workers; i-- > 0;)
        ip_worker_destroy(s->worker[i]);
    for (unsigned i = 0; i < s->n_workers; i++)
        drop_tx(s->worker[i]);
    session_stack_destroy(s);
    for (unsigned i = 0; i < s->n_ports; i++)
        port_close(s->port[i]);
    ip_stack_destroy(s);
    pkt_pools_destroy(&s->pools);
    stack_free(s);
}
