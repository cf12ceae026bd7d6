/* tcp_auth_test.c - segments signed by TCP MD5 (RFC 2385): who must sign, what is dropped, what answers, and the room in the options */
#include <openssl/evp.h>
#include "server/tcp/tcp_auth.h"
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;

static uint32_t add_key(uint32_t number, const char *ip, unsigned bits, const char *key)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_MD5, .len = (uint8_t)strlen(key), .remove = key[0] == '\0' };

    cr_assert_eq(ip_addr_parse(ip, &k.ip), 0);
    k.prefix = (uint8_t)(bits + (ip_addr_is_v4(&k.ip) ? 96 : 0));
    memcpy(k.key, key, k.len);
    cr_assert_eq(tcp_keys_change(&T.h.stack, 1, &k, &number), 0);
    return number;
}

static const unsigned host_bits = IP_HDR == 20 ? 32 : 128;

static void init(void)
{
    script_init(&T);
    cr_assert_eq(tcp_keys_create(&T.h.stack), 0);
    T.h.listener.layer_cfg = add_key(0, PEER, host_bits, "secret");
}

static void fini(void)
{
    fake_fini(&T.h);
    tcp_keys_destroy(&T.h.stack);
}

/* The digest once more, in the test's own words. */
static void sign(struct pkt *p, const char *key)
{
    struct pkt_meta *m = pkt_meta(p);
    static uint8_t buf[65536];
    uint8_t *h = pkt_data(p), digest[16];
    unsigned n = 0, hdr = tcp_hdr_len((struct tcp_hdr *)(void *)h), total = pkt_len(p);

    if (IP_HDR == 20) {
        memcpy(buf, &m->src.w[3], 4);
        memcpy(buf + 4, &m->dst.w[3], 4);
        memcpy(buf + 8, (uint8_t[]){ 0, 6, (uint8_t)(total >> 8), (uint8_t)total }, 4);
        n = 12;
    } else {
        memcpy(buf, &m->src, 16);
        memcpy(buf + 16, &m->dst, 16);
        memcpy(buf + 32, (uint8_t[]){ 0, 0, (uint8_t)(total >> 8), (uint8_t)total, 0, 0, 0, 6 }, 8);
        n = 40;
    }
    memcpy(buf + n, h, 20);
    buf[n + 16] = buf[n + 17] = 0; /* the checksum */
    memcpy(buf + n + 20, h + hdr, total - hdr);
    memcpy(buf + n + 20 + total - hdr, key, strlen(key));
    cr_assert_eq(EVP_Q_digest(NULL, "MD5", NULL, buf, n + 20 + total - hdr + strlen(key), digest, NULL), 1);
    memcpy(h + hdr - 16, digest, 16);
}

/* From the peer, signed with key (NULL: not), opt before the signature. */
static void put(const char *key, uint8_t flags, uint32_t seq, uint32_t ack, const void *opt, unsigned opt_len, const void *data, uint32_t len)
{
    struct script *t = &T;
    uint8_t o[40] = { 0 };
    struct pkt *p;

    memcpy(o, opt ? opt : "", opt_len);
    if (key)
        memcpy(o + opt_len, (uint8_t[]){ 1, 1, 19, 18 }, 4);
    p = fake_packet(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = flags, .seq = seq, .ack = ack, .wnd = t->wnd, .data = data,
                    .len = len, .opt = o, .opt_len = opt_len + (key ? 20 : 0) });
    if (key)
        sign(p, key);
    tcp_transport_ops.input(&t->h.w, &p, 1);
    fake_tx(&t->h);
}

/* The oldest segment sent: its signature must be that of key (NULL: there must be none). Then taken. */
static void took(const char *key)
{
    struct script *t = &T;

    cr_assert_gt(t->h.n_out, 0, "nothing was sent");
    if (key) {
        struct pkt *p = t->h.out[0];
        uint8_t *h = pkt_data(p), was[16];
        unsigned hdr = tcp_hdr_len((struct tcp_hdr *)(void *)h);

        cr_assert_geq(hdr, 40);
        cr_assert_arr_eq(h + hdr - 20, ((uint8_t[]){ 1, 1, 19, 18 }), 4);
        memcpy(was, h + hdr - 16, 16);
        sign(p, key);
        cr_assert_arr_eq(was, h + hdr - 16, 16);
    }
    cr_assert(take(t));
    for (unsigned i = 0; !key && i + 1 < t->seg.opt_len; i++)
        cr_assert(t->seg.opt[i] != 19 || t->seg.opt[i + 1] != 18);
}

