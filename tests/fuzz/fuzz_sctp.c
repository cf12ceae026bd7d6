/* fuzz_sctp.c - the SCTP transport with arbitrary chunks, family by family, amid a real association's packets
 *
 * Two stacks over a simulated link, two programs that exchange messages. Between their packets come others, with the right tag and checksum
 * (mostly): chunks of one family, their fields at random or near what the association expects, lengths sometimes wrong, bundled. Nothing
 * may fault, spin or be left when the programs have gone; what is held for reassembly stays below the window.
 *
 *   fuzz_sctp FAMILY RUNS SEED [SECONDS]    FAMILY: setup data control reconf asconf auth all; ends after RUNS or SECONDS, whichever is first */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "common/crc32c.h"
#include "common/splitmix.h"
#include "server/sctp/sctp_internal.h"
#include "tests/sim/sim_msg.h"
#include "tests/sim/sim_pair.h"

enum { ETH = 14, IP6 = 40, FRAME = 2048, PORT = 7000, PACKETS = 60, WINDOW = 1 << 17, FREE_S = 1200 };

static const struct family { const char *name; uint8_t types[12], n; uint16_t params[16]; uint8_t n_params; } families[] = {
    { "setup", { SCTP_CT_INIT, SCTP_CT_INIT_ACK, SCTP_CT_COOKIE_ECHO, SCTP_CT_COOKIE_ACK, SCTP_CT_PAD }, 5,
      { SCTP_P_IPV4, SCTP_P_IPV6, SCTP_P_COOKIE, SCTP_P_UNRECOGNIZED, SCTP_P_PRESERVATIVE, SCTP_P_HOSTNAME, SCTP_P_FAMILIES, SCTP_P_ECN,
        SCTP_P_ZERO_CHECKSUM, SCTP_P_RANDOM, SCTP_P_CHUNKS, SCTP_P_HMACS, SCTP_P_PAD, SCTP_P_EXTENSIONS, SCTP_P_FORWARD_TSN,
        SCTP_P_ADAPTATION }, 16 },
    { "data", { SCTP_CT_DATA, SCTP_CT_IDATA, SCTP_CT_SACK, SCTP_CT_FORWARD_TSN, SCTP_CT_IFORWARD_TSN, SCTP_CT_ECNE, SCTP_CT_CWR }, 7, { 0 }, 0 },
    { "control", { SCTP_CT_HEARTBEAT, SCTP_CT_HEARTBEAT_ACK, SCTP_CT_ERROR, SCTP_CT_SHUTDOWN, SCTP_CT_SHUTDOWN_ACK, SCTP_CT_SHUTDOWN_COMPLETE,
                   SCTP_CT_COOKIE_ACK, SCTP_CT_PAD, 77, 190, 200 }, 11, { 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 0xa0, 0xa4, 0x105 }, 14 },
    { "reconf", { SCTP_CT_RECONF, SCTP_CT_DATA, SCTP_CT_SACK }, 3,
      { SCTP_P_OUT_RESET, SCTP_P_IN_RESET, SCTP_P_TSN_RESET, SCTP_P_RECONF_RESPONSE, SCTP_P_ADD_OUT, SCTP_P_ADD_IN, 99 }, 7 },
    { "asconf", { SCTP_CT_ASCONF, SCTP_CT_ASCONF_ACK, SCTP_CT_ASCONF, SCTP_CT_HEARTBEAT_ACK, SCTP_CT_SACK }, 5,
      { SCTP_P_ADD_IP, SCTP_P_DEL_IP, SCTP_P_SET_PRIMARY, SCTP_P_SUCCESS, SCTP_P_ERROR_CAUSE, SCTP_P_IPV6, 0x7000, 0xc099 }, 8 },
    { "auth", { SCTP_CT_AUTH, SCTP_CT_DATA, SCTP_CT_COOKIE_ECHO, SCTP_CT_HEARTBEAT, SCTP_CT_AUTH }, 5, { 0 }, 0 },
};

struct end {
    struct sim_app *app;
    struct sim_sock *sock, *listener;
};
static struct {
    struct sim_pair pair;
    struct end end[2];
    uint64_t rng;
    uint8_t frame[FRAME];            /* a packet of stack 0 to stack 1: headers */
    bool has_frame;
    uint8_t data[4096];
    unsigned long packets, sent, got;
} g;

