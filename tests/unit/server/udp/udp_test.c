/* udp_test.c - UDP over the simulated network: boundaries, peers, errors, malformed datagrams and malformed records */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/ip/interface.h"
#include "server/mcast/mcast.h"
#include "server/udp/udp_internal.h"
#include "tests/sim/sim_pair.h"

static struct sim_pair pair;
static struct sim_app *app[2];
static uint8_t data[65536], buf[65536];

static void open_pair(uint64_t seed, const struct sim_params *params)
{
    cr_assert_eq(sim_eal_init("hsudp"), 0);
    cr_assert_eq(transport_register(&udp_transport_ops), 0);
    cr_assert_eq(sim_pair_create(&pair, seed, params, false), 0);
    struct sim_app_options opt = { .rx_max = 1 << 18, .tx_max = 1 << 18 };
    for (unsigned i = 0; i < 2; i++) {
        opt.client_id = i + 1;
        cr_assert_eq(sim_app_create(pair.stack[i]->worker[0], &opt, &app[i]), 0);
    }
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 131 + (i >> 8));
}
static void open_perfect(void)
{
    struct sim_params perfect = { 0 };

    open_pair(1, &perfect);
}
static void shut(void)
{
    for (unsigned i = 0; i < 2; i++)
        sim_app_destroy(app[i]);
    sim_net_run_until(pair.net, sim_net_now_us(pair.net) + 1000000);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_null(((struct udp_worker *)worker_transport_state(pair.stack[i]->worker[0], SVM_PROTO_UDP))->conns, "freed with the program");
    sim_pair_destroy(&pair);
}
TestSuite(udp, .init = open_perfect, .fini = shut);

static void run_us(uint64_t us) { cr_assert_eq(sim_net_run_until(pair.net, sim_net_now_us(pair.net) + us), 0); }

static uint64_t counter(unsigned stack, enum udp_count c)
{
    return ((struct udp_worker *)worker_transport_state(pair.stack[stack]->worker[0], SVM_PROTO_UDP))->count[c];
}

static struct sim_sock *bound(unsigned i, struct ip_endpoint e)
{
    struct sim_sock *s;

    cr_assert_eq(sim_bind(app[i], SVM_PROTO_UDP, &e, &s), 0);
    return s;
}

static struct sim_sock *connected(unsigned i, struct ip_endpoint rmt)
{
    struct sim_sock *s;

    cr_assert_eq(sim_connect(app[i], SVM_PROTO_UDP, NULL, &rmt, &s), 0);
    cr_assert(s->connected);
    return s;
}

static void expect(struct sim_sock *s, uint32_t len, const struct ip_endpoint *from)
{
    struct ip_endpoint f;
    int64_t got = sim_recvfrom(s, &f, buf, sizeof(buf));

    cr_assert_eq(got, len, "%ld bytes, %u expected", (long)got, len);
    cr_assert(memcmp(buf, data, len) == 0);
    if (from)
        cr_assert(ip_addr_eq(&f.ip, &from->ip) && f.port.raw == from->port.raw);
}

Test(udp, boundaries_and_addresses_both_families)
{
    static const uint32_t sizes[] = { 1, 0, 7, 8, 9, 100, 0, 1400, 1472, 1473, 8192, 40000, 65507, 3 };

    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct ip_endpoint server = sim_pair_endpoint(1, v4, 5000), any = { ip_addr_any(v4), be16_of(5000) };
        struct sim_sock *s = bound(1, any), *c = connected(0, server);
        struct ip_endpoint client = c->session->lcl;
        for (unsigned i = 0; i < HS_ARRAY_LEN(sizes); i++) {
            cr_assert_eq(sim_sendto(c, NULL, data, sizes[i]), 0);
            run_us(10000);
            expect(s, sizes[i], &client);
            cr_assert_eq(sim_recvfrom(s, NULL, buf, sizeof(buf)), -EAGAIN);
            cr_assert_eq(sim_sendto(s, &client, data, sizes[i]), 0);
            run_us(10000);
            expect(c, sizes[i], &server);
        }
        for (unsigned i = 0; i < 20; i++) /* several at once stay apart */
            cr_assert_eq(sim_sendto(c, NULL, data, i), 0);
        run_us(10000);
        for (unsigned i = 0; i < 20; i++)
            expect(s, i, &client);
        sim_sock_free(s);
        sim_sock_free(c);
        run_us(10000);
    }
}