static void syn(const char *key, const void *opt, unsigned opt_len)
{
    struct script *t = &T;

    put(key, TCP_SYN, t->snd, 0, opt, opt_len, NULL, 0);
    took(key);
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
    t->snd++;
    t->rcv = t->seg.seq + 1;
}

static void open_signed(const void *opt, unsigned opt_len)
{
    struct script *t = &T;

    syn("secret", opt, opt_len);
    put("secret", TCP_ACK, t->snd, t->rcv, NULL, 0, NULL, 0);
    t->s = fake_accepted(&t->h);
    cr_assert_not_null(t->s);
    EXPECT_NOTHING(t);
}

static uint64_t count(enum tcp_counter c) { return T.h.tw.counters[c]; }

/* SYNs that Linux 6.18 has signed, key "kernel key". */
Test(tcp_auth, digest_is_that_of_linux, .init = init, .fini = fini)
{
#ifdef SCRIPT_V6
    static const uint8_t seg[] = {
        0x0f, 0xa0, 0x00, 0x50, 0x99, 0x74, 0x70, 0xab, 0, 0, 0, 0, 0xd0, 0x02, 0xfd, 0x20, 0xfa, 0x3e, 0, 0, 1, 1, 0x13, 0x12,
        0x3d, 0x88, 0x84, 0xc6, 0x54, 0xbc, 0x15, 0x10, 0x8f, 0x57, 0xcf, 0xf3, 0xd0, 0xac, 0x64, 0x74,
        2, 4, 0x05, 0xa0, 1, 1, 4, 2, 1, 3, 3, 10 };
#else
    static const uint8_t seg[] = {
        0x0f, 0xa0, 0x00, 0x50, 0xdc, 0x51, 0xd1, 0x31, 0, 0, 0, 0, 0xd0, 0x02, 0xfa, 0xf0, 0x14, 0x3d, 0, 0, 1, 1, 0x13, 0x12,
        0x3e, 0x04, 0x12, 0x0f, 0xf3, 0x5d, 0xed, 0xcc, 0xd5, 0xc5, 0x23, 0xac, 0xd0, 0x10, 0x34, 0x1a,
        2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 10 };
#endif
    struct script *t = &T;
    struct fake_seg s = { .flags = TCP_SYN };
    struct pkt *p = fake_packet(&t->h, &t->peer, &t->us, &s);

    add_key(t->h.listener.layer_cfg, PEER, host_bits, "kernel key");
    pkt_append(p, sizeof(seg) - 20);
    memcpy(pkt_data(p), seg, sizeof(seg));
    pkt_meta(p)->l4_total = sizeof(seg);
    tcp_transport_ops.input(&t->h.w, &p, 1);
    took("kernel key");
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
    cr_assert_eq(t->seg.ack, (uint32_t)((uint32_t)seg[4] << 24 | seg[5] << 16 | seg[6] << 8 | seg[7]) + 1);
}

