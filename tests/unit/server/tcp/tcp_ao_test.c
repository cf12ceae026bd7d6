/* tcp_ao_test.c - TCP-AO (RFC 5925, RFC 5926): the vectors of RFC 9235, handshakes of two stacks, change of keys, numbers that wrap */
#include "server/tcp/tcp_auth.h"
#include "tests/unit/server/tcp/tcp_ao_vectors.h"
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;

static void init(void)
{
    script_init(&T);
    cr_assert_eq(tcp_keys_create(&T.h.stack), 0);
}

static void fini(void)
{
    fake_fini(&T.h);
    tcp_keys_destroy(&T.h.stack);
}

/* ---- vectors ---- */

static unsigned from_hex(const char *hex, uint8_t *out)
{
    unsigned n = 0;

    for (; hex[0] && hex[1]; hex += 2) {
        unsigned v;
        cr_assert_eq(sscanf(hex, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static void check_vector(const struct tcp_ao_vector *v)
{
    struct ip_endpoint client = fake_endpoint(v->is_v6 ? "fd00::1" : "10.11.12.13", 0);
    struct ip_endpoint server = fake_endpoint(v->is_v6 ? "fd00::2" : "172.27.28.29", 0);
    struct tcp_ao_key k = { .alg = v->alg, .key_len = 10, .mac_len = 12, .flags = v->exclude ? SVM_TCP_AO_EXCLUDE_OPTIONS : 0 };
    const struct ip_endpoint *src = v->from_server ? &server : &client, *dst = v->from_server ? &client : &server;
    uint8_t seg[256], want[TCP_AO_KEY_MAX], key[TCP_AO_KEY_MAX], mac[TCP_AO_KEY_MAX];
    unsigned n = from_hex(v->segment, seg), key_len = from_hex(v->key, want);
    struct pkt *p = pkt_alloc(&T.h.stack.pools, n);
    const struct tcp_hdr *h;
    struct tcp_opts o;
    struct tcp_ao_flow f;

    memcpy(k.key, "testvector", 10);
    memcpy(pkt_append(p, (uint16_t)n), seg, n);
    h = (const struct tcp_hdr *)(const void *)pkt_data(p);
    f = (struct tcp_ao_flow){ *src, *dst, v->from_server ? v->server_isn : v->client_isn, v->from_server ? v->client_isn : v->server_isn };
    if ((h->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
        f.dst_isn = 0;
    f.src.port = h->src_port;
    f.dst.port = h->dst_port;
    cr_assert_eq(tcp_options_parse((const uint8_t *)(h + 1), tcp_hdr_len(h) - 20, &o), 0, "%s", v->section);
    cr_assert_eq(o.sig[0], TCP_OPT_AO);
    cr_assert(tcp_ao_traffic_key(&T.h.w, &k, &f, key));
    cr_assert_arr_eq(key, want, key_len, "traffic key of %s", v->section);
    cr_assert(tcp_ao_mac(&T.h.w, &k, key, 0, p, o.sig, &src->ip, &dst->ip, mac));
    cr_assert_arr_eq(mac, o.sig + 4, 12, "MAC of %s", v->section);
    cr_assert(tcp_ao_mac(&T.h.w, &k, key, 1, p, o.sig, &src->ip, &dst->ip, mac));
    cr_assert_neq(memcmp(mac, o.sig + 4, 12), 0, "the sequence number's extension counts, %s", v->section);
    pkt_free(p);
}

Test(tcp_ao, vectors_of_rfc_9235, .init = init, .fini = fini)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(tcp_ao_vectors); i++)
        check_vector(&tcp_ao_vectors[i]);
}

/* ---- two ends, both ours: what `us` sends comes to the other host, and back ---- */

static struct fake_host O;

static void pair_init(void)
{
    init();
    fake_init(&O, "other");
    cr_assert_eq(tcp_keys_create(&O.stack), 0);
    O.listener.lcl = fake_endpoint(PEER, PEER_PORT);
    O.listening = true;
}

static void pair_fini(void)
{
    fini();
    fake_fini(&O);
    tcp_keys_destroy(&O.stack);
}

static int key_of(struct fake_host *h, uint32_t *number, const char *peer, uint8_t snd_id, uint8_t rcv_id, uint8_t alg, const char *text)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_AO, .prefix = 128, .len = (uint8_t)strlen(text), .snd_id = snd_id, .rcv_id = rcv_id,
                             .alg = alg, .mac_len = 12 };

    cr_assert_eq(ip_addr_parse(peer, &k.ip), 0);
    memcpy(k.key, text, k.len);
    return tcp_keys_change(&h->stack, 1, &k, number);
}

static unsigned move(struct fake_host *from, struct fake_host *to)
{
    unsigned n = from->n_out;

    for (unsigned i = 0; i < n; i++) {
        fake_deliver(to, from->out[i]);
        pkt_free(from->out[i]);
    }
    memmove(from->out, from->out + n, (from->n_out - n) * sizeof(from->out[0]));
    from->n_out -= n;
    return n;
}

static void settle(void)
{
    for (unsigned i = 0; i < 20; i++) {
        while (move(&T.h, &O) + move(&O, &T.h))
            ;
        fake_advance(&T.h, 50000);
        fake_advance(&O, 50000);
    }
}

static uint32_t ours, theirs;

static void keys_of_both(uint8_t id, uint8_t alg, const char *text)
{
    cr_assert_eq(key_of(&T.h, &ours, PEER, id, (uint8_t)(id + 100), alg, text), 0);
    cr_assert_eq(key_of(&O, &theirs, US, (uint8_t)(id + 100), id, alg, text), 0);
    T.h.layer_cfg = ours;
    O.listener.layer_cfg = theirs;
}

static void connect_both(void)
{
    T.s = fake_connect(&T.h, US, PORT, PEER, PEER_PORT);
    settle();
}

static struct tcp_auth *auth_of(struct fake_host *h) { return tcp_auth_of_conn(&h->w, (struct tcp_conn *)h->lookup); }

static void exchange(const char *text)
{
    struct session *s = fake_accepted(&O);
    char buf[64] = "";
    uint32_t n = (uint32_t)strlen(text);

    fake_write(&T.h, T.s, text, n);
    settle();
    cr_assert_eq(fake_read(&O, s, buf, sizeof(buf)), n);
    cr_assert_str_eq(buf, text);
    fake_write(&O, s, text, n);
    settle();
    cr_assert_eq(fake_read(&T.h, T.s, buf, sizeof(buf)), n);
}

static void from_open_to_close(uint8_t alg)
{
    keys_of_both(1, alg, "a key of some length, not 16");
    connect_both();
    cr_assert(T.s->connected);
    cr_assert_eq(script_conn(&T)->lflags & TCP_LF_AUTH, TCP_LF_AUTH);
    cr_assert(script_conn(&T)->flags & TCP_F_TS && script_conn(&T)->flags & TCP_F_SACK);
    cr_assert_eq(script_conn(&T)->mss, 1500 - IP_HDR - 20 - 12 - 16);
    exchange("hello");
    cr_assert_eq(auth_of(&O)->counts.bad + auth_of(&T.h)->counts.bad, 0);
    cr_assert_gt(auth_of(&O)->counts.good, 2);
    tcp_transport_ops.close(&T.h.w, T.s->conn, -1);
    fake_tx(&T.h);
    settle();
    cr_assert(fake_accepted(&O)->rx_fin);
    tcp_transport_ops.close(&O.w, fake_accepted(&O)->conn, -1);
    fake_tx(&O);
    settle();
    cr_assert(script_in_time_wait(&T));
    cr_assert_null(O.lookup);
}

Test(tcp_ao, hmac_sha_1_96, .init = pair_init, .fini = pair_fini) { from_open_to_close(SVM_TCP_AO_HMAC_SHA1); }
Test(tcp_ao, aes_128_cmac_96, .init = pair_init, .fini = pair_fini) { from_open_to_close(SVM_TCP_AO_AES_CMAC); }

Test(tcp_ao, wrong_key_unknown_number_and_no_signature, .init = pair_init, .fini = pair_fini)
{
    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "right");
    theirs = 0;
    cr_assert_eq(key_of(&O, &theirs, US, 101, 1, SVM_TCP_AO_HMAC_SHA1, "wrong"), 0);
    O.listener.layer_cfg = theirs;
    connect_both();
    cr_assert_not(T.s->connected);
    cr_assert_gt(O.tw.counters[TCP_C_sig_bad], 0);
    tcp_transport_ops.reset(&T.h.w, T.s->conn);
    ours = 0;
    cr_assert_eq(key_of(&T.h, &ours, PEER, 9, 9, SVM_TCP_AO_HMAC_SHA1, "right"), 0);
    T.h.layer_cfg = ours;
    connect_both();
    cr_assert_gt(O.tw.counters[TCP_C_sig_no_key], 0);
    tcp_transport_ops.reset(&T.h.w, T.s->conn);
    T.h.layer_cfg = 0;
    connect_both();
    cr_assert_gt(O.tw.counters[TCP_C_sig_missing], 0);
    tcp_transport_ops.reset(&T.h.w, T.s->conn);
    cr_assert_null(O.lookup);
}

/* RFC 5925 s3.3, s7.5: we wish for another key by RNextKeyID, the peer signs with it, and follows back. No segment is lost by it. */
Test(tcp_ao, keys_roll_over, .init = pair_init, .fini = pair_fini)
{
    struct svm_tcp_ao wish = { .flags = SVM_TCP_AO_RNEXT, .rnext = 102 }, is;

    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "first");
    connect_both();
    keys_of_both(2, SVM_TCP_AO_AES_CMAC, "second");
    cr_assert_eq(tcp_transport_ops.attr_set(&T.h.w, T.s->conn, SVM_ATTR_TCP_KEYS, &ours, sizeof(ours)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&O.w, O.lookup, SVM_ATTR_TCP_KEYS, &theirs, sizeof(theirs)), 0);
    exchange("still the first");
    cr_assert_eq(auth_of(&O)->ao[auth_of(&O)->current].snd_id, 101);
    cr_assert_eq(tcp_transport_ops.attr_set(&T.h.w, T.s->conn, SVM_ATTR_TCP_AO, &wish, sizeof(wish)), 0);
    exchange("asks for the second");
    cr_assert_eq(auth_of(&O)->ao[auth_of(&O)->current].snd_id, 102, "the peer signs with what it was asked for");
    tcp_ao_get(auth_of(&T.h), &is);
    cr_assert_eq(is.current, 1, "who was not asked stays with its own");
    cr_assert_eq(is.rnext, 102);
    wish.rnext = 2;
    cr_assert_eq(tcp_transport_ops.attr_set(&O.w, O.lookup, SVM_ATTR_TCP_AO, &wish, sizeof(wish)), 0);
    exchange("and the other way");
    tcp_ao_get(auth_of(&T.h), &is);
    cr_assert_eq(is.current, 2);
    wish.rnext = 77;
    cr_assert_eq(tcp_transport_ops.attr_set(&T.h.w, T.s->conn, SVM_ATTR_TCP_AO, &wish, sizeof(wish)), -ENOENT);
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad] + O.tw.counters[TCP_C_sig_bad] + T.h.tw.counters[TCP_C_retransmits], 0);
    cr_assert_eq(O.tw.counters[TCP_C_sig_key_changes], 1);
}

