/* dhcp_msg.c - DHCP messages: options read by a table, requests made */
#include "server/dhcp/dhcp_msg.h"

#include <errno.h>
#include <string.h>

enum { OP_REQUEST = 1, OP_REPLY = 2, HTYPE_ETHERNET = 1, FLAG_BROADCAST = 0x80 };
enum { OFF_XID = 4, OFF_SECS = 8, OFF_FLAGS = 10, OFF_CIADDR = 12, OFF_YIADDR = 16, OFF_CHADDR = 28, OFF_SNAME = 44, OFF_FILE = 108,
       OFF_COOKIE = 236, SNAME_LEN = 64, FILE_LEN = 128 };
enum option_code {
    OPT_PAD = 0, OPT_MASK = 1, OPT_ROUTER = 3, OPT_DNS = 6, OPT_MTU = 26, OPT_ASKED = 50, OPT_LEASE = 51, OPT_OVERLOAD = 52, OPT_TYPE = 53,
    OPT_SERVER = 54, OPT_WANTED = 55, OPT_MESSAGE = 56, OPT_MAX_SIZE = 57, OPT_RENEW = 58, OPT_REBIND = 59, OPT_CLIENT = 61,
    OPT_CLASSLESS = 121, OPT_END = 255,
};
static const uint8_t cookie[4] = { 99, 130, 83, 99 };

static uint32_t get32(const uint8_t *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }
static void put32(uint8_t *b, uint32_t v)
{
    b[0] = (uint8_t)(v >> 24);
    b[1] = (uint8_t)(v >> 16);
    b[2] = (uint8_t)(v >> 8);
    b[3] = (uint8_t)v;
}
static struct ip_addr addr_at(const uint8_t *b)
{
    be32 raw;

    memcpy(&raw, b, 4);
    return ip_addr_v4(raw);
}
static void put_addr(uint8_t *b, const struct ip_addr *a) { memcpy(b, a->b + 12, 4); }

/* RFC 1122 s3.2.1.3: an address that a host can have. */
static bool is_host(const struct ip_addr *a) { return a->b[12] != 0 && a->b[12] != 127 && a->b[12] < 224; }

/* ---------------------------------------------------------------- options that are read */

static int take_type(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    (void)len;
    m->type = b[0];
    return b[0] == DHCP_OFFER || b[0] == DHCP_ACK || b[0] == DHCP_NAK ? 0 : -EBADMSG;
}

static int take_mask(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    uint32_t mask = get32(b), host = ~mask;

    (void)len;
    if (mask == 0 || (host & (host + 1)) != 0) /* ones, then zeros */
        return -EBADMSG;
    m->prefix_len = (uint8_t)__builtin_popcount(mask);
    return 0;
}

static void take_addrs(const uint8_t *b, uint32_t len, struct ip_addr *out, unsigned *n)
{
    for (*n = 0; len >= 4 && *n < DHCP_MAX_ADDRS; b += 4, len -= 4) {
        out[*n] = addr_at(b);
        *n += is_host(&out[*n]);
    }
}
static int take_routers(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    take_addrs(b, len, m->router, &m->n_routers);
    return 0;
}
static int take_dns(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    take_addrs(b, len, m->dns, &m->n_dns);
    return 0;
}

static int take_mtu(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    (void)len;
    m->mtu = (uint16_t)(b[0] << 8 | b[1]);
    return m->mtu >= 68 ? 0 : -EBADMSG; /* RFC 2132 s5.1 */
}

static int take_lease(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    (void)len;
    m->lease_s = get32(b);
    return m->lease_s ? 0 : -EBADMSG;
}
static int take_renew(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    (void)len;
    m->renew_s = get32(b);
    return 0;
}
static int take_rebind(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    (void)len;
    m->rebind_s = get32(b);
    return 0;
}

static int take_server(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    (void)len;
    m->server = addr_at(b);
    return is_host(&m->server) ? 0 : -EBADMSG;
}

static int take_text(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    uint32_t i;

    for (i = 0; i < len && i < DHCP_TEXT_MAX - 1; i++)
        m->text[i] = b[i] >= ' ' && b[i] < 127 ? (char)b[i] : '?'; /* it goes to a log */
    m->text[i] = '\0';
    return 0;
}