Test(tcp_auth, listener_takes_what_is_signed_right_and_drops_the_rest, .init = init, .fini = fini)
{
    struct script *t = &T;

    put(NULL, TCP_SYN, t->snd, 0, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(count(TCP_C_sig_missing), 1);
    put("Secret", TCP_SYN, t->snd, 0, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(count(TCP_C_sig_bad), 1);
    put(NULL, TCP_ACK, t->snd, 7, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    put(NULL, TCP_RST, t->snd, 0, NULL, 0, NULL, 0);
    cr_assert_eq(count(TCP_C_sig_missing), 3);
    open_signed(NULL, 0);
    /* data that is changed on its way, or has lost its signature, is as if it had never come */
    put("secret", TCP_ACK, t->snd, t->rcv, NULL, 0, "abc", 3);
    cr_assert_eq(t->s->rx_len, 3);
    fake_advance(&t->h, 50000);
    took("secret");
    put("other", TCP_ACK, t->snd + 3, t->rcv, NULL, 0, "def", 3);
    put(NULL, TCP_ACK, t->snd + 3, t->rcv, NULL, 0, "def", 3);
    cr_assert_eq(t->s->rx_len, 3);
    EXPECT_NOTHING(t);
    cr_assert_eq(count(TCP_C_sig_bad), 2);
    cr_assert_eq(count(TCP_C_sig_missing), 4);
}

/* RFC 2385 s1: a forged RST, right in all but the signature, is what it is for. */
Test(tcp_auth, forged_reset_is_dropped_and_a_signed_one_ends_it, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_signed(NULL, 0);
    put(NULL, TCP_RST, t->snd, t->rcv, NULL, 0, NULL, 0);
    put("guess", TCP_RST | TCP_ACK, t->snd, t->rcv, NULL, 0, NULL, 0);
    put(NULL, TCP_SYN, t->snd, 0, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->s->reset_error, 0);
    put("secret", TCP_RST, t->snd, t->rcv, NULL, 0, NULL, 0);
    cr_assert_eq(t->s->reset_error, -ECONNRESET);
}

/* All that leaves is signed: data, retransmission, FIN, RST. Nothing of it is a super-frame: one signature a segment. */
Test(tcp_auth, all_that_leaves_is_signed, .init = init, .fini = fini)
{
    static const uint8_t mss[] = { 2, 4, 1000 >> 8, 1000 & 255 };
    struct script *t = &T;
    uint8_t data[2500] = { 1 };

    t->h.tso_max = 65535;
    open_signed(mss, sizeof(mss));
    cr_assert_eq(script_conn(t)->mss, 1000 - 20);
    fake_write(&t->h, t->s, data, sizeof(data));
    for (uint32_t at = 0; at < sizeof(data); at += 980) {
        took("secret");
        cr_assert_eq(t->seg.seq, t->rcv + at);
        cr_assert_eq(t->seg.len, hs_min_u32(980, sizeof(data) - at));
    }
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 1500000);
    while (t->h.n_out)
        took("secret");
    cr_assert_gt(count(TCP_C_retransmits), 0);
    put("secret", TCP_ACK, t->snd, t->rcv + sizeof(data), NULL, 0, NULL, 0);
    tcp_transport_ops.shutdown_wr(&t->h.w, t->s->conn);
    fake_tx(&t->h);
    took("secret");
    cr_assert_eq(t->seg.flags, TCP_FIN | TCP_ACK);
    tcp_transport_ops.reset(&t->h.w, t->s->conn);
    took("secret");
    cr_assert_eq(t->seg.flags, TCP_RST | TCP_ACK);
}

/* A signature is of bytes that nobody changes before they are sent: those of the program are copied, though the port would take them. */
Test(tcp_auth, what_is_signed_is_copied, .init = init, .fini = fini)
{
    static const uint8_t mss[] = { 2, 4, 30000 >> 8, 30000 & 255 };
    static uint8_t data[40000];
    struct script *t = &T;

    t->h.tso_max = t->h.mtu = 65000;
    t->h.takes_attached = true;
    open_signed(mss, sizeof(mss));
    cr_assert_eq(script_conn(t)->mss, 30000 - 20);
    fake_write(&t->h, t->s, data, sizeof(data));
    took("secret");
    cr_assert_eq(t->seg.len, 30000 - 20);
    cr_assert_eq(t->h.n_attach_asked, 0);
}

/* 40 bytes hold 20 of signature and one or two SACK blocks, but no timestamps besides. */
Test(tcp_auth, options_leave_room_for_sack, .init = init, .fini = fini)
{
    static const uint8_t both[] = { 2, 4, 1000 >> 8, 1000 & 255, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0 };
    struct script *t = &T;
    struct tcp_opts o;

    syn("secret", both, sizeof(both));
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_sack_ok && !o.has_ts && o.has_mss);
    put("secret", TCP_ACK, t->snd, t->rcv, NULL, 0, NULL, 0);
    for (uint32_t i = 0; i < 4; i++) {
        put("secret", TCP_ACK, t->snd + 100 + 100 * i, t->rcv, NULL, 0, "x", 1);
        took("secret");
        cr_assert_leq(t->seg.opt_len, 40);
        cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
        cr_assert_eq(o.n_sack, i == 0 ? 1 : 2);
    }
}

/* A peer without SACK keeps its timestamps: RFC 7323 and the signature fit together. */
Test(tcp_auth, timestamps_when_there_is_no_sack, .init = init, .fini = fini)
{
    static const uint8_t ts[] = { 2, 4, 1000 >> 8, 1000 & 255, 1, 1, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0 };
    uint8_t ack[12] = { 1, 1, 8, 10, 0, 0, 3, 0xe9 };
    struct script *t = &T;
    struct tcp_opts o;

    syn("secret", ts, sizeof(ts));
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_ts);
    put("secret", TCP_ACK, t->snd, t->rcv, ack, sizeof(ack), NULL, 0);
    t->s = fake_accepted(&t->h);
    cr_assert_eq(script_conn(t)->mss, 1000 - 12 - 20);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_MSS, &(int32_t){ 0 }, &(uint32_t){ 4 }), 0);
    fake_write(&t->h, t->s, "abc", 3);
    took("secret");
    cr_assert_eq(t->seg.opt_len, 32);
}

