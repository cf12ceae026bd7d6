/* dhcp_test.c - DHCP messages cut, bent and at random; the states of a client under a clock of the test */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/dhcp/dhcp_client.h"
#include "server/dhcp/dhcp_lease.h"

#define S 1000000ull
static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 1 };

enum { ME = 0x0a000032, OTHER = 0x0a000033, SERVER = 0x0a000001, SERVER2 = 0x0a000002, ROUTER = 0x0a0000fe };

/* ---------------------------------------------------------------- messages of a server */

struct message { uint8_t b[DHCP_MSG_MAX]; uint32_t len; };

static void head(struct message *m, uint32_t xid, uint32_t yours)
{
    static const uint8_t cookie[4] = { 99, 130, 83, 99 };
    be32 x = be32_of(xid), y = be32_of(yours);

    memset(m, 0, sizeof(*m));
    m->b[0] = 2;
    m->b[1] = 1;
    m->b[2] = 6;
    memcpy(m->b + 4, &x, 4);
    memcpy(m->b + 16, &y, 4);
    memcpy(m->b + 28, own_mac, 6);
    memcpy(m->b + 236, cookie, 4);
    m->len = 240;
}

static void option(struct message *m, uint8_t code, const void *value, uint8_t len)
{
    m->b[m->len++] = code;
    m->b[m->len++] = len;
    memcpy(m->b + m->len, value, len);
    m->len += len;
}
static void option8(struct message *m, uint8_t code, uint8_t v) { option(m, code, &v, 1); }
static void option32(struct message *m, uint8_t code, uint32_t v)
{
    be32 x = be32_of(v);

    option(m, code, &x, 4);
}
static void end(struct message *m) { m->b[m->len++] = 255; }

static struct message full(void)
{
    static const uint8_t routes[] = { 16, 10, 99, 10, 0, 0, 8, 0, 10, 0, 0, 254, 15, 10, 98, 0, 0, 0, 0 };
    static const uint8_t mtu[2] = { 5, 120 };
    struct message m;

    head(&m, 7, ME);
    option8(&m, 53, DHCP_ACK);
    option32(&m, 54, SERVER);
    option32(&m, 1, 0xffffff00);
    m.b[m.len++] = 0; /* a pad */
    option32(&m, 51, 3600);
    option32(&m, 58, 1000);
    option32(&m, 59, 3000);
    option32(&m, 3, ROUTER);
    option32(&m, 6, SERVER2);
    option(&m, 26, mtu, 2);
    option(&m, 121, routes, 9);
    option(&m, 12, "a name that nobody asked for", 28);
    option(&m, 121, routes + 9, sizeof(routes) - 9); /* RFC 3396 */
    option(&m, 56, "be\nware", 7);
    end(&m);
    return m;
}

static int parse(const struct message *m, struct dhcp_msg *out)
{
    /* Of its exact size, so that a sanitizer sees each byte too far. */
    uint8_t *b = malloc(m->len ? m->len : 1);

    memcpy(b, m->b, m->len);
    int ret = dhcp_msg_parse(b, m->len, out);
    free(b);
    return ret;
}

Test(dhcp_msg, everything_is_read)
{
    struct message m = full();
    struct dhcp_msg p;

    cr_assert_eq(parse(&m, &p), 0);
    cr_expect_eq(p.type, DHCP_ACK);
    cr_expect_eq(p.xid, 7);
    cr_expect_eq(be32_get(p.yours.w[3]), ME);
    cr_expect_eq(be32_get(p.server.w[3]), SERVER);
    cr_expect_eq(p.prefix_len, 24);
    cr_expect_eq(p.lease_s, 3600);
    cr_expect_eq(p.renew_s, 1000);
    cr_expect_eq(p.rebind_s, 3000);
    cr_expect_eq(p.mtu, 1400);
    cr_expect_eq(p.n_routers, 1);
    cr_expect_eq(be32_get(p.router[0].w[3]), ROUTER);
    cr_expect_eq(p.n_dns, 1);
    cr_expect(p.has_classless);
    cr_assert_eq(p.n_routes, 3);
    cr_expect_eq(p.route[0].prefix.len, 16);
    cr_expect_eq(be32_get(p.route[0].prefix.ip.w[3]), 0x0a630000);
    cr_expect_eq(be32_get(p.route[0].via.w[3]), 0x0a000008);
    cr_expect_eq(p.route[1].prefix.len, 0);
    cr_expect_eq(be32_get(p.route[1].via.w[3]), ROUTER);
    cr_expect_eq(p.route[2].prefix.len, 15);
    cr_expect(ip_addr_is_any(&p.route[2].via));
    cr_expect_str_eq(p.text, "be?ware");
}