static void add_key(struct fake_host *h, uint32_t *number, const char *peer, uint8_t snd_id, uint8_t rcv_id, uint8_t mac_len)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_AO, .prefix = 128, .len = 4, .key = "text", .snd_id = snd_id, .rcv_id = rcv_id,
                             .alg = SVM_TCP_AO_HMAC_SHA1, .mac_len = mac_len };

    cr_assert_eq(ip_addr_parse(peer, &k.ip), 0);
    cr_assert_eq(tcp_keys_change(&h->stack, 1, &k, number), 0);
}

/* The next key's MAC is longer: segments are shorter by that from the moment we sign with it. */
Test(tcp_ao, a_longer_mac_is_followed, .init = pair_init, .fini = pair_fini)
{
    struct svm_tcp_ao wish = { .flags = SVM_TCP_AO_RNEXT, .rnext = 2 };
    uint32_t mss;

    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "first");
    connect_both();
    mss = script_conn(&T)->mss;
    add_key(&T.h, &ours, PEER, 2, 102, 16);
    add_key(&O, &theirs, US, 102, 2, 16);
    cr_assert_eq(tcp_transport_ops.attr_set(&T.h.w, T.s->conn, SVM_ATTR_TCP_KEYS, &ours, sizeof(ours)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&O.w, O.lookup, SVM_ATTR_TCP_KEYS, &theirs, sizeof(theirs)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&O.w, O.lookup, SVM_ATTR_TCP_AO, &wish, sizeof(wish)), 0);
    exchange("before");
    exchange("asked for");
    cr_assert_eq(auth_of(&T.h)->ao[auth_of(&T.h)->current].snd_id, 2);
    cr_assert_eq(script_conn(&T)->mss, mss - 4);
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad] + O.tw.counters[TCP_C_sig_bad], 0);
}