Test(tcp_auth, cookies_are_signed_and_taken_only_signed, .init = init, .fini = fini)
{
    static const uint8_t linux_syn[] = { 2, 4, 1400 >> 8, 1400 & 255, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 7 };
    struct script *t = &T;
    struct tcp_opts o;
    uint8_t ack[12] = { 1, 1, 8, 10, 0, 0, 3, 0xe9 };
    be32 ecr;

    t->h.listener.backlog = 0;
    put(NULL, TCP_SYN, t->snd, 0, linux_syn, sizeof(linux_syn), NULL, 0);
    EXPECT_NOTHING(t);
    syn("secret", linux_syn, sizeof(linux_syn));
    cr_assert_eq(count(TCP_C_cookies_sent), 1);
    cr_assert_null(script_conn(t));
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_ts && o.has_wscale && !o.has_sack_ok);
    ecr = be32_of(o.tsval);
    memcpy(ack + 8, &ecr, 4);
    put(NULL, TCP_ACK, t->snd, t->rcv, ack, sizeof(ack), NULL, 0);
    cr_assert_null(script_conn(t));
    EXPECT_NOTHING(t);
    put("secret", TCP_ACK, t->snd, t->rcv, ack, sizeof(ack), "x", 1);
    cr_assert_not_null(script_conn(t));
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 1);
    cr_assert_eq(count(TCP_C_cookies_accepted), 1);
    fake_advance(&t->h, 50000);
    took("secret"); /* the ACK of its byte */
}

/* Out of the blue: where nobody has a key there is no answer that the peer would take, and none is given (as Linux). */
Test(tcp_auth, resets_for_strangers, .init = init, .fini = fini)
{
    struct script *t = &T;

    put("secret", TCP_ACK, t->snd, 77, NULL, 0, NULL, 0); /* at a listener that has the key: RST, signed */
    took("secret");
    cr_assert_eq(t->seg.flags, TCP_RST);
    cr_assert_eq(t->seg.seq, 77);
    t->h.listening = false;
    put("secret", TCP_ACK, t->snd, 77, NULL, 0, NULL, 0); /* no listener: silence */
    EXPECT_NOTHING(t);
    put(NULL, TCP_ACK, t->snd, 77, NULL, 0, NULL, 0);      /* no signature, no listener: as ever */
    took(NULL);
    cr_assert_eq(t->seg.flags, TCP_RST);
}