/* RFC 3442: width, as many bytes of the destination as it needs, router. */
static int take_classless(struct dhcp_msg *m, const uint8_t *b, uint32_t len)
{
    m->has_classless = true;
    while (len) {
        uint8_t dst[4] = { 0 };
        unsigned width = b[0], n = (width + 7) / 8;
        if (width > 32 || len < 1 + n + 4)
            return -EBADMSG;
        memcpy(dst, b + 1, n);
        struct dhcp_route r = { .prefix = { addr_at(dst), (uint8_t)width }, .via = addr_at(b + 1 + n) };
        if (!ip_addr_is_any(&r.via) && !is_host(&r.via))
            return -EBADMSG;
        if (m->n_routes < DHCP_MAX_ROUTES)
            m->route[m->n_routes++] = r;
        b += 1 + n + 4;
        len -= 1 + n + 4;
    }
    return 0;
}

static const struct option {
    uint8_t code, min, unit;     /* bytes: at least, and a multiple of; unit 0 = exactly min */
    int (*take)(struct dhcp_msg *m, const uint8_t *b, uint32_t len);
} options[] = {                  /* RFC 2132, but for the last */
    { OPT_TYPE, 1, 0, take_type },           /* s9.6 */
    { OPT_MASK, 4, 0, take_mask },           /* s3.3 */
    { OPT_ROUTER, 4, 4, take_routers },      /* s3.5 */
    { OPT_DNS, 4, 4, take_dns },             /* s3.8 */
    { OPT_MTU, 2, 0, take_mtu },             /* s5.1 */
    { OPT_LEASE, 4, 0, take_lease },         /* s9.2 */
    { OPT_SERVER, 4, 0, take_server },       /* s9.7 */
    { OPT_MESSAGE, 1, 1, take_text },        /* s9.9 */
    { OPT_RENEW, 4, 0, take_renew },         /* s9.11 */
    { OPT_REBIND, 4, 0, take_rebind },       /* s9.12 */
    { OPT_CLASSLESS, 5, 1, take_classless }, /* RFC 3442 */
};

struct area { const uint8_t *b; uint32_t len; }; /* options up to and without their end */

/* Where the options of a field end. -EBADMSG: one reaches beyond the field, or the end is missing (RFC 2131 s4.1). */
static int measure(struct area *a)
{
    for (uint32_t at = 0; at < a->len;) {
        if (a->b[at] == OPT_END) {
            a->len = at;
            return 0;
        }
        if (a->b[at] == OPT_PAD) {
            at++;
            continue;
        }
        if (at + 2 > a->len || at + 2u + a->b[at + 1] > a->len)
            return -EBADMSG;
        at += 2u + a->b[at + 1];
    }
    return -EBADMSG;
}

/* All of an option, its parts put together (RFC 3396 s7). *n = 0 and false: not there. */
static bool gather(const struct area *areas, unsigned n_areas, uint8_t code, uint8_t *out, uint32_t *n)
{
    bool found = false;

    *n = 0;
    for (unsigned i = 0; i < n_areas; i++) {
        const struct area *a = &areas[i];
        for (uint32_t at = 0; at < a->len; at += a->b[at] == OPT_PAD ? 1u : 2u + a->b[at + 1]) {
            if (a->b[at] != code)
                continue;
            memcpy(out + *n, a->b + at + 2, a->b[at + 1]); /* all areas together are no longer than the message */
            *n += a->b[at + 1];
            found = true;
        }
    }
    return found;
}

/* RFC 2131 s4.1: the fields of names may have options, too. The order is that of RFC 3396 s5: options, file, sname. */
static int find_areas(const uint8_t *b, uint32_t len, struct area areas[3], unsigned *n)
{
    uint8_t overload[DHCP_MSG_MAX];
    uint32_t size;

    *n = 1;
    areas[0] = (struct area){ b + DHCP_MSG_FIXED, len - DHCP_MSG_FIXED };
    if (measure(&areas[0]) != 0)
        return -EBADMSG;
    if (!gather(areas, 1, OPT_OVERLOAD, overload, &size))
        return 0;
    if (size != 1 || overload[0] < 1 || overload[0] > 3)
        return -EBADMSG;
    if (overload[0] & 1)
        areas[(*n)++] = (struct area){ b + OFF_FILE, FILE_LEN };
    if (overload[0] & 2)
        areas[(*n)++] = (struct area){ b + OFF_SNAME, SNAME_LEN };
    for (unsigned i = 1; i < *n; i++)
        if (measure(&areas[i]) != 0)
            return -EBADMSG;
    return 0;
}

