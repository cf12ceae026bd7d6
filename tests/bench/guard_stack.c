/* guard_stack.c - operations of shared memory and of the stack for bench-guard: two stacks on a wire without cost, virtual time
 * Prints "operation times" for each; nothing depends on the clock, on addresses or on chance. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <rte_eal.h>
#include "server/ip/interface.h"
#include "server/session/session_run.h"
#include "server/tcp/tcp.h"
#include "server/udp/udp.h"
#include "svm/svm_msgq.h"
#include "tests/bench/guard_op.h"
#include "tests/sim/sim_app.h"
#include "tests/unit/svm/svm_test.h"

enum { TIMES = 1000, BULK_TIMES = 100, CONNS = 200, AT_ONCE = 32, TURN_US = 20, SEGMENT = 1000, BULK = 65536, WIRE_LEN = 256, DATAGRAM = 200 };

static uint8_t data[BULK] HS_ALIGNED_LINE, sink[BULK] HS_ALIGNED_LINE;

/* ---- shared memory ---- */

static struct pair fifo;

GUARD_OP(fifo_64)(void)
{
    svm_fifo_enqueue(&fifo.p, data, 64);
    svm_fifo_dequeue(&fifo.c, sink, 64);
}

GUARD_OP(fifo_16k)(void)
{
    svm_fifo_enqueue(&fifo.p, data, 16384);
    svm_fifo_dequeue(&fifo.c, sink, 16384);
}

GUARD_OP(fifo_event)(void) /* both directions of telling: there is data, there is space again */
{
    if (svm_fifo_prod_event_due(&fifo.p))
        svm_fifo_cons_event_taken(&fifo.c, fifo.p.evt_seq);
    svm_fifo_cons_arm(&fifo.c);
    svm_fifo_cons_space_due(&fifo.c);
}

static struct svm_msgq_prod q_prod;
static struct svm_msgq_cons q_cons;

GUARD_OP(msgq)(void)
{
    struct svm_msg m = { 0 };

    svm_msgq_post(&q_prod, &m);
    svm_msgq_take(&q_cons, &m, 1);
}

static void shared_memory(void)
{
    static struct svm_msgq_prod_line prod_line;
    static struct svm_msgq_cons_line cons_line;
    static struct svm_msg entries[256];

    pair_open(&fifo, 1 << 16, 1 << 20, 0);
    svm_fifo_enqueue(&fifo.p, data, BULK); /* grows to its full size first */
    svm_fifo_dequeue(&fifo.c, sink, BULK);
    for (unsigned i = 0; i < TIMES; i++) {
        op_fifo_64();
        op_fifo_16k();
        op_fifo_event();
    }
    guard_done("fifo_64", TIMES);
    guard_done("fifo_16k", TIMES);
    guard_done("fifo_event", TIMES);
    guard_must(svm_fifo_cons_avail(&fifo.c) == 0 && memcmp(data, sink, 16384) == 0, "the FIFO gives what it was given");
    pair_close(&fifo);
    q_prod = (struct svm_msgq_prod){ .line = &prod_line, .peer = &cons_line, .entries = entries, .mask = HS_ARRAY_LEN(entries) - 1 };
    q_cons = (struct svm_msgq_cons){ .line = &cons_line, .peer = &prod_line, .entries = entries, .mask = HS_ARRAY_LEN(entries) - 1 };
    for (unsigned i = 0; i < TIMES; i++)
        op_msgq();
    guard_done("msgq", TIMES);
}

/* ---- two stacks ---- */

struct wire_end { /* a port that hands each packet to the other one, as it is */
    struct port port;
    struct wire_end *other;
    struct pkt *p[WIRE_LEN];
    unsigned n;
};
static struct wire_end wire[2];
static struct stack *stack[2];
static struct sim_app *app[2];
static uint64_t now_us = 1000000;

static unsigned wire_rx(struct port *port, unsigned queue HS_UNUSED, struct pkt **pkts, unsigned n)
{
    struct wire_end *e = port->priv;

    if (n > e->n)
        n = e->n;
    memcpy(pkts, e->p, n * sizeof(pkts[0]));
    e->n -= n;
    memmove(e->p, e->p + n, e->n * sizeof(e->p[0]));
    return n;
}