Test(tcp_auth, signature_without_a_key_is_dropped, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.listener.layer_cfg = 0;
    put("secret", TCP_SYN, t->snd, 0, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(count(TCP_C_sig_unexpected), 1);
    script_open(t, false, false);
    put("secret", TCP_ACK, t->snd, t->rcv, NULL, 0, "abc", 3);
    cr_assert_eq(t->s->rx_len, 0);
    cr_assert_eq(count(TCP_C_sig_unexpected), 2);
    EXPECT_NOTHING(t);
}

Test(tcp_auth, peers_of_no_key_are_not_signed, .init = init, .fini = fini)
{
    struct script *t = &T;

    add_key(t->h.listener.layer_cfg, PEER, host_bits, ""); /* removed */
    add_key(t->h.listener.layer_cfg, IP_HDR == 20 ? "10.9.0.0" : "fd09::", 16, "elsewhere");
    script_open(t, false, false);
    cr_assert_eq(script_conn(t)->lflags & TCP_LF_AUTH, 0);
}

Test(tcp_auth, longest_prefix_has_the_key, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t n = add_key(0, IP_HDR == 20 ? "0.0.0.0" : "::", 0, "all");

    t->h.listener.layer_cfg = n;
    syn("all", NULL, 0);
    put("all", TCP_RST, t->snd, t->rcv, NULL, 0, NULL, 0);
    add_key(n, IP_HDR == 20 ? "10.0.0.0" : "fd00::", 15, "net");
    add_key(n, IP_HDR == 20 ? "10.4.0.0" : "fd04::", 15, "other net");
    syn("net", NULL, 0);
}

/* Fails closed: the set that a listener names has gone. */
Test(tcp_auth, set_that_has_gone_lets_nobody_in, .init = init, .fini = fini)
{
    struct script *t = &T;

    tcp_keys_drop(&t->h.stack, t->h.listener.layer_cfg);
    put(NULL, TCP_SYN, t->snd, 0, NULL, 0, NULL, 0);
    put("secret", TCP_SYN, t->snd, 0, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    t->h.layer_cfg = t->h.listener.layer_cfg;
    cr_assert_eq(fake_connect(&t->h, US, PORT, PEER, PEER_PORT)->connect_error, -ENOENT);
}

Test(tcp_auth, connect_signs_and_checks, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;

    t->h.layer_cfg = t->h.listener.layer_cfg;
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    took("secret");
    cr_assert_eq(t->seg.flags, TCP_SYN);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_sack_ok && o.has_wscale && !o.has_ts);
    t->rcv = t->seg.seq + 1;
    put(NULL, TCP_SYN | TCP_ACK, t->snd, t->rcv, NULL, 0, NULL, 0);
    put(NULL, TCP_RST | TCP_ACK, 0, t->rcv, NULL, 0, NULL, 0);
    cr_assert_eq(t->s->connect_error, 0);
    cr_assert_not(t->s->connected);
    EXPECT_NOTHING(t);
    put("secret", TCP_SYN | TCP_ACK, t->snd, t->rcv + 5, NULL, 0, NULL, 0); /* acknowledges what was never sent: RST, signed */
    took("secret");
    cr_assert_eq(t->seg.flags, TCP_RST);
    put("secret", TCP_SYN | TCP_ACK, t->snd, t->rcv, NULL, 0, NULL, 0);
    cr_assert(t->s->connected);
    took("secret");
    cr_assert_eq(t->seg.flags, TCP_ACK);
}

/* TIME-WAIT keeps the key: forged segments restart nothing; a new SYN is checked by the listener's key, which may be another one now. */
Test(tcp_auth, time_wait, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_signed(NULL, 0);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    took("secret");
    put("secret", TCP_ACK | TCP_FIN, t->snd, t->rcv + 1, NULL, 0, NULL, 0);
    took("secret");
    cr_assert(script_in_time_wait(t));
    put(NULL, TCP_ACK | TCP_FIN, t->snd, t->rcv + 1, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    put("secret", TCP_ACK | TCP_FIN, t->snd, t->rcv + 1, NULL, 0, NULL, 0);
    took("secret");
    add_key(t->h.listener.layer_cfg, PEER, host_bits, "new");
    put("secret", TCP_SYN, t->snd + 100000, 0, NULL, 0, NULL, 0);
    EXPECT_NOTHING(t);
    put("new", TCP_SYN, t->snd + 100000, 0, NULL, 0, NULL, 0);
    took("new");
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
}

/* Set, changed and removed on a connection that is there (SVM_ATTR_TCP_KEYS). */
Test(tcp_auth, keys_change_while_connected, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t n = t->h.listener.layer_cfg;

    open_signed(NULL, 0);
    add_key(n, PEER, host_bits, "second");
    put("secret", TCP_ACK, t->snd, t->rcv, NULL, 0, "a", 1); /* the listener's keys are not those of its connections */
    cr_assert_eq(t->s->rx_len, 1);
    fake_advance(&t->h, 50000);
    took("secret");
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_TCP_KEYS, &n, sizeof(n)), 0);
    put("secret", TCP_ACK, t->snd + 1, t->rcv, NULL, 0, "b", 1);
    cr_assert_eq(t->s->rx_len, 1);
    put("second", TCP_ACK, t->snd + 1, t->rcv, NULL, 0, "b", 1);
    cr_assert_eq(t->s->rx_len, 2);
    fake_advance(&t->h, 50000);
    took("second");
    add_key(n, PEER, host_bits, "");
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_TCP_KEYS, &n, sizeof(n)), 0);
    put(NULL, TCP_ACK, t->snd + 2, t->rcv, NULL, 0, "c", 1);
    cr_assert_eq(t->s->rx_len, 3);
    fake_advance(&t->h, 50000);
    took(NULL);
    cr_assert_eq(script_conn(t)->auth_len, 0);
}

/* An option of the wrong length, or two of them, is no option. */
Test(tcp_auth, malformed_options, .init = init, .fini = fini)
{
    static const uint8_t short_one[] = { 19, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 };
    static const uint8_t two[] = { 19, 18, [18] = 19, 18, [36] = 1, 1, 1, 1 };
    struct tcp_opts o;

    cr_assert_eq(tcp_options_parse(short_one, sizeof(short_one), &o), -EINVAL);
    cr_assert_eq(tcp_options_parse(two, sizeof(two), &o), -EINVAL);
    cr_assert_eq(tcp_options_parse(two, 18, &o), 0);
    cr_assert_eq(o.sig, two);
}