Test(udp, v6_wildcard_serves_v4)
{
    struct ip_endpoint any6 = { ip_addr_any(false), be16_of(5001) };
    struct sim_sock *s = bound(1, any6), *c = connected(0, sim_pair_endpoint(1, true, 5001));
    struct ip_endpoint client = c->session->lcl;

    cr_assert_eq(sim_sendto(c, NULL, data, 10), 0);
    run_us(10000);
    expect(s, 10, &client);
    cr_assert_eq(sim_sendto(s, &client, data, 20), 0);
    run_us(10000);
    expect(c, 20, NULL);
}

Test(udp, connected_hears_only_its_peer)
{
    struct sim_sock *a = bound(0, sim_pair_endpoint(0, true, 6000));
    struct sim_sock *good = bound(1, sim_pair_endpoint(1, true, 7000)), *other = bound(1, sim_pair_endpoint(1, true, 7001));
    struct ip_endpoint to = sim_pair_endpoint(0, true, 6000), peer = sim_pair_endpoint(1, true, 7000);

    cr_assert_eq(sim_sendto(other, &to, data, 5), 0);
    run_us(10000);
    expect(a, 5, NULL);
    cr_assert_eq(sim_reconnect(a, &peer), 0);
    cr_assert_eq(sim_sendto(other, &to, data, 6), 0);
    cr_assert_eq(sim_sendto(good, &to, data, 7), 0);
    run_us(10000);
    expect(a, 7, &peer);
    cr_assert_eq(sim_recvfrom(a, NULL, buf, sizeof(buf)), -EAGAIN);
    cr_assert_eq(counter(0, UDP_C_drop_no_port), 1);
    cr_assert_eq(sim_sendto(a, NULL, data, 8), 0);
    run_us(10000);
    expect(good, 8, &to);
    struct ip_endpoint second = sim_pair_endpoint(1, true, 7001); /* and another peer */
    cr_assert_eq(sim_reconnect(a, &second), 0);
    cr_assert_eq(sim_sendto(a, NULL, data, 9), 0);
    run_us(10000);
    expect(other, 9, &to);
}

Test(udp, refused_is_told_to_connected_sockets_only)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct ip_endpoint nobody = sim_pair_endpoint(1, v4, 9), any = { ip_addr_any(v4), be16_of(6100) };
        struct sim_sock *c = connected(0, nobody), *u = bound(0, any);
        cr_assert_eq(sim_sendto(c, NULL, data, 10), 0);
        cr_assert_eq(sim_sendto(u, &nobody, data, 10), 0);
        run_us(10000);
        cr_assert_eq(c->soft_error, -ECONNREFUSED);
        cr_assert_eq(u->soft_error, 0);
        sim_sock_free(c);
        sim_sock_free(u);
    }
    cr_assert_eq(counter(1, UDP_C_drop_no_port), 4);
}

Test(udp, to_ourselves)
{
    struct ip_endpoint own = sim_pair_endpoint(0, true, 6200), nobody = sim_pair_endpoint(0, true, 6201);
    struct sim_sock *s = bound(0, own), *c = connected(0, own), *r = connected(0, nobody);

    cr_assert_eq(sim_sendto(c, NULL, data, 65507), 0);
    cr_assert_eq(sim_sendto(r, NULL, data, 10), 0);
    run_us(10000);
    expect(s, 65507, NULL);
    cr_assert_eq(r->soft_error, -ECONNREFUSED);
}

