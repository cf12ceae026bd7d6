/* sctp_script.c - the peer of the packet scripts: words to packets, packets to words */
#include "tests/unit/server/sctp/sctp_script.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/crc32c.h"
#include "server/ip/interface.h"

struct script script;

static const char *const names[] = {
    [SCTP_CT_DATA] = "DATA", [SCTP_CT_INIT] = "INIT", [SCTP_CT_INIT_ACK] = "INIT_ACK", [SCTP_CT_SACK] = "SACK",
    [SCTP_CT_HEARTBEAT] = "HEARTBEAT", [SCTP_CT_HEARTBEAT_ACK] = "HEARTBEAT_ACK", [SCTP_CT_ABORT] = "ABORT",
    [SCTP_CT_SHUTDOWN] = "SHUTDOWN", [SCTP_CT_SHUTDOWN_ACK] = "SHUTDOWN_ACK", [SCTP_CT_ERROR] = "ERROR",
    [SCTP_CT_COOKIE_ECHO] = "COOKIE_ECHO", [SCTP_CT_COOKIE_ACK] = "COOKIE_ACK", [SCTP_CT_ECNE] = "ECNE", [SCTP_CT_CWR] = "CWR",
    [SCTP_CT_SHUTDOWN_COMPLETE] = "SHUTDOWN_COMPLETE",
};

struct ip_addr script_addr(unsigned i)
{
    struct ip_prefix p;
    char text[IP_ADDR_TEXT_MAX];

    snprintf(text, sizeof(text), script.v4 ? "10.9.0.%u/24" : "fd09::%u/64", i ? 10 * i + 2 : 2);
    cr_assert_eq(ip_prefix_parse(text, &p), 0);
    return p.ip;
}

struct sctp_assoc *script_assoc(void) { return sctp_worker_of(env.pair.stack[0]->worker[0])->all; }

/* ---- heard ---- */