Test(tcp_auth, sets_belong_to_their_programs, .init = init, .fini = fini)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_MD5, .prefix = 128, .len = 1 };
    struct stack *s = &T.h.stack;
    struct tcp_auth a;
    uint32_t mine = 0, n;

    ip_addr_parse(PEER, &k.ip);
    cr_assert_eq(tcp_keys_change(s, 1, &k, &mine), 0);
    n = mine;
    cr_assert_eq(tcp_keys_change(s, 2, &k, &n), -EACCES);
    cr_assert_eq(tcp_keys_use(s, 2, mine), -EINVAL);
    k.remove = 1;
    k.prefix = 120;
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), -ENOENT);
    k = (struct svm_tcp_key){ .kind = SVM_TCP_KEY_MD5, .prefix = 129, .len = 1 };
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), -EINVAL);
    k = (struct svm_tcp_key){ .kind = SVM_TCP_KEY_MD5, .prefix = 128, .len = SVM_TCP_KEY_MAX + 1 };
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), -EINVAL);
    k = (struct svm_tcp_key){ .kind = 9, .prefix = 128, .len = 1 };
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), -EINVAL);
    tcp_keys_app_gone(s, 2);
    cr_assert_eq(tcp_keys_find(s, mine, &T.peer.ip, &a), 1);
    cr_assert_eq(tcp_keys_use(s, 1, mine), 0);
    tcp_keys_app_gone(s, 1); /* a session has it still; the one that no session uses goes */
    cr_assert_eq(tcp_keys_find(s, mine, &T.peer.ip, &a), 1);
    cr_assert_eq(tcp_keys_find(s, T.h.listener.layer_cfg, &T.peer.ip, &a), -ENOENT);
    tcp_keys_drop(s, mine);
    cr_assert_eq(tcp_keys_find(s, mine, &T.peer.ip, &a), -ENOENT);
}

/* Many signed connections, and their memory again. */
Test(tcp_auth, numbers_of_connections_are_used_again, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn c[200];

    for (unsigned round = 0; round < 3; round++) {
        memset(c, 0, sizeof(c));
        for (unsigned i = 0; i < HS_ARRAY_LEN(c); i++) {
            c[i].base.rmt = t->peer;
            cr_assert_eq(tcp_auth_attach(&t->h.w, &c[i], t->h.listener.layer_cfg, NULL), 0);
            cr_assert(c[i].auth && (i == 0 || c[i].auth != c[i - 1].auth));
        }
        for (unsigned i = 0; i < HS_ARRAY_LEN(c); i++)
            tcp_auth_release(&t->h.w, &c[i]);
    }
    cr_assert_leq(t->h.tw.cap_auths, 256);
    cr_assert_eq(t->h.tw.n_free_auths, t->h.tw.cap_auths - 1);
}

/* A program that gives keys without end takes a bounded part of the server's memory, and no other program is refused for it. */
Test(tcp_auth, keys_of_a_program_are_bounded, .init = init, .fini = fini)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_MD5, .prefix = 128, .len = 1, .ip = T.peer.ip };
    unsigned taken = 0, sets = 0;
    int rc = 0;

    for (; rc == 0 && taken < 1000000; sets++) {
        uint32_t number = 0;
        for (unsigned i = 0; rc == 0 && i < 2000; i++) {
            k.ip.b[14] = (uint8_t)(i >> 8);
            k.ip.b[15] = (uint8_t)i;
            rc = tcp_keys_change(&T.h.stack, 7, &k, &number);
            taken += rc == 0;
        }
        if (rc == -ENOSPC && taken % 1024 == 0 && taken < 16384) /* the set is full: another one */
            rc = 0;
    }
    cr_assert_eq(rc, -ENOSPC);
    cr_assert_eq(taken, 16384, "%u keys in %u sets", taken, sets);
    uint32_t other = 0;
    cr_assert_eq(tcp_keys_change(&T.h.stack, 8, &k, &other), 0);
    tcp_keys_app_gone(&T.h.stack, 7);
    uint32_t again = 0;
    cr_assert_eq(tcp_keys_change(&T.h.stack, 7, &k, &again), 0);
}