Test(udp, broadcast_needs_permission)
{
    struct ip_endpoint all = { ip_addr_v4(be32_of(0x0a0900ff)), be16_of(6300) }, any = { ip_addr_any(true), be16_of(6300) };
    struct sim_sock *s = bound(1, any), *u = bound(0, any);
    int32_t on = 1;

    cr_assert_eq(sim_sendto(u, &all, data, 10), 0);
    run_us(10000);
    cr_assert_eq(u->soft_error, -EACCES);
    cr_assert_eq(sim_recvfrom(s, NULL, buf, sizeof(buf)), -EAGAIN);
    cr_assert_eq(session_attr_set(pair.stack[0]->worker[0], u->session, SVM_ATTR_BROADCAST, &on, sizeof(on)), 0);
    cr_assert_eq(sim_sendto(u, &all, data, 11), 0);
    run_us(10000);
    expect(s, 11, NULL);
}

Test(udp, errors_of_sending)
{
    struct ip_endpoint any = { ip_addr_any(true), be16_of(6400) }, far = { ip_addr_v4(be32_of(0x01020304)), be16_of(1) };
    struct sim_sock *u = bound(0, any);

    cr_assert_eq(sim_sendto(u, NULL, data, 10), 0);
    run_us(1000);
    cr_assert_eq(u->soft_error, -EDESTADDRREQ);
    cr_assert_eq(sim_sendto(u, &far, data, 10), 0);
    run_us(1000);
    cr_assert_eq(u->soft_error, -ENETUNREACH);
    struct ip_endpoint peer = sim_pair_endpoint(1, true, 6401);
    cr_assert_eq(sim_sendto(u, &peer, data, 65508), 0);
    run_us(1000);
    cr_assert_eq(u->soft_error, -EMSGSIZE);
    struct ip_endpoint zero = sim_pair_endpoint(1, true, 0);
    cr_assert_eq(sim_sendto(u, &zero, data, 10), 0);
    run_us(1000);
    cr_assert_eq(u->soft_error, -EINVAL);
    cr_assert_eq(counter(0, UDP_C_sent), 0);
}

Test(udp, full_receiver_drops_and_recovers)
{
    struct sim_sock *s = bound(1, sim_pair_endpoint(1, true, 6500)), *c = connected(0, sim_pair_endpoint(1, true, 6500));
    unsigned sent = 0, got = 0;

    for (; sent < 1000; sent++) {
        cr_assert_eq(sim_sendto(c, NULL, data, 1000), 0);
        run_us(100);
    }
    while (sim_recvfrom(s, NULL, buf, sizeof(buf)) == 1000)
        got++;
    cr_assert(got > 200 && got < 270, "%u: what 256 KiB hold (%ld dropped, then %ld)", got,
              (long)counter(1, UDP_C_drop_full), (long)sim_recvfrom(s, NULL, buf, sizeof(buf)));
    cr_assert_eq(counter(1, UDP_C_drop_full), sent - got);
    cr_assert_eq(sim_sendto(c, NULL, data, 5), 0);
    run_us(1000);
    expect(s, 5, NULL);
}

Test(udp, closing_sends_what_was_written)
{
    struct sim_sock *s = bound(1, sim_pair_endpoint(1, true, 6600)), *c = connected(0, sim_pair_endpoint(1, true, 6600));

    svm_fifo_prod_set_floor(&c->tx, 256 << 10); /* a program that writes much at once asks for room */
    for (unsigned i = 0; i < 50; i++)
        cr_assert_eq(sim_sendto(c, NULL, data, i), 0);
    sim_close(c, -1);
    run_us(10000);
    for (unsigned i = 0; i < 50; i++)
        expect(s, i, NULL);
    cr_assert(c->is_closed);
    sim_sock_free(c);
}

/* ---------------------------------------------------------------- what comes from outside */