Test(dhcp_msg, cut_at_every_byte_is_refused)
{
    struct message m = full();
    struct dhcp_msg p;

    for (m.len--; m.len > 0; m.len--)
        cr_assert_eq(parse(&m, &p), -EBADMSG, "%u bytes", m.len);
    cr_assert_eq(parse(&m, &p), -EBADMSG);
}

static void check_sane(const struct dhcp_msg *p)
{
    cr_assert_leq(p->n_routers, DHCP_MAX_ADDRS);
    cr_assert_leq(p->n_dns, DHCP_MAX_ADDRS);
    cr_assert_leq(p->n_routes, DHCP_MAX_ROUTES);
    cr_assert_leq(p->prefix_len, 32);
    cr_assert_lt(strlen(p->text), DHCP_TEXT_MAX);
}

Test(dhcp_msg, every_byte_at_every_edge)
{
    static const uint8_t edge[] = { 0, 1, 2, 3, 4, 5, 33, 127, 128, 254, 255 };
    struct message good = full();
    struct dhcp_msg p;

    for (uint32_t at = 0; at < good.len; at++) {
        for (unsigned i = 0; i < HS_ARRAY_LEN(edge); i++) {
            struct message m = good;
            m.b[at] = edge[i];
            if (parse(&m, &p) == 0)
                check_sane(&p);
        }
    }
}

Test(dhcp_msg, options_of_a_wrong_length_are_refused)
{
    static const struct { uint8_t code, len[3]; } wrong[] = {
        { 53, { 0, 2, 255 } }, { 1, { 0, 3, 5 } }, { 3, { 0, 3, 6 } }, { 6, { 0, 5, 254 } }, { 26, { 0, 1, 3 } }, { 51, { 0, 3, 5 } },
        { 54, { 0, 3, 5 } }, { 58, { 0, 3, 5 } }, { 59, { 0, 3, 5 } }, { 121, { 0, 4, 7 } }, { 52, { 0, 2, 3 } }, { 56, { 0, 0, 0 } },
    };
    static const uint8_t ones[255] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    struct dhcp_msg p;

    for (unsigned i = 0; i < HS_ARRAY_LEN(wrong); i++) {
        for (unsigned k = 0; k < 3; k++) {
            struct message m;
            head(&m, 7, ME);
            option(&m, wrong[i].code, ones, wrong[i].len[k]);
            if (wrong[i].code != 53)
                option8(&m, 53, DHCP_ACK);
            end(&m);
            cr_expect_eq(parse(&m, &p), -EBADMSG, "option %u of %u bytes", wrong[i].code, wrong[i].len[k]);
        }
    }
}