static uint32_t rnd(void) { return (uint32_t)(hs_splitmix(&g.rng) >> 32); }
static uint32_t below(uint32_t n) { return rnd() % n; }
static bool chance(uint32_t percent) { return below(100) < percent; }
static void wrong(const char *what, uint64_t seed)
{
    fprintf(stderr, "fuzz_sctp: seed %llu: %s\n", (unsigned long long)seed, what);
    abort();
}

static bool look(void *arg, struct sim_link *l, unsigned end, const uint8_t *f, uint32_t len, uint64_t now_us)
{
    (void)arg;
    (void)l;
    (void)now_us;
    if (end == 0 && !g.has_frame && len > ETH + IP6 + SCTP_COMMON_LEN && f[12] == 0x86 && f[ETH + 6] == 132) {
        memcpy(g.frame, f, ETH + IP6 + SCTP_COMMON_LEN);
        g.has_frame = true;
    }
    return true;
}
static void run_us(uint64_t us) { (void)sim_net_run_until(g.pair.net, sim_net_now_us(g.pair.net) + us); }

/* ---- chunks ---- */

static struct sctp_assoc *victim(void)
{
    struct sctp_worker *sw = sctp_worker_of(g.pair.stack[1]->worker[0]);

    return sw->all;
}

/* A number that may mean something to the association. */
static uint32_t number(void)
{
    const struct sctp_assoc *a = victim();
    uint32_t near = below(40) - 8;

    if (!a || chance(10))
        return rnd();
    switch (below(7)) {
    case 0: return a->cum_tsn + near;
    case 1: return a->cum_acked + near;
    case 2: return a->next_tsn + near;
    case 3: return a->reconf.peer_seq + below(3) - 1;
    case 4: return a->reconf.next_seq + below(3) - 2;
    case 5: return a->asconf ? chance(50) ? a->asconf->peer_seq : a->asconf->next_seq - 1 : 0;
    default: return below(12);
    }
}

static uint32_t param(const struct family *f, uint8_t *b, uint32_t room)
{
    uint32_t len = SCTP_PARAM_HDR + (chance(60) ? 4 * below(10) : below(40));

    if (sctp_pad(len) > room)
        return 0;
    for (uint32_t i = 0; i < sctp_pad(len); i += 4)
        sctp_put32(b + i, chance(70) ? number() : rnd());
    sctp_put16(b, chance(90) ? f->params[below(f->n_params)] : rnd() & 0xffff);
    sctp_put16(b + 2, chance(95) ? len : rnd() & 0xff);
    return sctp_pad(len);
}

/* An address of the peer's, or one near it: as it stands in a change of addresses. */
static uint32_t address(uint8_t *b)
{
    sctp_put16(b, chance(95) ? SCTP_P_IPV6 : SCTP_P_IPV4);
    sctp_put16(b + 2, 20);
    memcpy(b + 4, g.frame + ETH + 8, 16);
    if (chance(50))
        b[19] = (uint8_t)below(24);
    if (chance(10))
        memset(b + 4, 0, 16);
    return 20;
}
static uint32_t change(const struct family *f, uint8_t *b)
{
    sctp_put16(b, f->params[below(3)]);
    sctp_put16(b + 2, 28);
    sctp_put32(b + 4, below(4));
    return 8 + address(b + 8);
}