/* s7.3: a SYN that is signed with one key may ask for another. The accepting end has more, in another order. */
Test(tcp_ao, the_syn_chooses_both_keys, .init = pair_init, .fini = pair_fini)
{
    struct svm_tcp_key which = { .kind = SVM_TCP_KEY_AO_INFO, .flags = SVM_TCP_AO_CURRENT | SVM_TCP_AO_RNEXT, .snd_id = 1, .rcv_id = 102 };
    struct tcp_opts o;
    const struct tcp_hdr *h;

    add_key(&T.h, &ours, PEER, 1, 101, 12);
    add_key(&T.h, &ours, PEER, 2, 102, 12);
    cr_assert_eq(tcp_keys_change(&T.h.stack, 1, &which, &ours), 0);
    add_key(&O, &theirs, US, 103, 3, 12);
    add_key(&O, &theirs, US, 101, 1, 12);
    add_key(&O, &theirs, US, 102, 2, 12);
    T.h.layer_cfg = ours;
    O.listener.layer_cfg = theirs;
    T.s = fake_connect(&T.h, US, PORT, PEER, PEER_PORT);
    cr_assert_eq(move(&T.h, &O), 1);
    cr_assert_eq(O.n_out, 1);
    h = (const struct tcp_hdr *)(const void *)pkt_data(O.out[0]);
    cr_assert_eq(tcp_options_parse((const uint8_t *)(h + 1), tcp_hdr_len(h) - 20, &o), 0);
    cr_assert_eq(o.sig[2], 102, "the SYN,ACK is signed as it was asked for");
    cr_assert_eq(o.sig[3], 1, "and asks for what the SYN was signed with");
    settle();
    cr_assert(T.s->connected);
    exchange("with both");
}