Test(dhcp_msg, what_cannot_be_is_refused)
{
    static const struct { uint8_t code; uint32_t v; } bad[] = {
        { 1, 0 }, { 1, 0xff00ff00 }, { 1, 0x00ffffff }, { 51, 0 }, { 54, 0 }, { 54, 0xe0000001 }, { 54, 0x7f000001 }, { 54, 0xffffffff },
    };
    static const uint32_t no_host[] = { 0, 0x7f000001, 0xe0000001, 0xffffffff };
    static const uint8_t types[] = { 0, DHCP_DISCOVER, DHCP_REQUEST, DHCP_DECLINE, DHCP_RELEASE, 8, 255 };
    struct dhcp_msg p;
    struct message m;

    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++) {
        head(&m, 7, ME);
        option8(&m, 53, DHCP_ACK);
        option32(&m, bad[i].code, bad[i].v);
        end(&m);
        cr_expect_eq(parse(&m, &p), -EBADMSG, "option %u: %08x", bad[i].code, bad[i].v);
    }
    for (unsigned i = 0; i < HS_ARRAY_LEN(no_host); i++) {
        head(&m, 7, no_host[i]);
        option8(&m, 53, DHCP_OFFER);
        end(&m);
        cr_expect_eq(parse(&m, &p), -EBADMSG, "%08x offered", no_host[i]);
    }
    for (unsigned i = 0; i < HS_ARRAY_LEN(types); i++) {
        head(&m, 7, ME);
        option8(&m, 53, types[i]);
        end(&m);
        cr_expect_eq(parse(&m, &p), -EBADMSG, "type %u", types[i]);
    }
    for (unsigned at = 0; at < 3; at++) { /* a request, another link, another length of addresses */
        m = full();
        m.b[at] ^= 1;
        cr_expect_eq(parse(&m, &p), -EBADMSG);
    }
}

Test(dhcp_msg, names_may_have_options)
{
    struct dhcp_msg p;
    struct message m;

    for (unsigned overload = 1; overload <= 3; overload++) {
        head(&m, 7, ME);
        uint8_t *file = m.b + 108, *sname = m.b + 44;
        memcpy(file, "\x36\x04\x0a\x00\x00\x01\xff", 7);
        memcpy(sname, "\x33\x04\x00\x00\x00\x09\xff", 7);
        option8(&m, 53, DHCP_ACK);
        option8(&m, 52, (uint8_t)overload);
        end(&m);
        cr_assert_eq(parse(&m, &p), 0);
        cr_expect_eq(be32_get(p.server.w[3]), (overload & 1) ? SERVER : 0);
        cr_expect_eq(p.lease_s, (overload & 2) ? 9 : 0);
        ((overload & 1) ? file : sname)[6] = 1; /* no end */
        memset(((overload & 1) ? file : sname) + 7, 0, 50);
        cr_expect_eq(parse(&m, &p), -EBADMSG);
    }
}

Test(dhcp_msg, random_bytes)
{
    struct message good = full();
    struct dhcp_msg p;
    unsigned taken = 0;

    srand(1);
    for (unsigned i = 0; i < 200000; i++) {
        struct message m = good;
        m.len = 240 + (unsigned)rand() % 200;
        for (unsigned k = 240; k < m.len; k++)
            if (rand() % 4 == 0)
                m.b[k] = (uint8_t)(rand() % 3 ? rand() % 8 : rand());
        m.b[m.len - 1] = 255;
        if (parse(&m, &p) == 0) {
            check_sane(&p);
            taken++;
        }
    }
    cr_expect_gt(taken, 0);
}

/* ---------------------------------------------------------------- a client, its world the test */

struct world {
    struct dhcp_client c;
    uint64_t now;
    unsigned n_sent, n_bind, n_unbind, n_apply, n_remember;
    struct ip_addr remembered;   /* any: nothing */
    uint64_t remembered_until;
    int bind_error;
    uint8_t type;                /* of what was sent last, as the next ones */
    uint32_t xid;
    struct ip_addr src, dst, ciaddr, asked, server;
    bool wants_broadcast;
    uint64_t at[64];             /* when each was sent */
};

static const uint8_t *find(const uint8_t *b, uint32_t len, uint8_t code)
{
    for (uint32_t at = 240; at < len && b[at] != 255; at += 2u + b[at + 1])
        if (b[at] == code)
            return b + at + 2;
    return NULL;
}
static struct ip_addr addr_or_any(const uint8_t *b)
{
    be32 a = be32_of(0);

    if (b)
        memcpy(&a, b, 4);
    return ip_addr_v4(a);
}