static uint32_t chunk(const struct family *f, uint8_t *b, uint32_t room)
{
    uint32_t fixed = chance(50) ? 4 * below(8) : below(60), len;

    if (room < 100)
        return 0;
    b[0] = f->types[below(f->n)];
    b[1] = chance(80) ? (uint8_t)below(16) : (uint8_t)rnd();
    if (b[0] == SCTP_CT_INIT || b[0] == SCTP_CT_INIT_ACK)
        fixed = SCTP_INIT_LEN - SCTP_CHUNK_HDR;
    if (b[0] == SCTP_CT_RECONF || b[0] == SCTP_CT_ERROR)
        fixed = 0;
    if (b[0] == SCTP_CT_ASCONF || b[0] == SCTP_CT_ASCONF_ACK)
        fixed = 4;
    for (uint32_t i = 4; i < 4 + sctp_pad(fixed); i += 4)
        sctp_put32(b + i, chance(70) ? number() : rnd());
    if (b[0] == SCTP_CT_DATA || b[0] == SCTP_CT_IDATA)
        sctp_put16(b + 8, below(12));
    len = SCTP_CHUNK_HDR + fixed;
    if (b[0] == SCTP_CT_ASCONF && chance(95))
        len += address(b + len);
    for (unsigned n = f->n_params ? below(6) : 0; n && sctp_pad(len) == len; n--)
        len += b[0] == SCTP_CT_ASCONF && chance(80) && room - len > 28 ? change(f, b + len) : param(f, b + len, hs_min_u32(room - len, 500));
    sctp_put16(b + 2, chance(95) ? len : len + below(9) - 4);
    memset(b + len, 0, sctp_pad(len) - len);
    return sctp_pad(len);
}

/* What both sides agreed on, with the empty key, so that what is behind is looked at. */
static void sign(uint8_t *auth, uint32_t len)
{
    const struct sctp_assoc *a = victim();
    uint8_t key[2 * SCTP_AUTH_VEC], out[32];
    unsigned n = 0, got = 32;

    if (!a || !a->auth || !sctp_has(a, SCTP_F_AUTH))
        return;
    bool swapped = sctp_auth_vec_cmp(&a->auth->mine, &a->auth->peers) > 0;
    const struct sctp_auth_vec *first = swapped ? &a->auth->peers : &a->auth->mine, *second = swapped ? &a->auth->mine : &a->auth->peers;
    memcpy(key, first->b, first->len);
    memcpy(key + first->len, second->b, second->len);
    n = first->len + second->len;
    HMAC(EVP_sha256(), key, (int)n, auth, len, out, &got);
    memcpy(auth + 8, out, 32);
}

static void inject(const struct family *f, unsigned to)
{
    uint8_t frame[FRAME], *b = frame + ETH + IP6, *auth = NULL;
    uint32_t len = SCTP_COMMON_LEN, crc;
    const struct sctp_assoc *a = victim();

    memcpy(frame, g.frame, ETH + IP6 + SCTP_COMMON_LEN);
    if (chance(f->types[0] == SCTP_CT_AUTH || f->types[0] == SCTP_CT_ASCONF ? 80 : 20)) {
        auth = b + len;
        memset(auth, 0, 40);
        auth[0] = SCTP_CT_AUTH;
        auth[3] = 40;
        auth[7] = SCTP_HMAC_SHA256;
        len += 40;
    }
    for (unsigned n = 1 + below(6); n; n--)
        len += chunk(f, b + len, hs_min_u32(1400 - len, 600));
    if (auth && chance(80))
        sign(auth, len - SCTP_COMMON_LEN);
    sctp_put32(b + 4, b[SCTP_COMMON_LEN] == SCTP_CT_INIT && chance(90) ? 0 : a && chance(90) ? a->my_tag : number());
    sctp_put16(frame + ETH + 4, len);
    memset(b + 8, 0, 4);
    crc = ~crc32c(UINT32_MAX, b, len);
    if (chance(98))
        memcpy(b + 8, &crc, 4);
    (void)sim_link_inject(g.pair.link, to, frame, ETH + IP6 + len);
    g.packets++;
}

/* ---- programs ---- */

static void options(struct sim_sock *s)
{
    static const uint16_t on[] = { SCTP_AUTH_SUPPORTED, SCTP_RECONFIG_SUPPORTED, SCTP_INTERLEAVING_SUPPORTED, SCTP_PR_SUPPORTED,
                                   SCTP_ASCONF_SUPPORTED };
    struct sctp_assoc_value v = { .assoc_value = 1 };
    uint32_t len = sizeof(v);

    for (unsigned i = 0; i < HS_ARRAY_LEN(on); i++)
        if (chance(75))
            (void)sim_msg_option(s, true, on[i], &v, &len);
    v.assoc_value = below(8);
    (void)sim_msg_option(s, true, SCTP_ENABLE_STREAM_RESET, &v, &len);
}