static uint16_t sum16(const uint8_t *b, uint32_t len, uint32_t start)
{
    uint32_t sum = start;

    for (uint32_t i = 0; i < len; i++)
        sum += i % 2 ? b[i] : (uint32_t)b[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

/* A frame to port 6700 of stack 1 with n bytes of payload; returns where UDP begins. */
static unsigned make_frame(uint8_t *f, bool v4, uint32_t n)
{
    unsigned at = v4 ? 34 : 54;
    struct ip_endpoint src = sim_pair_endpoint(0, v4, 1), dst = sim_pair_endpoint(1, v4, 1);

    memset(f, 0, at + 8);
    memcpy(f, pair.stack[1]->port[0]->mac, 6);
    f[6] = 2;
    put16(f + 12, v4 ? 0x0800 : 0x86dd);
    uint8_t *u = f + at;
    put16(u, 4321);
    put16(u + 2, 6700);
    put16(u + 4, 8 + n);
    memcpy(u + 8, data, n);
    uint32_t start = 17 + 8 + n;
    for (unsigned i = v4 ? 12 : 0; i < 16; i += 2)
        start += (uint32_t)(src.ip.b[i] << 8 | src.ip.b[i + 1]) + (uint32_t)(dst.ip.b[i] << 8 | dst.ip.b[i + 1]);
    put16(u + 6, sum16(u, 8 + n, start));
    if (v4) {
        f[14] = 0x45;
        put16(f + 16, 20 + 8 + n);
        f[22] = 64;
        f[23] = 17;
        memcpy(f + 26, src.ip.b + 12, 4);
        memcpy(f + 30, dst.ip.b + 12, 4);
        put16(f + 24, sum16(f + 14, 20, 0));
    } else {
        f[14] = 0x60;
        put16(f + 18, 8 + n);
        f[20] = 17;
        f[21] = 64;
        memcpy(f + 22, src.ip.b, 16);
        memcpy(f + 38, dst.ip.b, 16);
    }
    return at;
}

static bool arrives(struct sim_sock *s, const uint8_t *f, uint32_t len)
{
    cr_assert_eq(sim_link_inject(pair.link, 1, f, len), 0);
    run_us(10);
    return sim_recvfrom(s, NULL, buf, sizeof(buf)) >= 0;
}

Test(udp, malformed_datagrams)
{
    struct ip_endpoint any = { ip_addr_any(false), be16_of(6700) };
    struct sim_sock *s = bound(1, any);
    uint8_t f[256];

    for (unsigned v4 = 0; v4 < 2; v4++) {
        unsigned at = make_frame(f, v4, 32), len = at + 40;
        cr_assert(arrives(s, f, len));
        for (unsigned bit = 0; bit < 40 * 8; bit++) { /* every bit of header and data is covered by the checksum */
            f[at + bit / 8] ^= (uint8_t)(1u << (bit % 8));
            cr_assert_not(arrives(s, f, len), "v4 %u bit %u", v4, bit);
            f[at + bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        static const unsigned lens[] = { 0, 1, 7, 41, 255, 65535 };
        for (unsigned i = 0; i < HS_ARRAY_LEN(lens); i++) {
            put16(f + at + 4, lens[i]);
            cr_assert_not(arrives(s, f, len), "length %u", lens[i]);
        }
        make_frame(f, v4, 32);
        put16(f + at + 6, 0); /* no checksum: allowed by RFC 768, not by RFC 8200 */
        cr_assert_eq(arrives(s, f, len), v4);
        make_frame(f, v4, 32);
        put16(f + at + 2, 0);
        put16(f + at + 6, 0);
        cr_assert_not(arrives(s, f, len), "port 0");
    }
    cr_assert(counter(1, UDP_C_drop_checksum) > 400);
    cr_assert_eq(counter(1, UDP_C_drop_no_checksum), 1);
}

/* ---------------------------------------------------------------- RFC 6936 */

static void allow_no_checksum(struct sim_sock *s, int32_t on)
{
    cr_assert_eq(session_attr_set(pair.stack[1]->worker[0], s->session, SVM_ATTR_NO_CHECK6_RX, &on, sizeof(on)), 0);
}

Test(udp, no_checksum_only_for_who_asked)
{
    struct ip_endpoint any = { ip_addr_any(false), be16_of(6700) }, other = { ip_addr_any(false), be16_of(6701) };
    struct sim_sock *s = bound(1, any), *o = bound(1, other);
    uint8_t f[256];
    unsigned at = make_frame(f, false, 32), len = at + 40;

    put16(f + at + 6, 0);
    allow_no_checksum(o, 1);
    cr_assert_not(arrives(s, f, len), "another socket's leave");
    allow_no_checksum(s, 1);
    cr_assert(arrives(s, f, len));
    allow_no_checksum(s, 0);
    cr_assert_not(arrives(s, f, len));
    allow_no_checksum(s, 1);
    put16(f + at + 4, 255);
    cr_assert_not(arrives(s, f, len), "its length is looked at all the same");
    make_frame(f, false, 32);
    f[at + 6] ^= 1;
    cr_assert_not(arrives(s, f, len), "a wrong one is not none");
    make_frame(f, false, 32);
    cr_assert(arrives(s, f, len), "and a good one is good");
    uint64_t no_port = counter(1, UDP_C_drop_no_port);
    put16(f + at + 2, 6702);
    put16(f + at + 6, 0);
    cr_assert_not(arrives(s, f, len));
    cr_assert_eq(counter(1, UDP_C_drop_no_port), no_port, "no answer, as of a port that is closed");
    cr_assert_eq(counter(1, UDP_C_drop_no_checksum), 3);
}

Test(udp, no_checksum_to_a_group)
{
    struct ip_endpoint any = { ip_addr_any(false), be16_of(6700) };
    struct sim_sock *s = bound(1, any);
    uint8_t f[256];
    unsigned at = make_frame(f, false, 32), len = at + 40;

    put16(f + at + 6, 0);
    static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 }, mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
    memcpy(f, mac, 6);
    memcpy(f + 38, all_nodes, 16);
    cr_assert_not(arrives(s, f, len));
    cr_assert_eq(counter(1, UDP_C_drop_no_checksum), 1);
    allow_no_checksum(s, 1);
    cr_assert(arrives(s, f, len));
}

static void kick(struct sim_sock *s);

/* A record that asks for datagrams without checksum; gso_size 0 = one. */
static void send_unchecked(struct sim_sock *s, uint32_t len, uint16_t gso_size)
{
    struct { struct svm_dgram_hdr h; struct svm_dgram_tlv t; uint16_t size; uint16_t pad; } r = {
        .h = { .data_len = len, .hdr_len = gso_size ? 56 : 48, .version = 1, .flags = SVM_DGRAM_NO_CHECK6 },
        .t = { SVM_TLV_GSO_SIZE, 2 }, .size = gso_size };

    cr_assert_eq(svm_fifo_enqueue(&s->tx, &r, r.h.hdr_len), r.h.hdr_len);
    cr_assert_eq(svm_fifo_enqueue(&s->tx, data, (len + 7) & ~7u), (len + 7) & ~7u);
    kick(s);
    run_us(10000);
}

Test(udp, sent_without_checksum)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct ip_endpoint server = sim_pair_endpoint(1, v4, 6710);
        struct sim_sock *s = bound(1, server), *c = connected(0, server);
        send_unchecked(c, 100, 0);
        if (v4)
            expect(s, 100, NULL);
        cr_assert_eq(sim_recvfrom(s, NULL, buf, sizeof(buf)), -EAGAIN);
        cr_assert_eq(counter(1, UDP_C_drop_no_checksum), 1, "IPv4 does not know of it");
        allow_no_checksum(s, 1);
        send_unchecked(c, 100, 0);
        expect(s, 100, NULL);
        send_unchecked(c, 0, 0);
        expect(s, 0, NULL);
        send_unchecked(c, 6000, 0); /* in fragments */
        expect(s, 6000, NULL);
        send_unchecked(c, 200, 100);
        cr_assert_eq(c->soft_error, v4 ? 0 : -EINVAL, "pieces need one, as on Linux");
        cr_assert_eq(sim_recvfrom(s, NULL, buf, sizeof(buf)), v4 ? 100 : -EAGAIN);
    }
    struct ip_endpoint own = sim_pair_endpoint(0, false, 6711);
    struct sim_sock *s = bound(0, own), *c = connected(0, own);
    send_unchecked(c, 100, 0);
    cr_assert_eq(sim_recvfrom(s, NULL, buf, sizeof(buf)), -EAGAIN, "to ourselves, too");
    cr_assert_eq(counter(0, UDP_C_drop_no_checksum), 1);
    cr_assert_eq(c->soft_error, 0);
}

/* ---------------------------------------------------------------- what a program may write */

static unsigned violations;
static void note_violation(struct worker *w, struct app_worker *a, const char *what)
{
    (void)w; (void)a; (void)what;
    violations++;
}

static void kick(struct sim_sock *s)
{
    svm_fifo_prod_event_due(&s->tx);
    session_tx_kick(pair.stack[0]->worker[0], s->session);
}

Test(udp, malformed_records)
{
    struct app_ops ops = *sim_app_worker(app[0])->ops;
    const struct app_ops *old = sim_app_worker(app[0])->ops;
    struct ip_endpoint any = { ip_addr_any(true), be16_of(6800) }, to = sim_pair_endpoint(1, true, 6801);
    static const struct { uint32_t data_len; uint16_t hdr_len; uint8_t version; uint32_t bytes; } rows[] = {
        { 10, 0, 1, 64 },  { 10, 8, 1, 64 },  { 10, 40, 1, 64 }, { 10, 49, 1, 64 },          { 10, 48, 2, 64 },  { 10, 48, 0, 64 },
        { 17, 48, 1, 64 }, { 0x7fffffff, 48, 1, 64 }, { 0xffffffff, 48, 1, 64 }, { 0xfffffff0, 48, 1, 64 }, { 10, 65528, 1, 64 }, { 0, 48, 1, 40 },
        { 10, 4096, 1, 8192 },
    };

    ops.violation = note_violation;
    sim_app_worker(app[0])->ops = &ops;
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        struct sim_sock *u = bound(0, any);
        struct svm_dgram_hdr h = { .data_len = rows[i].data_len, .hdr_len = rows[i].hdr_len, .version = rows[i].version,
                                   .rmt_ip = to.ip, .rmt_port = to.port };
        memset(buf, 0xee, rows[i].bytes);
        memcpy(buf, &h, rows[i].bytes < sizeof(h) ? rows[i].bytes : sizeof(h));
        cr_assert_eq(svm_fifo_enqueue(&u->tx, buf, rows[i].bytes), rows[i].bytes);
        kick(u);
        run_us(1000);
        cr_assert_eq(violations, i + 1, "row %u", i);
        sim_sock_free(u);
        run_us(1000);
    }
    cr_assert_eq(counter(0, UDP_C_sent), 0);
    sim_app_worker(app[0])->ops = old;
}

