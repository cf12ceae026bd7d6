/* tcp_script.h - the test as the peer of one connection: what it sends and what it must see */
#ifndef HOSTSTACK_TESTS_TCP_SCRIPT_H
#define HOSTSTACK_TESTS_TCP_SCRIPT_H

#include <errno.h>
#include <criterion/criterion.h>
#include "tests/unit/server/tcp/tcp_fake.h"

/* Each script runs over both families: the same sources are built a second time with SCRIPT_V6. */
#ifdef SCRIPT_V6
#define US "fd00::1"
#define PEER "fd00::2"
enum { IP_HDR = 40, MSS_DEFAULT = 1220 };
#else
#define US "10.0.0.1"
#define PEER "10.0.0.2"
enum { IP_HDR = 20, MSS_DEFAULT = 536 };
#endif
enum { PORT = 80, PEER_PORT = 4000, PEER_ISS = 5000, PEER_WND = 60000 };

struct script {
    struct fake_host h;
    struct ip_endpoint us, peer;
    struct session *s;
    uint32_t snd, rcv;          /* the peer's next sequence number, and what it expects of us */
    uint32_t tsval, tsecr;      /* with has_ts: ours to send, theirs seen last */
    bool has_ts;
    uint16_t wnd;
    struct fake_seg seg;        /* last taken */
    uint8_t data[65536];
};

static inline void script_init(struct script *t)
{
    memset(t, 0, sizeof(*t));
    cr_assert_geq(fake_eal_init(), 0);
    fake_init(&t->h, "script");
    t->us = fake_endpoint(US, PORT);
    t->peer = fake_endpoint(PEER, PEER_PORT);
    t->h.listener.lcl = t->us;
    t->h.listening = true;
    t->snd = PEER_ISS;
    t->wnd = PEER_WND;
}

static inline struct tcp_conn *script_conn(struct script *t) { return (struct tcp_conn *)t->h.lookup; }
static inline bool script_in_time_wait(struct script *t) /* in one form or the other */
{
    return script_conn(t)->state == TCP_S_TIME_WAIT || script_conn(t)->state == TCP_S_WAITING;
}

static inline void send_seg(struct script *t, uint8_t flags, uint32_t seq, uint32_t ack, const void *data, uint32_t len)
{
    uint8_t opt[12] = { 1, 1, 8, 10 };
    be32 v = be32_of(t->tsval), e = be32_of(t->tsecr);

    memcpy(opt + 4, &v, 4);
    memcpy(opt + 8, &e, 4);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = flags, .seq = seq, .ack = ack, .wnd = t->wnd, .data = data,
               .len = len, .opt = opt, .opt_len = t->has_ts ? 12 : 0 });
}

/* In order, moving the peer's sequence number. */
static inline void send_data(struct script *t, const void *data, uint32_t len)
{
    uint32_t seq = t->snd;

    t->snd += len;
    send_seg(t, TCP_ACK | TCP_PSH, seq, t->rcv, data, len);
}
static inline void send_ack(struct script *t) { send_seg(t, TCP_ACK, t->snd, t->rcv, NULL, 0); }

static inline bool take(struct script *t)
{
    struct tcp_opts o;

    if (!fake_take(&t->h, &t->seg, t->data, sizeof(t->data)))
        return false;
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    if (o.has_ts)
        t->tsecr = o.tsval;
    return true;
}

#define EXPECT_NOTHING(t) cr_assert_eq((t)->h.n_out, 0, "%u segments, first flags %02x", (t)->h.n_out, (take(t), (t)->seg.flags))
#define EXPECT(t, want_flags, want_seq, want_ack, want_len)                                                              \
    do {                                                                                                                 \
        cr_assert(take(t), "nothing was sent");                                                                          \
        cr_assert_eq((t)->seg.flags & ~TCP_PSH, (want_flags), "flags %02x", (t)->seg.flags);                             \
        cr_assert_eq((t)->seg.seq, (uint32_t)(want_seq), "seq %u, wanted %u", (t)->seg.seq, (uint32_t)(want_seq));       \
        cr_assert_eq((t)->seg.ack, (uint32_t)(want_ack), "ack %u, wanted %u", (t)->seg.ack, (uint32_t)(want_ack));       \
        cr_assert_eq((t)->seg.len, (uint32_t)(want_len), "len %u, wanted %u", (t)->seg.len, (uint32_t)(want_len));       \
    } while (0)

/* SYN with these options; leaves the SYN,ACK in t->seg. */
static inline void script_syn(struct script *t, const uint8_t *opt, unsigned opt_len)
{
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN, .seq = t->snd, .wnd = t->wnd, .opt = opt,
               .opt_len = opt_len });
    t->snd++;
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
    cr_assert_eq(t->seg.ack, t->snd);
    t->rcv = t->seg.seq + 1;
}

/* A passive connection, established, with MSS 1000 and no other option (has_ts: timestamps; sack: SACK). */
static inline void script_open(struct script *t, bool ts, bool sack)
{
    uint8_t opt[24] = { 2, 4, 1000 >> 8, 1000 & 255 };
    unsigned n = 4;

    if (sack) {
        memcpy(opt + n, (const uint8_t[]){ 1, 1, 4, 2 }, 4);
        n += 4;
    }
    if (ts) {
        be32 v = be32_of(t->tsval);

        memcpy(opt + n, (const uint8_t[]){ 1, 1, 8, 10 }, 4);
        memcpy(opt + n + 4, &v, 4);
        memset(opt + n + 8, 0, 4);
        n += 12;
    }
    script_syn(t, opt, n);
    t->has_ts = ts;
    send_ack(t);
    t->s = fake_accepted(&t->h);
    cr_assert_not_null(t->s);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    EXPECT_NOTHING(t);
}

/* An active connection in SYN-SENT: us:PORT to peer:PEER_PORT. */
static inline void script_connect(struct script *t)
{
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN);
    t->rcv = t->seg.seq + 1;
}

#endif