/* s6.2: after a wrap, of which both ends know, the number of wraps is part of what is signed and checked. */
Test(tcp_ao, wraps_are_signed, .init = pair_init, .fini = pair_fini)
{
    struct tcp_conn *a, *b;

    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "first");
    connect_both();
    a = script_conn(&T);
    b = (struct tcp_conn *)O.lookup;
    a->acked_wraps = b->rcvd_wraps = 1;
    exchange("one way, and acknowledgments back");
    b->acked_wraps = a->rcvd_wraps = 1;
    exchange("both");
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad] + O.tw.counters[TCP_C_sig_bad], 0);
    a->acked_wraps = b->rcvd_wraps = b->acked_wraps = a->rcvd_wraps = UINT16_MAX;
    exchange("after very many");
    a->acked_wraps = b->rcvd_wraps = b->acked_wraps = a->rcvd_wraps = 0;
    exchange("after one more");
    cr_assert_eq(tcp_transport_ops.attr_set(&T.h.w, T.s->conn, SVM_ATTR_TCP_KEYS, &ours, sizeof(ours)), 0);
    cr_assert_gt(auth_of(&T.h)->ao[0].good, 0, "what is known of a key stays when it is set again");
    exchange("and its wraps, too");
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad] + O.tw.counters[TCP_C_sig_bad], 0);
    b->rcvd_wraps = 2;
    fake_write(&T.h, T.s, "x", 1);
    settle();
    cr_assert_gt(O.tw.counters[TCP_C_sig_bad], 0, "who counts otherwise does not hear it");
}