static int filter_step(struct session *s, const char *group, const char *source, uint32_t ifc, uint8_t step)
{
    struct svm_mcast_filter v = { .ifc = be32_of(ifc), .step = step };

    cr_assert_eq(ip_addr_parse(group, &v.group), 0);
    cr_assert_eq(ip_addr_parse(source, &v.source), 0);
    return session_attr_set(pair.stack[0]->worker[0], s, SVM_ATTR_MCAST_FILTER, &v, sizeof(v));
}

/* What a program may write about groups and sources: errors, never more; when it has gone nothing of it is left. */
Test(udp, filters_that_a_program_makes_up)
{
    static const char *const addrs[] = { "239.1.1.1", "ff15::1", "10.9.9.9", "fd00::9", "0.0.0.0", "::", "255.255.255.255", "ff02::1", "224.0.0.1" };
    struct ip_endpoint any = { ip_addr_any(true), be16_of(6810) };
    struct sim_sock *u = bound(0, any);
    struct worker *w = pair.stack[0]->worker[0];
    struct session *s = udp_worker_of(w)->conns->base.session;
    char source[32];

    enum { SOURCE = SVM_MCAST_FILTER_SOURCE, INCLUDE = SVM_MCAST_FILTER_INCLUDE, EXCLUDE = SVM_MCAST_FILTER_EXCLUDE };
    cr_assert_eq(filter_step(s, "239.1.1.1", "fd00::9", 0, SOURCE), -EINVAL);
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0, 3), -EINVAL);
    cr_assert_eq(filter_step(s, "10.0.0.9", "::", 0, EXCLUDE), -EINVAL);
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0x01020304, EXCLUDE), -ENODEV);
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0, INCLUDE), -EADDRNOTAVAIL, "nobody, and nothing to leave");
    for (unsigned len = 0; len < sizeof(struct svm_mcast_filter); len++)
        cr_assert_lt(session_attr_set(w, s, SVM_ATTR_MCAST_FILTER, data, len), 0);
    for (unsigned i = 0; i <= SVM_MCAST_SOURCES; i++) {
        snprintf(source, sizeof(source), "10.1.1.%u", i + 1);
        cr_assert_eq(filter_step(s, "239.1.1.1", source, 0, SOURCE), i < SVM_MCAST_SOURCES ? 0 : -ENOBUFS);
    }
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0, INCLUDE), -EADDRNOTAVAIL, "what was too much is forgotten");
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(filter_step(s, "239.1.1.1", "10.1.1.1", 0, SOURCE), 0, "again and again is once");
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0, INCLUDE), 0);
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0, EXCLUDE), 0);
    cr_assert_eq(filter_step(s, "239.1.1.1", "::", 0, INCLUDE), 0, "left");
    srand(1);
    for (unsigned i = 0; i < 20000; i++) {
        const char *group = addrs[(unsigned)rand() % HS_ARRAY_LEN(addrs)], *from = addrs[(unsigned)rand() % HS_ARRAY_LEN(addrs)];
        (void)filter_step(s, group, from, rand() % 4 ? 0 : (uint32_t)rand(), (uint8_t)(rand() % 4));
        if (i % 8 == 0)
            run_us(100);
    }
    cr_assert(udp_worker_of(w)->conns->mcast->n > 0);
    sim_sock_free(u);
    run_us(10000000);
    for (unsigned i = 0; i < HS_ARRAY_LEN(addrs); i++) {
        struct ip_addr group;
        cr_assert_eq(ip_addr_parse(addrs[i], &group), 0);
        for (unsigned k = 0; k < pair.stack[0]->interfaces->n; k++)
            cr_assert_not(mcast_accepts(pair.stack[0]->interfaces->ifc[k], &group, NULL), "%s", addrs[i]);
    }
}