static void on_send(void *arg, const uint8_t *b, uint32_t len, const struct ip_addr *src, const struct ip_addr *dst)
{
    struct world *w = arg;
    be32 xid;

    cr_assert_geq(len, DHCP_MSG_MIN);
    cr_assert_leq(len, DHCP_MSG_MAX);
    memcpy(&xid, b + 4, 4);
    w->xid = be32_get(xid);
    w->type = *find(b, len, 53);
    w->src = *src;
    w->dst = *dst;
    w->ciaddr = addr_or_any(b + 12);
    w->asked = addr_or_any(find(b, len, 50));
    w->server = addr_or_any(find(b, len, 54));
    w->wants_broadcast = b[10] & 0x80;
    cr_assert_eq(memcmp(find(b, len, 61) + 1, own_mac, 6), 0);
    w->at[w->n_sent++ % HS_ARRAY_LEN(w->at)] = w->now;
}
static int on_bind(void *arg, const struct dhcp_msg *l)
{
    struct world *w = arg;

    (void)l;
    w->n_bind++;
    return w->bind_error;
}
static void on_apply(void *arg, const struct dhcp_msg *l) { (void)l; ((struct world *)arg)->n_apply++; }
static void on_unbind(void *arg, const struct dhcp_msg *l, const char *why) { (void)l; (void)why; ((struct world *)arg)->n_unbind++; }
static void on_remember(void *arg, const struct ip_addr *address, uint64_t expire_us)
{
    struct world *w = arg;

    w->remembered = address ? *address : ip_addr_any(true);
    w->remembered_until = expire_us;
    w->n_remember++;
}
static uint32_t on_random(void *arg) { (void)arg; return (uint32_t)rand() * 7919u + 1; }
static const struct dhcp_client_ops ops = { on_send, on_bind, on_apply, on_unbind, on_remember, on_random };

static void start_with(struct world *w, const struct ip_addr *former)
{
    *w = (struct world){ .now = 5 * S };
    w->c = (struct dhcp_client){ .ops = &ops, .arg = w };
    memcpy(w->c.mac, own_mac, 6);
    dhcp_client_start(&w->c, former, w->now);
    dhcp_client_tick(&w->c, w->now);
}

static void start(struct world *w) { start_with(w, NULL); }

static void until(struct world *w, uint64_t to)
{
    while (w->c.due_us <= to) {
        w->now = w->c.due_us > w->now ? w->c.due_us : w->now;
        dhcp_client_tick(&w->c, w->now);
    }
    w->now = to;
}

static void say(struct world *w, uint8_t type, uint32_t yours, uint32_t server, uint32_t lease)
{
    struct message m;
    struct dhcp_msg p;

    head(&m, w->xid, type == DHCP_NAK ? 0 : yours);
    option8(&m, 53, type);
    option32(&m, 54, server);
    option32(&m, 1, 0xffffff00);
    if (lease)
        option32(&m, 51, lease);
    end(&m);
    cr_assert_eq(parse(&m, &p), 0);
    dhcp_client_input(&w->c, &p, w->now);
}

static void to_bound(struct world *w, uint32_t lease)
{
    start(w);
    say(w, DHCP_OFFER, ME, SERVER, lease);
    say(w, DHCP_ACK, ME, SERVER, lease);
    dhcp_client_checked(&w->c, true, w->now);
    cr_assert_eq(w->c.state, DHCP_BOUND);
}

static uint32_t raw(const struct ip_addr *a) { return be32_get(a->w[3]); }