/* s7.2: what has begun with TCP-AO ends with it, though the program takes its keys back. */
Test(tcp_ao, a_key_in_use_stays, .init = pair_init, .fini = pair_fini)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_AO, .ip = T.peer.ip, .prefix = 128, .remove = 1, .snd_id = 1, .rcv_id = 101 };

    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "first");
    connect_both();
    cr_assert_eq(tcp_keys_change(&T.h.stack, 1, &k, &ours), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&T.h.w, T.s->conn, SVM_ATTR_TCP_KEYS, &ours, sizeof(ours)), 0);
    cr_assert(script_conn(&T)->lflags & TCP_LF_AUTH);
    exchange("signed");
    cr_assert_eq(O.tw.counters[TCP_C_sig_missing], 0);
}

/* s5.2: traffic keys are of both initial numbers: a forged SYN,ACK with another one does not spoil those of the true one. */
Test(tcp_ao, a_forged_answer_spoils_no_keys, .init = pair_init, .fini = pair_fini)
{
    static const uint8_t opt[16] = { 29, 16, 101, 1 };
    struct fake_seg s = { .flags = TCP_SYN | TCP_ACK, .seq = 4711, .wnd = 1000, .opt = opt, .opt_len = sizeof(opt) };

    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "first");
    T.s = fake_connect(&T.h, US, PORT, PEER, PEER_PORT);
    s.ack = script_conn(&T)->iss + 1;
    fake_input(&T.h, &T.peer, &T.us, &s);
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad], 1);
    settle();
    cr_assert(T.s->connected);
    exchange("hello");
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad], 1);
}

/* A forged segment ends nothing: RST, data, SYN, without or with a MAC that is none. ICMP is not believed unless the program says so. */
Test(tcp_ao, forgeries, .init = pair_init, .fini = pair_fini)
{
    static const uint8_t opt[16] = { 29, 16, 101, 1 };
    uint8_t quoted[8] = { 0 };
    struct transport_error refused;
    struct tcp_conn *c;
    be32 seq;

    keys_of_both(1, SVM_TCP_AO_HMAC_SHA1, "first");
    connect_both();
    c = script_conn(&T);
    for (unsigned with = 0; with < 2; with++) {
        struct fake_seg s = { .seq = c->rcv_nxt, .ack = c->snd_nxt, .wnd = 1000, .opt = opt, .opt_len = with ? 16 : 0 };
        static const uint8_t flags[] = { TCP_RST, TCP_RST | TCP_ACK, TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK | TCP_FIN };

        for (unsigned i = 0; i < HS_ARRAY_LEN(flags); i++) {
            s.flags = flags[i];
            fake_input(&T.h, &T.peer, &T.us, &s);
        }
    }
    EXPECT_NOTHING(&T);
    cr_assert_eq(c->state, TCP_S_ESTABLISHED);
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_missing], 5);
    cr_assert_eq(T.h.tw.counters[TCP_C_sig_bad], 5);
    fake_write(&T.h, T.s, "x", 1);
    seq = be32_of(c->snd_una);
    memcpy(quoted + 4, &seq, 4);
    refused = (struct transport_error){ .lcl = T.us, .rmt = T.peer, .l4 = quoted, .l4_len = 8, .err = -ECONNREFUSED, .hard = true };
    tcp_icmp_error(&T.h.w, &refused);
    cr_assert_eq(T.s->soft_error, 0);
    cr_assert_eq(auth_of(&T.h)->counts.icmp, 1);
    auth_of(&T.h)->flags |= SVM_TCP_AO_ICMP;
    tcp_icmp_error(&T.h.w, &refused);
    cr_assert_eq(T.s->soft_error, -ECONNREFUSED);
    settle();
}

/* s6.2: the number of wraps is signed, too, beside the sequence number; old and new ones next to the wrap have their own. */
Test(tcp_ao, sequence_numbers_wrap, .init = init, .fini = fini)
{
    struct tcp_conn c = { .iss = 0xffffff00u, .irs = 0xfffffff0u, .snd_una = 0xfffffff0u, .rcv_nxt = 0xfffffff8u };
    struct tcp_auth a = { .kind = SVM_TCP_KEY_AO };

    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 0xfffffff5u), 0);
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 5), 1);
    cr_assert_eq(tcp_ao_rcv_sne(&a, &c, 0xfffffff0u), 0);
    cr_assert_eq(tcp_ao_rcv_sne(&a, &c, 100), 1);
    c.snd_una = c.rcv_nxt = 10;
    c.acked_wraps = c.rcvd_wraps = 1;
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 20), 1);
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 0xfffffff5u), 0);
    cr_assert_eq(tcp_ao_rcv_sne(&a, &c, 0xfffffff5u), 0);
    c.acked_wraps = UINT16_MAX;
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 20), UINT16_MAX);
    c.acked_wraps = 0;
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 20), 0x10000);
    c = (struct tcp_conn){ .iss = UINT32_MAX, .snd_una = UINT32_MAX };
    a = (struct tcp_auth){ .kind = SVM_TCP_KEY_AO };
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, UINT32_MAX), 0);
    c.snd_una = 0;
    cr_assert_eq(tcp_ao_snd_sne(&a, &c, 0), 1);
}