static void talk(uint64_t seed)
{
    struct svm_sctp_info info = { 0 };
    static uint8_t buf[65536];
    bool more;

    if (!g.end[1].sock && g.end[1].listener)
        g.end[1].sock = sim_accept(g.end[1].listener);
    for (unsigned i = 0; i < 2; i++) {
        struct sim_sock *s = g.end[i].sock;
        if (!s || !s->connected)
            continue;
        info.stream = (uint16_t)below(10);
        info.flags = chance(20) ? SCTP_UNORDERED : 0;
        if (chance(50) && sim_msg_send(s, &info, g.data, 1 + below(sizeof(g.data) - 1), false) == 0)
            g.sent++;
        for (unsigned n = 0; n < 8 && chance(80) && sim_msg_recv(s, &info, buf, sizeof(buf), &more) > 0; n++)
            g.got++;
    }
    for (const struct sctp_assoc *a = victim(); a; a = a->all_next)
        if (a->held > 4 * WINDOW)
            wrong("more is held than the window lets in", seed);
}

static void one(const struct family *f, uint64_t seed)
{
    struct sim_params link = { .delay_us = 500 };
    struct sim_app_options opt = { .rx_max = WINDOW, .tx_max = WINDOW };
    struct ip_endpoint any = { .ip = ip_addr_any(false), .port = be16_of(PORT) }, to = sim_pair_endpoint(1, false, PORT);

    g.rng = seed;
    g.has_frame = false;
    memset(g.end, 0, sizeof(g.end));
    if (sim_pair_create(&g.pair, seed, &link, false) != 0)
        wrong("no pair", seed);
    sim_link_set_tap(g.pair.link, look, NULL);
    for (unsigned i = 0; i < 2; i++)
        if (sim_app_create(g.pair.stack[i]->worker[0], &opt, &g.end[i].app) != 0)
            wrong("no program", seed);
    if (sim_listen(g.end[1].app, SVM_PROTO_SCTP, &any, 16, &g.end[1].listener) != 0)
        wrong("no listener", seed);
    any.port = be16_of(0);
    if (sim_bind(g.end[0].app, SVM_PROTO_SCTP, &any, &g.end[0].sock) != 0)
        wrong("no socket", seed);
    options(g.end[1].listener);
    options(g.end[0].sock);
    (void)sim_reconnect(g.end[0].sock, &to);
    run_us(chance(20) ? below(3000) : 20000);
    for (unsigned i = 0; i < PACKETS && g.has_frame; i++) {
        talk(seed);
        inject(f, 1);
        run_us(chance(90) ? below(1000) : chance(90) ? below(500000) : 5000000);
    }
    for (unsigned i = 0; i < 2; i++)
        sim_app_destroy(g.end[i].app);
    run_us((uint64_t)FREE_S * 1000000);
    for (unsigned i = 0; i < 2; i++)
        if (sctp_worker_of(g.pair.stack[i]->worker[0])->n_assocs || sim_pair_pkts_in_use(&g.pair, i))
            wrong("something is left", seed);
    sim_pair_destroy(&g.pair);
}

int main(int argc, char **argv)
{
    unsigned long runs = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, seed = argc > 3 ? strtoul(argv[3], NULL, 10) : 1, n;
    time_t until = argc > 4 ? time(NULL) + atoi(argv[4]) : 0;
    unsigned from = HS_ARRAY_LEN(families), to = 0;

    for (unsigned i = 0; argc > 1 && i < HS_ARRAY_LEN(families); i++) {
        if (!strcmp(argv[1], families[i].name) || !strcmp(argv[1], "all")) {
            from = hs_min_u32(from, i);
            to = i + 1;
        }
    }
    if (from >= to || sim_eal_init("fuzzsctp") < 0 || transport_register(&sctp_transport_ops) != 0)
        return 2;
    for (n = 0; n < runs && (!until || time(NULL) < until); n++)
        one(&families[from + n % (to - from)], seed + n);
    printf("%lu runs, %lu packets, %lu messages sent, %lu records read\n", n, g.packets, g.sent, g.got);
    return 0;
}