static unsigned wire_tx(struct port *port, unsigned queue HS_UNUSED, struct pkt **pkts, unsigned n)
{
    struct wire_end *to = ((struct wire_end *)port->priv)->other;

    guard_must(to->n + n <= WIRE_LEN, "the wire has room");
    for (unsigned i = 0; i < n; i++) {
        pkt_meta(pkts[i])->flags = PKT_L4_CSUM_GOOD;
        to->p[to->n++] = pkts[i];
    }
    return n;
}

static int wire_wait_fd(struct port *port HS_UNUSED, unsigned queue HS_UNUSED) { return -1; }
static void wire_stats(struct port *port HS_UNUSED, struct port_stats *out) { memset(out, 0, sizeof(*out)); }
static int wire_is_up(struct port *port HS_UNUSED) { return 1; }
static void wire_close(struct port *port HS_UNUSED) { }
static const struct port_ops wire_ops = { .kind = "wire", .rx_burst = wire_rx, .tx_burst = wire_tx, .rx_wait_fd = wire_wait_fd,
                                          .stats = wire_stats, .link_up = wire_is_up, .close = wire_close };

static struct ip_endpoint endpoint(unsigned i, uint16_t port)
{
    struct ip_endpoint e = { .port = be16_of(port) };

    guard_must(ip_addr_parse(i ? "10.9.0.2" : "10.9.0.1", &e.ip) == 0, "an address");
    return e;
}

static void stack_up(unsigned i)
{
    struct stack_options opt = { .n_workers = 1, .seed = i + 1, .n_small_pkts = 4096, .n_big_pkts = 128, .pool_name = i ? "g1" : "g0" };
    struct sim_app_options ao = { .rx_max = 1 << 18, .tx_max = 1 << 18 };
    struct interface *ifc;
    struct ip_prefix prefix;
    struct wire_end *e = &wire[i];

    guard_must(stack_create(&opt, &stack[i]) == 0, "a stack");
    e->other = &wire[!i];
    e->port = (struct port){ .ops = &wire_ops, .mac = { 2, 'h', 's', 0, 0, (uint8_t)i }, .mtu = 1500, .tso_max = 65535 - 14,
                             .offloads = PORT_TX_CSUM | PORT_TX_TSO | PORT_RX_CSUM, .n_rx_queues = 1, .n_tx_queues = 1,
                             .pools = &stack[i]->pools, .priv = e };
    guard_must(stack_add_port(stack[i], &e->port) == 0 && interface_add(stack[i], 0, 0, 0, INTERFACE_ADDR_NO_DAD, &ifc) == 0 &&
               ip_prefix_parse(i ? "10.9.0.2/24" : "10.9.0.1/24", &prefix) == 0 &&
               interface_add_address(ifc, &prefix, INTERFACE_ADDR_NO_DAD) == 0, "an interface");
    guard_must(sim_app_create(stack[i]->worker[0], &ao, &app[i]) == 0, "a program");
}

static unsigned step(unsigned i) { return worker_step(stack[i]->worker[0], now_us); }

static void settle(void) /* until nothing moves at this instant */
{
    now_us += TURN_US;
    while (step(0) + step(1) > 0)
        ;
}

static void let_pass(uint64_t us)
{
    for (uint64_t end = now_us + us; now_us < end; now_us += 1000)
        settle();
}

static struct sim_sock *client, *server, *listener;

static void open_from(unsigned from, const struct ip_endpoint *to)
{
    guard_must(sim_connect(app[from], SVM_PROTO_TCP, NULL, to, &client) == 0, "connect");
    settle();
    server = sim_accept(listener);
    int32_t on = 1;
    guard_must(server && client->connected &&
               session_attr_set(stack[from]->worker[0], client->session, SVM_ATTR_NODELAY, &on, sizeof(on)) == 0, "a connection");
    settle();
}