/* s7.3, cookies: what the SYN,ACK is signed with comes from the SYN alone; the ACK is checked by the numbers it carries. */
Test(tcp_ao, syn_cookies, .init = pair_init, .fini = pair_fini)
{
    keys_of_both(1, SVM_TCP_AO_AES_CMAC, "sixteen bytes!!!");
    O.listener.backlog = 0;
    connect_both();
    cr_assert(T.s->connected);
    cr_assert_eq(O.tw.counters[TCP_C_cookies_sent], 1);
    exchange("by cookie");
    cr_assert_eq(O.tw.counters[TCP_C_cookies_accepted], 1);
}

Test(tcp_ao, sets_of_keys, .init = init, .fini = fini)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_AO_INFO, .flags = SVM_TCP_AO_REQUIRED | SVM_TCP_AO_CURRENT, .snd_id = 1 };
    struct ip_endpoint other = fake_endpoint(IP_HDR == 20 ? "10.7.7.7" : "fd07::7", 1);
    struct stack *s = &T.h.stack;
    uint32_t n = 0;
    struct tcp_auth a;

    cr_assert_eq(key_of(&T.h, &n, PEER, 1, 11, SVM_TCP_AO_HMAC_SHA1, "one"), 0);
    cr_assert_eq(key_of(&T.h, &n, PEER, 2, 12, SVM_TCP_AO_HMAC_SHA1, "two"), 0);
    cr_assert_eq(key_of(&T.h, &n, PEER, 3, 12, SVM_TCP_AO_HMAC_SHA1, "again"), -EEXIST);
    cr_assert_eq(key_of(&T.h, &n, PEER, 2, 13, SVM_TCP_AO_HMAC_SHA1, "again"), -EEXIST);
    cr_assert_eq(key_of(&T.h, &n, PEER, 4, 14, 7, "no such algorithm"), -EINVAL);
    cr_assert_eq(tcp_keys_find(s, n, &T.peer.ip, &a), 1);
    cr_assert_eq(a.n, 2);
    cr_assert_eq(a.ao[a.current].snd_id, 2, "the newest, as Linux");
    cr_assert_eq(tcp_keys_find(s, n, &other.ip, &a), 0);
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), 0);
    cr_assert_eq(tcp_keys_find(s, n, &other.ip, &a), -EACCES, "unsigned peers are not wanted");
    cr_assert_eq(tcp_keys_find(s, n, &T.peer.ip, &a), 1);
    cr_assert_eq(a.ao[a.current].snd_id, 1);
    k = (struct svm_tcp_key){ .kind = SVM_TCP_KEY_MD5, .ip = T.peer.ip, .prefix = 100, .len = 1 };
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), -EKEYREJECTED, "one kind of signature for a peer");
    k = (struct svm_tcp_key){ .kind = SVM_TCP_KEY_AO, .ip = T.peer.ip, .prefix = 128, .remove = 1, .snd_id = 1, .rcv_id = 11 };
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), 0);
    cr_assert_eq(tcp_keys_change(s, 1, &k, &n), -ENOENT);
    cr_assert_eq(tcp_keys_find(s, n, &T.peer.ip, &a), 1);
    cr_assert_eq(a.n, 1);
    for (uint8_t i = 20; i < 20 + TCP_AO_KEYS_MAX - 1; i++)
        cr_assert_eq(key_of(&T.h, &n, PEER, i, i, SVM_TCP_AO_HMAC_SHA1, "x"), 0);
    cr_assert_eq(key_of(&T.h, &n, PEER, 99, 99, SVM_TCP_AO_HMAC_SHA1, "x"), -ENOSPC);
}