Test(dhcp_client, from_nothing_to_an_address)
{
    struct world w;

    start(&w);
    cr_assert_eq(w.type, DHCP_DISCOVER);
    cr_expect_eq(raw(&w.dst), 0xffffffff);
    cr_expect_eq(raw(&w.src), 0);
    cr_expect(w.wants_broadcast);
    say(&w, DHCP_ACK, ME, SERVER, 100); /* not asked for */
    cr_expect_eq(w.c.state, DHCP_SELECTING);
    say(&w, DHCP_OFFER, ME, SERVER, 0); /* without a lease time */
    cr_expect_eq(w.c.state, DHCP_SELECTING);
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    cr_assert_eq(w.type, DHCP_REQUEST);
    cr_expect_eq(raw(&w.asked), ME);
    cr_expect_eq(raw(&w.server), SERVER);
    cr_expect_eq(raw(&w.ciaddr), 0);
    say(&w, DHCP_OFFER, OTHER, SERVER2, 100); /* too late */
    say(&w, DHCP_ACK, OTHER, SERVER2, 100);   /* not whom we have asked */
    cr_expect_eq(w.c.state, DHCP_REQUESTING);
    say(&w, DHCP_ACK, ME, SERVER, 100);
    cr_assert_eq(w.c.state, DHCP_CHECKING);
    cr_expect_eq(w.n_bind, 1);
    cr_expect_eq(w.n_apply, 0);
    dhcp_client_checked(&w.c, true, w.now);
    cr_expect_eq(w.c.state, DHCP_BOUND);
    cr_expect_eq(w.n_apply, 1);
    cr_expect_eq(w.c.count.ignored, 4);
}

Test(dhcp_client, asks_less_and_less_often)
{
    static const uint64_t wait[] = { 4, 8, 16, 32, 64, 64, 64 };
    struct world w;

    start(&w);
    until(&w, 300 * S);
    cr_assert_geq(w.n_sent, HS_ARRAY_LEN(wait));
    for (unsigned i = 0; i + 1 < w.n_sent && i < HS_ARRAY_LEN(wait); i++) {
        uint64_t d = w.at[i + 1] - w.at[i];
        cr_expect(d >= (wait[i] - 1) * S && d <= (wait[i] + 1) * S, "%u: %llu us", i, (unsigned long long)d);
    }
    start(&w); /* a server that offers and is gone: four requests, then from the beginning */
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    uint32_t first_xid = w.xid;
    until(&w, w.now + 70 * S);
    cr_expect_eq(w.c.count.requests, DHCP_REQUEST_TRIES);
    cr_expect_eq(w.type, DHCP_DISCOVER);
    cr_expect_neq(w.xid, first_xid);
}

Test(dhcp_client, renews_by_unicast_then_by_broadcast_then_loses)
{
    struct world w;

    to_bound(&w, 1000);
    uint64_t t0 = w.now;
    unsigned sent = w.n_sent;
    until(&w, t0 + 499 * S);
    cr_expect_eq(w.n_sent, sent);
    until(&w, t0 + 500 * S);
    cr_assert_eq(w.c.state, DHCP_RENEWING);
    cr_expect_eq(w.type, DHCP_REQUEST);
    cr_expect_eq(raw(&w.dst), SERVER);
    cr_expect_eq(raw(&w.src), ME);
    cr_expect_eq(raw(&w.ciaddr), ME);
    cr_expect_eq(raw(&w.asked), 0);
    cr_expect_eq(raw(&w.server), 0);
    until(&w, t0 + 874 * S);
    cr_expect_eq(w.n_sent, sent + 4, "%u", w.n_sent - sent); /* at 500, 687, 781, 841 s */
    until(&w, t0 + 875 * S);
    cr_assert_eq(w.c.state, DHCP_REBINDING);
    cr_expect_eq(raw(&w.dst), 0xffffffff);
    cr_expect_eq(raw(&w.src), ME);
    cr_expect_eq(raw(&w.ciaddr), ME);
    until(&w, t0 + 999 * S);
    cr_expect_eq(w.n_unbind, 0);
    until(&w, t0 + 1000 * S);
    cr_expect_eq(w.n_unbind, 1);
    cr_expect_eq(w.type, DHCP_DISCOVER);
    cr_expect_eq(w.c.state, DHCP_SELECTING);
}