struct words { char *at, *end; };
static void word(struct words *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void word(struct words *o, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(o->at, (size_t)(o->end - o->at), fmt, ap);
    va_end(ap);
    cr_assert(n >= 0 && n < o->end - o->at, "a packet of too many words");
    o->at += n;
}

/* Whatever Nagle would hold back goes at once. */
static void no_delay(void)
{
    env_option(env.sock[0], SCTP_NODELAY, 1);
}

static void keep_info(const uint8_t *b, uint32_t len)
{
    script.info_len = hs_min_u32(len, sizeof(script.info));
    memcpy(script.info, b, script.info_len);
}

static void hear_init(struct words *o, const uint8_t *b, uint32_t len)
{
    script.sut_tag = sctp_get32(b + 4);
    script.rwnd = sctp_get32(b + 8);
    script.sut_tsn = sctp_get32(b + 16);
    word(o, " os=%u mis=%u", sctp_get16(b + 12), sctp_get16(b + 14));
    for (uint32_t off = SCTP_INIT_LEN; off + 4 <= len; off += sctp_pad(sctp_get16(b + off + 2))) {
        word(o, " p=%x", sctp_get16(b + off));
        if (sctp_get16(b + off) == SCTP_P_COOKIE) {
            script.cookie_len = sctp_get16(b + off + 2) - 4u;
            memcpy(script.cookie, b + off + 4, script.cookie_len);
        }
    }
}

static void hear_sack(struct words *o, const uint8_t *b)
{
    unsigned gaps = sctp_get16(b + 12), dups = sctp_get16(b + 14);

    script.rwnd = sctp_get32(b + 8);
    word(o, " cum=%d", (int)(sctp_get32(b + 4) - script.my_tsn));
    for (unsigned i = 0; i < gaps && i < 20; i++)
        word(o, " gap=%u-%u", sctp_get16(b + 16 + 4 * i), sctp_get16(b + 18 + 4 * i));
    for (unsigned i = 0; i < dups; i++)
        word(o, " dup=%d", (int)(sctp_get32(b + 16 + 4 * gaps + 4 * i) - script.my_tsn));
}

static void hear_chunk(struct words *o, const uint8_t *b, uint32_t len)
{
    unsigned type = b[0];

    if (type < sizeof(names) / sizeof(names[0]) && names[type])
        word(o, "%s", names[type]);
    else
        word(o, "#%u", type);
    if (type == SCTP_CT_DATA)
        word(o, " tsn=%d sid=%u ssn=%u len=%u f=%s%s%s%s", (int)(sctp_get32(b + 4) - script.sut_tsn), sctp_get16(b + 8), sctp_get16(b + 10),
             len - SCTP_DATA_HDR, b[1] & 2 ? "B" : "", b[1] & 1 ? "E" : "", b[1] & 4 ? "U" : "", b[1] & 8 ? "I" : "");
    else if (b[1])
        word(o, " f=%s", b[1] == 1 ? "T" : "?");
    if (type == SCTP_CT_INIT || type == SCTP_CT_INIT_ACK)
        hear_init(o, b, len);
    if (type == SCTP_CT_SACK)
        hear_sack(o, b);
    if (type == SCTP_CT_SHUTDOWN)
        word(o, " cum=%d", (int)(sctp_get32(b + 4) - script.my_tsn));
    if (type == SCTP_CT_COOKIE_ECHO && (len != 4 + script.cookie_len || memcmp(b + 4, script.cookie, script.cookie_len) != 0))
        word(o, " another");
    if (type == SCTP_CT_HEARTBEAT || type == SCTP_CT_HEARTBEAT_ACK)
        keep_info(b + 4, len - 4);
    for (uint32_t off = 4; (type == SCTP_CT_ABORT || type == SCTP_CT_ERROR) && off + 4 <= len; off += sctp_pad(sctp_get16(b + off + 2))) {
        word(o, " cause=%u", sctp_get16(b + off));
        keep_info(b + off + 4, sctp_get16(b + off + 2) - 4u);
    }
}

static bool hear(void *arg, struct sim_link *l, unsigned end, const uint8_t *f, uint32_t len, uint64_t now_us)
{
    bool v4 = f[12] == 0x08 && f[13] == 0, v6 = f[12] == 0x86;
    uint32_t at = env_sctp_at(f);

    (void)arg;
    (void)l;
    if (!(v4 && f[ENV_ETH + 9] == IPPROTO_SCTP) && !(v6 && f[ENV_ETH + 6] == IPPROTO_SCTP))
        return end == 0 || !((v4 && f[ENV_ETH + 9] == IPPROTO_ICMP)); /* the peer's stack knows no SCTP of this */
    if (end != 0)
        return false;
    cr_assert_lt(script.n_heard, SCRIPT_HEARD);
    struct script_heard *h = &script.heard[script.n_heard++];
    uint32_t tag = sctp_get32(f + at + 4), off = at + SCTP_COMMON_LEN;
    struct words o = { h->text, h->text + sizeof(h->text) };
    *h = (struct script_heard){ .len = len, .at_us = now_us, .frame = malloc(len) };
    memcpy(h->frame, f, len);
    uint32_t sum = 0, got, crc;
    memcpy(&got, f + at + 8, 4);
    crc = ~crc32c(crc32c(crc32c(UINT32_MAX, f + at, 8), (const uint8_t *)&sum, 4), f + off, len - off);
    cr_assert_eq(crc, got, "its checksum");
    for (unsigned i = 1; i < SCRIPT_ADDRS; i++) {
        struct ip_addr ip = script_addr(i);
        if (v4 == script.v4 && memcmp(f + (v4 ? ENV_ETH + 16 : ENV_ETH + 24), v4 ? ip.b + 12 : ip.b, v4 ? 4 : 16) == 0)
            h->to = (uint8_t)i;
    }
    if (h->to)
        word(&o, "to=%u ", h->to);
    if (tag != (f[off] == SCTP_CT_INIT ? 0 : script.my_tag))
        word(&o, "tag=%x ", tag);
    for (bool first = true; off < len; first = false) {
        uint32_t n = sctp_get16(f + off + 2);
        cr_assert(n >= 4 && off + sctp_pad(n) <= len, "a chunk of %u bytes", n);
        for (uint32_t i = n; i < sctp_pad(n); i++)
            cr_assert_eq(f[off + i], 0, "padding");
        if (!first)
            word(&o, " + ");
        hear_chunk(&o, f + off, n);
        off += sctp_pad(n);
    }
    return false;
}

const struct script_heard *script_next(void) { return script.n_taken < script.n_heard ? &script.heard[script.n_taken++] : NULL; }

void script_expect(const char *text)
{
    const struct script_heard *h = script_next();

    cr_assert_not_null(h, "nothing came, for: %s", text);
    cr_assert_str_eq(h->text, text);
}
void script_expect_none(void)
{
    const struct script_heard *h = script_next();

    cr_assert_null(h, "came: %s", h->text);
}

/* ---- said ---- */

static bool value(const char *words, const char *key, long *v)
{
    const char *at = strstr(words, key);

    if (!at)
        return false;
    *v = strtol(at + strlen(key), NULL, 0);
    return true;
}
static long or_else(const char *words, const char *key, long v)
{
    (void)value(words, key, &v);
    return v;
}

static uint32_t put_hex(uint8_t *b, const char *words)
{
    const char *at = strstr(words, " x=");
    unsigned v;
    uint32_t n = 0;

    for (at = at ? at + 3 : ""; sscanf(at, "%2x", &v) == 1 && *at != ' '; at += 2)
        b[n++] = (uint8_t)v;
    return n;
}

static uint32_t say_sack(uint8_t *b, const char *words)
{
    uint32_t n = 16;
    unsigned gaps = 0, dups = 0, from, to;

    sctp_put32(b + 4, script.sut_tsn + (uint32_t)or_else(words, " cum=", 0));
    sctp_put32(b + 8, (uint32_t)or_else(words, " rwnd=", 60000));
    for (const char *at = words; (at = strstr(at, " gap=")) != NULL && sscanf(at, " gap=%u-%u", &from, &to) == 2; at++, n += 4, gaps++) {
        sctp_put16(b + n, from);
        sctp_put16(b + n + 2, to);
    }
    for (const char *at = words; (at = strstr(at, " dup=")) != NULL; at++, n += 4, dups++)
        sctp_put32(b + n, script.sut_tsn + (uint32_t)strtol(at + 5, NULL, 0));
    sctp_put16(b + 12, gaps);
    sctp_put16(b + 14, dups);
    return n;
}

static uint32_t say_init(uint8_t *b, const char *words, bool ack)
{
    uint32_t n = 20;
    long v;

    script.my_tag = (uint32_t)or_else(words, " tag=", script.my_tag);
    sctp_put32(b + 4, script.my_tag);
    sctp_put32(b + 8, (uint32_t)or_else(words, " rwnd=", 60000));
    sctp_put16(b + 12, (unsigned)or_else(words, " os=", 10));
    sctp_put16(b + 14, (unsigned)or_else(words, " mis=", 10));
    sctp_put32(b + 16, script.my_tsn);
    if (ack && value(words, " cookie=", &v)) {
        sctp_put16(b + n, SCTP_P_COOKIE);
        sctp_put16(b + n + 2, 4 + (unsigned)v);
        memset(b + n + 4, 0xc0, (size_t)v);
        script.cookie_len = (uint32_t)v;
        memset(script.cookie, 0xc0, (size_t)v);
        n += sctp_pad(4 + (uint32_t)v);
    }
    return n + put_hex(b + n, words);
}

static uint32_t say_data(uint8_t *b, const char *words)
{
    const char *f = strstr(words, " f=");
    uint32_t len = (uint32_t)or_else(words, " len=", 4);

    f = f ? f + 3 : "BE";
    for (; *f && *f != ' '; f++)
        b[1] |= *f == 'B' ? SCTP_DATA_B : *f == 'E' ? SCTP_DATA_E : *f == 'U' ? SCTP_DATA_U : *f == 'I' ? SCTP_DATA_I : 0;
    sctp_put32(b + 4, script.my_tsn + (uint32_t)or_else(words, " tsn=", 0));
    sctp_put16(b + 8, (unsigned)or_else(words, " sid=", 0));
    sctp_put16(b + 10, (unsigned)or_else(words, " ssn=", 0));
    memset(b + SCTP_DATA_HDR, 'a', len);
    return SCTP_DATA_HDR + len;
}

static uint8_t type_of(const char *words)
{
    size_t n = strcspn(words, " ");

    if (*words == '#')
        return (uint8_t)strtoul(words + 1, NULL, 0);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i] && strlen(names[i]) == n && strncmp(names[i], words, n) == 0)
            return (uint8_t)i;
    cr_assert_fail("what is %s?", words);
    return 0;
}