Test(udp, segmentation_by_record)
{
    struct sim_sock *s = bound(1, sim_pair_endpoint(1, true, 6900)), *c = connected(0, sim_pair_endpoint(1, true, 6900));
    struct { struct svm_dgram_hdr h; struct svm_dgram_tlv t; uint16_t gso, pad; } rec = { 0 };
    uint32_t total = 5 * 1200 + 77;

    rec.h = (struct svm_dgram_hdr){ .data_len = total, .hdr_len = sizeof(rec), .version = 1 };
    rec.t = (struct svm_dgram_tlv){ .type = SVM_TLV_GSO_SIZE, .len = 2 };
    rec.gso = 1200;
    struct iovec iov[3] = { { &rec, sizeof(rec) }, { data, total }, { (void *)(uintptr_t)"\0\0\0\0\0\0\0", 8 - total % 8 } };
    cr_assert_eq(svm_fifo_enqueue_record(&c->tx, iov, 3), 0);
    kick(c);
    run_us(10000);
    for (unsigned i = 0; i < 6; i++) {
        int64_t n = sim_recvfrom(s, NULL, buf, sizeof(buf));
        cr_assert_eq(n, i < 5 ? 1200 : 77);
        cr_assert(memcmp(buf, data + i * 1200, (size_t)n) == 0);
    }
    cr_assert_eq(sim_recvfrom(s, NULL, buf, sizeof(buf)), -EAGAIN);
}