Test(dhcp_client, an_answer_to_a_renewal)
{
    struct world w;

    to_bound(&w, 1000);
    uint64_t t0 = w.now;
    until(&w, t0 + 600 * S);
    say(&w, DHCP_ACK, ME, SERVER, 1000);
    cr_expect_eq(w.c.state, DHCP_BOUND);
    cr_expect_eq(w.c.expire_us, t0 + 1500 * S); /* from when it was asked for */
    cr_expect_eq(w.n_apply, 2);
    until(&w, t0 + 1400 * S); /* rebinding: another server takes over */
    cr_assert_eq(w.c.state, DHCP_REBINDING);
    say(&w, DHCP_ACK, ME, SERVER2, 1000);
    cr_expect_eq(w.c.state, DHCP_BOUND);
    cr_expect_eq(raw(&w.c.lease.server), SERVER2);
    cr_expect_eq(w.n_unbind, 0);
    until(&w, w.c.renew_us);
    say(&w, DHCP_ACK, OTHER, SERVER2, 1000); /* another address: checked as the first */
    cr_expect_eq(w.c.state, DHCP_CHECKING);
    cr_expect_eq(w.n_unbind, 1);
    cr_expect_eq(w.n_bind, 2);
    dhcp_client_checked(&w.c, true, w.now);
    until(&w, w.c.renew_us);
    say(&w, DHCP_NAK, 0, SERVER2, 0);
    cr_expect_eq(w.n_unbind, 2);
    cr_expect_eq(w.c.state, DHCP_INIT);
    until(&w, w.now + 2 * S);
    cr_expect_eq(w.type, DHCP_DISCOVER);
}

Test(dhcp_client, declines_what_another_has)
{
    struct world w;

    start(&w);
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    say(&w, DHCP_ACK, ME, SERVER, 100);
    dhcp_client_checked(&w.c, false, w.now);
    cr_expect_eq(w.type, DHCP_DECLINE);
    cr_expect_eq(raw(&w.asked), ME);
    cr_expect_eq(raw(&w.server), SERVER);
    cr_expect_eq(raw(&w.ciaddr), 0);
    cr_expect_eq(raw(&w.src), 0);
    cr_expect_eq(raw(&w.dst), 0xffffffff);
    cr_expect_eq(w.n_unbind, 1);
    unsigned sent = w.n_sent;
    until(&w, w.now + 9 * S); /* RFC 2131 s3.1.5: ten seconds */
    cr_expect_eq(w.n_sent, sent);
    until(&w, w.now + 2 * S);
    cr_expect_eq(w.type, DHCP_DISCOVER);
}

Test(dhcp_client, times_that_make_no_sense)
{
    static const struct { uint32_t lease, t1, t2, renew, rebind; } row[] = {
        { 800, 0, 0, 400, 700 }, { 800, 900, 0, 400, 700 }, { 800, 100, 900, 100, 700 }, { 800, 300, 200, 100, 200 }, { 800, 100, 200, 100, 200 },
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(row); i++) {
        struct world w;
        struct message m;
        struct dhcp_msg p;
        start(&w);
        say(&w, DHCP_OFFER, ME, SERVER, row[i].lease);
        head(&m, w.xid, ME);
        option8(&m, 53, DHCP_ACK);
        option32(&m, 51, row[i].lease);
        option32(&m, 58, row[i].t1);
        option32(&m, 59, row[i].t2);
        end(&m);
        cr_assert_eq(parse(&m, &p), 0);
        dhcp_client_input(&w.c, &p, w.now);
        dhcp_client_checked(&w.c, true, w.now);
        cr_expect_eq(w.c.renew_us - w.now, row[i].renew * S, "%u", i);
        cr_expect_eq(w.c.rebind_us - w.now, row[i].rebind * S, "%u", i);
        cr_expect_eq(raw(&w.c.lease.server), SERVER); /* not told again */
    }
    struct world w;
    to_bound(&w, UINT32_MAX); /* for ever */
    cr_expect_eq(w.c.due_us, UINT64_MAX);
}