static uint32_t say_chunk(uint8_t *b, const char *words)
{
    uint32_t n = 4;
    long v;

    b[0] = type_of(words);
    b[1] = 0;
    if (b[0] != SCTP_CT_DATA && strstr(words, " f=T"))
        b[1] = SCTP_FLAG_T;
    switch (b[0]) {
    case SCTP_CT_INIT: case SCTP_CT_INIT_ACK: n = say_init(b, words, b[0] == SCTP_CT_INIT_ACK); break;
    case SCTP_CT_DATA: n = say_data(b, words); break;
    case SCTP_CT_SACK: n = say_sack(b, words); break;
    case SCTP_CT_SHUTDOWN:
        sctp_put32(b + 4, script.sut_tsn + (uint32_t)or_else(words, " cum=", -1));
        n = 8;
        break;
    case SCTP_CT_COOKIE_ECHO:
        memcpy(b + 4, script.cookie, script.cookie_len);
        n = 4 + script.cookie_len;
        break;
    case SCTP_CT_ABORT: case SCTP_CT_ERROR:
        if (value(words, " cause=", &v)) {
            n = 8 + put_hex(b + 8, words);
            sctp_put16(b + 4, (unsigned)v);
            sctp_put16(b + 6, n - 4);
        } else {
            n += put_hex(b + 4, words);
        }
        break;
    default: n += put_hex(b + 4, words);
    }
    memset(b + n, 0, sctp_pad(n) - n);
    sctp_put16(b + 2, (unsigned)or_else(words, " l=", n));
    return sctp_pad(n);
}