/* One record makes 128 datagrams at most, of 65,507 bytes in all: more is the program's error, and nothing of it goes out. */
Test(udp, segmentation_has_limits)
{
    static const struct { uint32_t total; uint16_t gso; int error; unsigned sent; } rows[] = {
        { 1280, 10, 0, 128 }, { 1281, 10, -EINVAL, 0 }, { 65504, 1, -EINVAL, 0 }, { 65536, 1400, -EMSGSIZE, 0 }, { 200000, 1400, -EMSGSIZE, 0 },
        { 3000, 1473, -EMSGSIZE, 0 }, /* a piece must fit the link: it never goes in fragments */
        { 3000, 1472, 0, 3 }, { 100, 65535, 0, 1 },
    };
    struct sim_sock *s = bound(1, sim_pair_endpoint(1, true, 6901)), *first = connected(0, sim_pair_endpoint(1, true, 6901));

    cr_assert_eq(sim_sendto(first, NULL, data, 9), 0); /* the neighbour is known from now on: fewer could wait for that */
    run_us(10000);
    expect(s, 9, NULL);
    sim_sock_free(first);
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        struct sim_sock *c = connected(0, sim_pair_endpoint(1, true, 6901));
        struct { struct svm_dgram_hdr h; struct svm_dgram_tlv t; uint16_t gso, pad; } rec = { 0 };
        uint64_t before = counter(0, UDP_C_sent);
        rec.h = (struct svm_dgram_hdr){ .data_len = rows[i].total, .hdr_len = sizeof(rec), .version = 1 };
        rec.t = (struct svm_dgram_tlv){ .type = SVM_TLV_GSO_SIZE, .len = 2 };
        rec.gso = rows[i].gso;
        uint8_t *bytes = calloc(1, rows[i].total + 8);
        cr_assert_not_null(bytes);
        struct iovec iov[2] = { { &rec, sizeof(rec) }, { bytes, (rows[i].total + 7) & ~7u } };
        cr_assert_eq(svm_fifo_enqueue_record(&c->tx, iov, 2), 0);
        kick(c);
        run_us(100);
        cr_assert_eq(c->soft_error, rows[i].error, "row %u: %d", i, c->soft_error);
        cr_assert_eq(counter(0, UDP_C_sent) - before, rows[i].sent, "row %u", i);
        free(bytes);
        sim_sock_free(c);
        run_us(10000);
        unsigned came = 0;
        while (sim_recvfrom(s, NULL, buf, sizeof(buf)) >= 0)
            came++;
        cr_assert_eq(came, rows[i].sent, "row %u: %u came", i, came);
    }
    sim_sock_free(s);
}