Test(dhcp_client, what_is_not_for_it)
{
    struct world w;

    start(&w);
    w.xid++;
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    cr_expect_eq(w.c.state, DHCP_SELECTING);
    w.xid--;
    w.c.mac[5]++;
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    cr_expect_eq(w.c.state, DHCP_SELECTING);
    cr_expect_eq(w.c.count.ignored, 2);
    to_bound(&w, 100);
    say(&w, DHCP_NAK, 0, SERVER, 0); /* nothing was asked */
    cr_expect_eq(w.c.state, DHCP_BOUND);
    cr_expect_eq(w.n_unbind, 0);
    start(&w);
    w.bind_error = -EEXIST; /* the stack cannot have the address */
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    say(&w, DHCP_ACK, ME, SERVER, 100);
    cr_expect_eq(w.c.state, DHCP_INIT);
    cr_expect_eq(w.n_unbind, 0);
}

Test(dhcp_client, gives_back)
{
    struct world w;

    to_bound(&w, 100);
    dhcp_client_release(&w.c, w.now);
    cr_expect_eq(w.type, DHCP_RELEASE);
    cr_expect_eq(raw(&w.dst), SERVER);
    cr_expect_eq(raw(&w.src), ME);
    cr_expect_eq(raw(&w.ciaddr), ME);
    cr_expect_eq(raw(&w.server), SERVER);
    cr_expect_eq(raw(&w.asked), 0);
    unsigned sent = w.n_sent;
    until(&w, w.now + 1000 * S);
    cr_expect_eq(w.n_sent, sent);
    start(&w);
    dhcp_client_release(&w.c, w.now); /* there is nothing to give back */
    cr_expect_eq(w.type, DHCP_DISCOVER);
}

Test(dhcp_client, remembers_and_forgets)
{
    struct world w;

    to_bound(&w, 100);
    cr_expect_eq(raw(&w.remembered), ME);
    cr_expect_eq(w.remembered_until, w.now + 100 * S);
    until(&w, w.now + 50 * S);
    cr_assert_eq(w.c.state, DHCP_RENEWING);
    say(&w, DHCP_ACK, ME, SERVER, 1000);
    cr_expect_eq(w.n_remember, 2);
    cr_expect_eq(w.remembered_until, w.now + 1000 * S);
    dhcp_client_release(&w.c, w.now);
    cr_expect_eq(raw(&w.remembered), 0);
    to_bound(&w, 100);
    until(&w, w.now + 100 * S); /* over */
    cr_expect_eq(raw(&w.remembered), 0);
    to_bound(&w, UINT32_MAX);
    cr_expect_eq(w.remembered_until, UINT64_MAX);
}

/* s3.2, s4.3.2: table 4's INIT-REBOOT. */
Test(dhcp_client, asks_for_what_it_had)
{
    const struct ip_addr me = ip_addr_v4(be32_of(ME));
    struct world w;

    start_with(&w, &me);
    cr_assert_eq(w.c.state, DHCP_REBOOTING);
    cr_assert_eq(w.type, DHCP_REQUEST);
    cr_expect_eq(raw(&w.dst), 0xffffffff);
    cr_expect_eq(raw(&w.src), 0);
    cr_expect_eq(raw(&w.ciaddr), 0);
    cr_expect_eq(raw(&w.asked), ME);
    cr_expect_eq(raw(&w.server), 0, "no server is named");
    cr_expect(w.wants_broadcast);
    say(&w, DHCP_ACK, ME, SERVER, 0); /* no lease time */
    say(&w, DHCP_OFFER, ME, SERVER, 100);
    cr_expect_eq(w.c.state, DHCP_REBOOTING);
    say(&w, DHCP_ACK, ME, SERVER, 100);
    cr_assert_eq(w.c.state, DHCP_CHECKING, "somebody else may have it by now");
    dhcp_client_checked(&w.c, true, w.now);
    cr_expect_eq(w.c.state, DHCP_BOUND);
    cr_expect_eq(raw(&w.c.lease.server), SERVER);
    cr_expect_eq(w.c.count.discovers, 0);

    start_with(&w, &me);
    say(&w, DHCP_NAK, 0, SERVER, 0); /* another network */
    cr_expect_eq(w.n_remember, 1);
    cr_expect_eq(raw(&w.remembered), 0);
    until(&w, w.now + DHCP_NAK_WAIT_S * S);
    cr_expect_eq(w.type, DHCP_DISCOVER);
    cr_expect_eq(w.n_unbind, 0);

    start_with(&w, &me);
    until(&w, w.now + 30 * S); /* nobody answers */
    cr_expect_eq(w.c.count.requests, DHCP_REBOOT_TRIES);
    cr_expect_geq(w.c.count.discovers, 1);
    cr_expect_eq(w.c.state, DHCP_SELECTING);
}