/* One segment on its way: the sender's turn, the receiver's, and the sender's with the acknowledgement, if one came. */
GUARD_OP(tcp_out)(void) { step(0); }
GUARD_OP(tcp_in)(void) { step(1); }
GUARD_OP(tcp_ack_in)(void) { step(0); }
GUARD_OP(tcp_bulk)(void) /* 64 KB in super-frames, all turns of both sides */
{
    sim_write(client, data, BULK);
    settle();
    sim_read(server, sink, BULK);
    settle();
}
GUARD_OP(tcp_inside)(void) /* both ends on one worker */
{
    sim_write(client, data, SEGMENT);
    now_us += TURN_US;
    step(1);
    guard_must(sim_read(server, sink, SEGMENT) == SEGMENT, "a segment inside one stack takes one turn");
}
GUARD_OP(idle_turn)(void) { step(0); }

static void tcp_stream(const struct ip_endpoint *at)
{
    open_from(0, at);
    for (unsigned i = 0; i < TIMES; i++) {
        guard_must(sim_write(client, data, SEGMENT) == SEGMENT, "a write");
        now_us += TURN_US;
        op_tcp_out();
        op_tcp_in();
        guard_must(sim_read(server, sink, BULK) == SEGMENT, "a segment in each turn");
        op_tcp_ack_in();
    }
    guard_done("tcp_out", TIMES);
    guard_done("tcp_in", TIMES);
    guard_done("tcp_ack_in", TIMES);
    let_pass(100000);
    for (unsigned i = 0; i < BULK_TIMES; i++)
        op_tcp_bulk();
    guard_done("tcp_bulk", BULK_TIMES);
    let_pass(100000);
    guard_must(sim_readable(server) == 0, "all was read");
    for (unsigned i = 0; i < TIMES; i++)
        op_idle_turn();
    guard_done("idle_turn", TIMES);
    sim_sock_free(client);
    sim_sock_free(server);
    let_pass(100000);
    open_from(1, at);
    for (unsigned i = 0; i < TIMES; i++)
        op_tcp_inside();
    guard_done("tcp_inside", TIMES);
    sim_sock_free(client);
    sim_sock_free(server);
    let_pass(100000);
}

GUARD_OP(tcp_open)(const struct ip_endpoint *at) { open_from(0, at); } /* both sides: connect, accept */
GUARD_OP(tcp_close)(void) /* both sides, to TIME-WAIT */
{
    sim_sock_free(server);
    settle();
    sim_sock_free(client);
    settle();
}

static void turns_inside(void)
{
    now_us += TURN_US;
    while (step(1) > 0)
        ;
}

GUARD_OP(tcp_conn_inside)(const struct ip_endpoint *at) /* both ends on one worker: connect, accept, a question, an answer, both close */
{
    open_from(1, at);
    sim_write(client, data, 64);
    settle();
    guard_must(sim_read(server, sink, BULK) == 64 && sim_write(server, data, 64) == 64, "a question");
    settle();
    guard_must(sim_read(client, sink, BULK) == 64, "an answer");
    sim_sock_free(client);
    settle();
    sim_sock_free(server);
    settle();
}

/* The same of so many at once: what a turn costs by itself is shared, and packets come in batches. */
GUARD_OP(tcp_conns_inside)(const struct ip_endpoint *at)
{
    struct sim_sock *asks[AT_ONCE], *answers[AT_ONCE];

    for (unsigned i = 0; i < AT_ONCE; i++)
        guard_must(sim_connect(app[1], SVM_PROTO_TCP, NULL, at, &asks[i]) == 0, "connect");
    turns_inside();
    for (unsigned i = 0; i < AT_ONCE; i++)
        guard_must((answers[i] = sim_accept(listener)) != NULL && sim_write(asks[i], data, 64) == 64, "a connection");
    turns_inside();
    for (unsigned i = 0; i < AT_ONCE; i++)
        guard_must(sim_read(answers[i], sink, BULK) == 64 && sim_write(answers[i], data, 64) == 64, "a question");
    turns_inside();
    for (unsigned i = 0; i < AT_ONCE; i++) {
        guard_must(sim_read(asks[i], sink, BULK) == 64, "an answer");
        sim_sock_free(asks[i]);
    }
    turns_inside();
    for (unsigned i = 0; i < AT_ONCE; i++)
        sim_sock_free(answers[i]);
    turns_inside();
}