/* Without a mask, that of the address's class (RFC 950). */
static uint8_t class_len(const struct ip_addr *a) { return a->b[12] < 128 ? 8 : a->b[12] < 192 ? 16 : 24; }

int dhcp_msg_parse(const uint8_t *b, uint32_t len, struct dhcp_msg *out)
{
    struct area areas[3];
    uint8_t value[DHCP_MSG_MAX];
    uint32_t n;
    unsigned n_areas;

    memset(out, 0, sizeof(*out));
    out->yours = out->server = ip_addr_any(true);
    if (len < DHCP_MSG_FIXED || len > DHCP_MSG_MAX || b[0] != OP_REPLY || b[1] != HTYPE_ETHERNET || b[2] != 6 ||
        memcmp(b + OFF_COOKIE, cookie, sizeof(cookie)) != 0)
        return -EBADMSG;
    out->xid = get32(b + OFF_XID);
    out->yours = addr_at(b + OFF_YIADDR);
    memcpy(out->mac, b + OFF_CHADDR, 6);
    if (find_areas(b, len, areas, &n_areas) != 0)
        return -EBADMSG;
    for (unsigned i = 0; i < HS_ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];
        if (!gather(areas, n_areas, o->code, value, &n))
            continue;
        if (o->unit ? n < o->min || n % o->unit != 0 : n != o->min)
            return -EBADMSG;
        if (o->take(out, value, n) != 0)
            return -EBADMSG;
    }
    if (out->type == 0 || (out->type != DHCP_NAK && !is_host(&out->yours)))
        return -EBADMSG;
    if (out->prefix_len == 0)
        out->prefix_len = class_len(&out->yours);
    return 0;
}

/* ---------------------------------------------------------------- what is sent */

static uint8_t *add_option(uint8_t *at, uint8_t code, const void *value, uint8_t len)
{
    at[0] = code;
    at[1] = len;
    memcpy(at + 2, value, len);
    return at + 2 + len;
}

static uint8_t *add_addr(uint8_t *at, uint8_t code, const struct ip_addr *a)
{
    return ip_addr_is_any(a) ? at : add_option(at, code, a->b + 12, 4);
}

uint32_t dhcp_msg_build(const struct dhcp_request *r, uint8_t b[DHCP_MSG_MAX])
{
    /* RFC 3442: classless routes before routers. */
    static const uint8_t wanted[] = { OPT_MASK, OPT_CLASSLESS, OPT_ROUTER, OPT_DNS, OPT_MTU, OPT_LEASE, OPT_SERVER, OPT_RENEW, OPT_REBIND };
    static const uint8_t max_size[2] = { (DHCP_MSG_MAX + 28) >> 8, (DHCP_MSG_MAX + 28) & 0xff };
    uint8_t client[7] = { HTYPE_ETHERNET }, *at = b + DHCP_MSG_FIXED;

    memset(b, 0, DHCP_MSG_MAX);
    b[0] = OP_REQUEST;
    b[1] = HTYPE_ETHERNET;
    b[2] = 6;
    put32(b + OFF_XID, r->xid);
    b[OFF_SECS] = (uint8_t)(r->secs >> 8);
    b[OFF_SECS + 1] = (uint8_t)r->secs;
    b[OFF_FLAGS] = r->wants_broadcast ? FLAG_BROADCAST : 0;
    put_addr(b + OFF_CIADDR, &r->ciaddr);
    memcpy(b + OFF_CHADDR, r->mac, 6);
    memcpy(b + OFF_COOKIE, cookie, sizeof(cookie));
    memcpy(client + 1, r->mac, 6);
    at = add_option(at, OPT_TYPE, &r->type, 1);
    at = add_option(at, OPT_CLIENT, client, sizeof(client));
    at = add_addr(at, OPT_ASKED, &r->asked);
    at = add_addr(at, OPT_SERVER, &r->server);
    if (r->type == DHCP_DISCOVER || r->type == DHCP_REQUEST) { /* RFC 2131 s4.4.1 table 5 */
        at = add_option(at, OPT_MAX_SIZE, max_size, 2);
        at = add_option(at, OPT_WANTED, wanted, sizeof(wanted));
    }
    *at++ = OPT_END;
    return at - b < DHCP_MSG_MIN ? DHCP_MSG_MIN : (uint32_t)(at - b);
}