static char lease_dir[4096];

static void make_lease_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(lease_dir, sizeof(lease_dir), "%s/hs-lease-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(lease_dir));
}

/* Also what a test that failed has left there. */
static void remove_lease_dir(void)
{
    static const char *const names[] = { "wire0.100", "e" };

    for (unsigned i = 0; i < HS_ARRAY_LEN(names); i++)
        dhcp_lease_remove(lease_dir, names[i]);
    rmdir(lease_dir);
}
TestSuite(dhcp_lease, .init = make_lease_dir, .fini = remove_lease_dir);

Test(dhcp_lease, a_file)
{
    const char *dir = lease_dir;
    char path[sizeof(lease_dir) + 16];
    struct dhcp_lease l = { .address = ip_addr_v4(be32_of(ME)), .end_s = 5000 };
    static const uint8_t other_mac[6] = { 9 };
    struct ip_addr got;

    memcpy(l.mac, own_mac, 6);
    cr_assert_not(dhcp_lease_read(dir, "wire0.100", own_mac, 0, &got));
    cr_assert_eq(dhcp_lease_write(dir, "wire0.100", &l), 0);
    cr_assert(dhcp_lease_read(dir, "wire0.100", own_mac, 4999, &got));
    cr_expect_eq(raw(&got), ME);
    cr_expect_not(dhcp_lease_read(dir, "wire0.100", own_mac, 5000, &got), "over");
    cr_expect_not(dhcp_lease_read(dir, "wire0.100", other_mac, 0, &got), "of another card");
    cr_expect_not(dhcp_lease_read(dir, "wire0", own_mac, 0, &got));
    l.end_s = INT64_MAX;
    cr_assert_eq(dhcp_lease_write(dir, "wire0.100", &l), 0, "takes the place of the former");
    cr_expect(dhcp_lease_read(dir, "wire0.100", own_mac, 1ll << 60, &got));
    static const char *const bad[] = { "", "10.0.0.5", "10.0.0.5 02:00:00:00:00:01", "fd00::1 02:00:00:00:00:01 99", "224.0.0.1 02:00:00:00:00:01 99",
                                       "0.0.0.0 02:00:00:00:00:01 99", "255.255.255.255 02:00:00:00:00:01 99", "x 02:00:00:00:00:01 99",
                                       "10.0.0.5 2:0:0:0:0 99", "10.0.0.5 02:00:00:00:00:01 x", "127.0.0.1 02:00:00:00:00:01 99" };
    snprintf(path, sizeof(path), "%s/dhcp-e", dir);
    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++) {
        FILE *f = fopen(path, "w");
        cr_assert_not_null(f);
        fputs(bad[i], f);
        fclose(f);
        cr_expect_not(dhcp_lease_read(dir, "e", own_mac, 0, &got), "%s", bad[i]);
    }
    dhcp_lease_remove(dir, "e");
    dhcp_lease_remove(dir, "wire0.100");
    dhcp_lease_remove(dir, "wire0.100");
    cr_expect_not(dhcp_lease_read(dir, "wire0.100", own_mac, 0, &got));
    cr_expect_eq(rmdir(dir), 0, "nothing is left");
    cr_expect_lt(dhcp_lease_write(dir, "e", &l), 0);
}