static uint16_t ip_sum(const uint8_t *b, uint32_t len)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i + 1 < len; i += 2)
        sum += sctp_get16(b + i);
    if (len % 2)
        sum += (uint32_t)b[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Ethernet and IP in front of len bytes at f; returns how long they are. */
static uint32_t put_ip(uint8_t *f, uint8_t proto, uint32_t len)
{
    struct ip_addr src = script_addr(script.from), dst = sim_pair_endpoint(0, script.v4, 0).ip;
    uint8_t *h = f + ENV_ETH;

    memcpy(f, env.pair.stack[0]->interfaces->ifc[0]->mac, 6);
    memcpy(f + 6, env.pair.stack[1]->interfaces->ifc[0]->mac, 6);
    sctp_put16(f + 12, script.v4 ? 0x0800 : 0x86dd);
    if (script.v4) {
        const uint8_t v4[] = { 0x45, script.tos, 0, 0, 0, 0, 0x40, 0, 64, proto };
        memset(h, 0, 20);
        memcpy(h, v4, sizeof(v4));
        sctp_put16(h + 2, 20 + len);
        memcpy(h + 12, src.b + 12, 4);
        memcpy(h + 16, dst.b + 12, 4);
        sctp_put16(h + 10, ip_sum(h, 20));
        return ENV_ETH + 20;
    }
    memset(h, 0, 8);
    h[0] = (uint8_t)(0x60 | script.tos >> 4);
    h[1] = (uint8_t)(script.tos << 4);
    sctp_put16(h + 4, len);
    h[6] = proto;
    h[7] = 64;
    memcpy(h + 8, src.b, 16);
    memcpy(h + 24, dst.b, 16);
    return ENV_ETH + 40;
}

void script_say_tag(uint32_t tag, const char *text)
{
    uint8_t f[ENV_ETH + 40 + 8192];
    uint32_t at = ENV_ETH + (script.v4 ? 20 : 40), len = SCTP_COMMON_LEN;
    char words[1024];

    sctp_put16(f + at, SCRIPT_PORT);
    sctp_put16(f + at + 2, ENV_PORT);
    sctp_put32(f + at + 4, tag);
    for (const char *next; text; text = next ? next + 3 : NULL) {
        next = strstr(text, " + ");
        snprintf(words, sizeof(words), "%.*s", next ? (int)(next - text) : (int)strlen(text), text);
        len += say_chunk(f + at + len, words);
    }
    put_ip(f, IPPROTO_SCTP, len);
    env_fix_crc(f, at + len);
    cr_assert_eq(sim_link_inject(env.pair.link, 0, f, at + len), 0);
    env_run_us(3000);
}
void script_say(const char *text) { script_say_tag(strncmp(text, "INIT", 4) == 0 && text[4] != '_' ? 0 : script.sut_tag, text); }

void script_icmp(uint8_t type, uint8_t code, uint32_t rest, const struct script_heard *about)
{
    uint8_t f[ENV_ETH + 40 + 600], sum[40 + 600];
    uint32_t quoted = hs_min_u32(about->len - ENV_ETH, 300), len = 8 + quoted, at = put_ip(f, script.v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, len);

    memset(f + at, 0, 8);
    f[at] = type;
    f[at + 1] = code;
    sctp_put32(f + at + 4, rest);
    memcpy(f + at + 8, about->frame + ENV_ETH, quoted);
    if (script.v4) {
        sctp_put16(f + at + 2, ip_sum(f + at, len));
    } else {
        memset(sum, 0, 40);
        memcpy(sum, f + ENV_ETH + 8, 32);
        sctp_put32(sum + 32, len);
        sum[39] = IPPROTO_ICMPV6;
        memcpy(sum + 40, f + at, len);
        sctp_put16(f + at + 2, ip_sum(sum, 40 + len));
    }
    cr_assert_eq(sim_link_inject(env.pair.link, 0, f, at + len), 0);
    env_run_us(3000);
}

/* ---- what scripts begin with ---- */

void script_init(void)
{
    env_open();
    memset(&script, 0, sizeof(script));
    script.my_tag = SCRIPT_TAG;
    script.my_tsn = SCRIPT_TSN;
    sim_link_set_tap(env.pair.link, hear, NULL);
}

void script_forget(void)
{
    for (unsigned i = 0; i < script.n_heard; i++)
        free(script.heard[i].frame);
    script.n_heard = script.n_taken = 0;
}

void script_fini(void)
{
    sim_link_set_tap(env.pair.link, NULL, NULL);
    sim_link_set_up(env.pair.link, false);
    script_forget();
    env_shut();
}

static void addresses(bool v4)
{
    script.v4 = v4;
    for (unsigned i = 1; i < SCRIPT_ADDRS; i++) {
        struct ip_prefix p = { .ip = script_addr(i), .len = v4 ? 24 : 64 };
        cr_assert_eq(interface_add_address(env.pair.stack[1]->interfaces->ifc[0], &p, INTERFACE_ADDR_NO_DAD), 0);
    }
}

void script_begin(bool v4, bool any)
{
    struct ip_endpoint e = sim_pair_endpoint(0, v4, ENV_PORT);

    addresses(v4);
    if (any)
        e.ip = ip_addr_any(v4);
    cr_assert_eq(sim_listen(env.app[0], SVM_PROTO_SCTP, &e, 8, &env.listener), 0);
}

void script_up_of_two(bool v4)
{
    script_begin(v4, false);
    script_say(v4 ? "INIT x=000500080a09000c" : "INIT x=00060014fd090000000000000000000000000012");
    script_next();
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    script_expect("to=1 HEARTBEAT");
}

void script_up(bool v4)
{
    if (!env.listener)
        script_begin(v4, false);
    script_say("INIT");
    cr_assert_not_null(script_next());
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    env.sock[0] = sim_accept(env.listener);
    cr_assert_not_null(env.sock[0]);
    no_delay();
}

void script_call(bool v4)
{
    struct ip_endpoint to, from = sim_pair_endpoint(0, v4, ENV_PORT);

    addresses(v4);
    to = (struct ip_endpoint){ script_addr(0), be16_of(SCRIPT_PORT) };
    cr_assert_eq(sim_connect(env.app[0], SVM_PROTO_SCTP, &from, &to, &env.sock[0]), 0);
    env_run_us(10000);
    const struct script_heard *h = script_next();
    cr_assert_not_null(h);
    cr_assert(strncmp(h->text, "INIT ", 5) == 0, "%s", h->text);
}

void script_up_out(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK cookie=100");
    script_expect("COOKIE_ECHO");
    script_say("COOKIE_ACK");
    cr_assert(env.sock[0]->connected);
    no_delay();
}

void script_send(uint16_t stream, uint16_t flags, uint32_t len)
{
    struct svm_sctp_info info = { .stream = stream, .flags = flags };

    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, len, false), 0);
    env_run_us(3000);
}