static void tcp_connections(const struct ip_endpoint *at)
{
    for (unsigned i = 0; i < CONNS; i++) {
        op_tcp_open(at);
        op_tcp_close();
    }
    guard_done("tcp_open", CONNS);
    guard_done("tcp_close", CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        op_tcp_conn_inside(at);
    guard_done("tcp_conn_inside", CONNS);
    for (unsigned i = 0; i < CONNS / AT_ONCE; i++)
        op_tcp_conns_inside(at);
    guard_done("tcp_conns_inside", CONNS / AT_ONCE * AT_ONCE);
}

/* ---- the session layer alone: the transport is left out, the connection is of no use afterwards ---- */

GUARD_OP(session_rx)(struct session *s)
{
    struct worker *w = stack[1]->worker[0];

    session_rx_enqueue(w, s, 0, data, SEGMENT);
    session_rx_window(w, s);
    session_events_flush(w);
}

GUARD_OP(session_tx)(struct session *s)
{
    struct worker *w = stack[0]->worker[0];
    struct iovec iov[4];

    if (session_tx_avail(w, s) >= SEGMENT && session_tx_peek_iov(w, s, 0, SEGMENT, iov) > 0)
        session_tx_drop(w, s, SEGMENT);
}

static void session_layer(const struct ip_endpoint *at)
{
    open_from(0, at);
    for (unsigned i = 0; i < TIMES; i++) {
        op_session_rx(server->session);
        guard_must(sim_read(server, sink, BULK) == SEGMENT, "what was enqueued is read");
    }
    guard_done("session_rx", TIMES);
    for (unsigned i = 0; i < TIMES; i++) {
        guard_must(sim_write(client, data, SEGMENT) == SEGMENT, "the session drops what is acknowledged");
        op_session_tx(client->session);
    }
    guard_done("session_tx", TIMES);
}

/* ---- datagrams ---- */

static struct sim_sock *udp[2];

GUARD_OP(udp)(const struct ip_endpoint *to) /* one datagram: sendto, both stacks' turns, recvfrom */
{
    struct ip_endpoint from;

    sim_sendto(udp[0], to, data, DATAGRAM);
    now_us += TURN_US;
    step(0);
    step(1);
    guard_must(sim_recvfrom(udp[1], &from, sink, BULK) == DATAGRAM, "a datagram arrives");
}

static void datagrams(void)
{
    struct ip_endpoint at[2] = { endpoint(0, 53), endpoint(1, 53) };

    for (unsigned i = 0; i < 2; i++)
        guard_must(sim_bind(app[i], SVM_PROTO_UDP, &at[i], &udp[i]) == 0, "a bound socket");
    for (unsigned i = 0; i < TIMES; i++)
        op_udp(&at[1]);
    guard_done("udp", TIMES);
}

int main(void)
{
    char prefix[64];
    char *argv[] = { "guard", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", prefix, NULL };

    for (unsigned i = 0; i < BULK; i++)
        data[i] = stream_byte(i);
    shared_memory();
    snprintf(prefix, sizeof(prefix), "--file-prefix=hs-guard-%d", (int)getpid());
    guard_must(rte_eal_init((int)HS_ARRAY_LEN(argv) - 1, argv) >= 0, "DPDK's environment");
    guard_must(transport_register(&tcp_transport_ops) == 0 && transport_register(&udp_transport_ops) == 0, "transports");
    stack_up(0);
    stack_up(1);
    struct ip_endpoint at = endpoint(1, 80);
    guard_must(sim_listen(app[1], SVM_PROTO_TCP, &at, 64, &listener) == 0, "a listener");
    tcp_stream(&at);
    tcp_connections(&at);
    datagrams();
    session_layer(&at);
    return 0;
}