/* ---------------------------------------------------------------- a bad wire */

Test(udp_bad_wire, datagrams_are_whole_or_lost)
{
    struct sim_params bad = { .loss_ppm = 20000, .dup_ppm = 10000, .corrupt_ppm = 30000, .reorder_ppm = 50000, .reorder_us = 500,
                              .delay_us = 100, .jitter_us = 100 };
    unsigned got = 0, sent = 0;

    open_pair(7, &bad);
    struct sim_sock *s[2], *c[2];
    for (unsigned v4 = 0; v4 < 2; v4++) {
        s[v4] = bound(1, sim_pair_endpoint(1, v4, (uint16_t)(7100 + v4)));
        c[v4] = connected(0, sim_pair_endpoint(1, v4, (uint16_t)(7100 + v4)));
    }
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t len = 8 + (i * 37) % 6000; /* up to five fragments */
        memcpy(data, &len, 4);
        memcpy(data + 4, &i, 4);
        cr_assert_eq(sim_sendto(c[i % 2], NULL, data, len), 0);
        sent++;
        run_us(300);
        for (unsigned v4 = 0; v4 < 2; v4++) {
            int64_t n;
            while ((n = sim_recvfrom(s[v4], NULL, buf, sizeof(buf))) != -EAGAIN) {
                uint32_t want;
                memcpy(&want, buf, 4);
                cr_assert_eq(n, want);
                cr_assert(memcmp(buf + 8, data + 8, (size_t)n - 8) == 0);
                got++;
            }
        }
    }
    cr_assert(got > sent * 7 / 10 && got < sent, "%u of %u", got, sent);
    for (unsigned v4 = 0; v4 < 2; v4++) {
        sim_sock_free(s[v4]);
        sim_sock_free(c[v4]);
    }
    shut();
}
