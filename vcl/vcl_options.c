/* vcl_options.c - setsockopt and getsockopt: what acts on this side is kept here, what acts in the stack is sent there */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include "vcl/vcl_tcp_ao.h"
#include "vcl/vcl_sctp_internal.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef IPV6_ROUTER_ALERT_ISOLATE
#define IPV6_ROUTER_ALERT_ISOLATE 30
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef IPV6_RECVFRAGSIZE
#define IPV6_RECVFRAGSIZE 77
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

enum { FASTOPEN_MAX = 4096 }; /* somaxconn, which bounds it with Linux */
enum { LOCAL_MSS = 65483 }; /* of a cut-through connection, as of the loopback device with time stamps */

/* How an integer option is stored and what is done with it. */
enum opt_kind {
    OPT_BOOL,
    OPT_INT,
    OPT_NONE,       /* not done here: reads as `lo`, the value that it has by default, and takes no other (ENOPROTOOPT) */
    OPT_READ,       /* to be read only: `lo` */
    OPT_OBSOLETE,   /* reads as `lo`, and takes any value, with which Linux does nothing either */
};
enum opt_flags {
    OPT_TOS_ECN = 1, /* streams keep the two lowest bits for themselves (RFC 3168) */
    OPT_RANGE_DEFAULT = 2, /* -1 means the default, `def` */
    OPT_NEEDS_INT = 4, /* IPPROTO_IP: no value at all is an error here */
    OPT_ANY_LEN = 8, /* what is no int is 0 */
};
struct opt_row {
    int level, name;
    uint8_t kind, flags;
    uint8_t attr;       /* enum svm_attr the server keeps, 0 = this side only */
    uint8_t proto;      /* SVM_PROTO_NONE = any */
    uint16_t at;        /* in struct vcl_opts, or with IN_RARE in struct vcl_rare_opts */
    int32_t lo, hi;     /* accepted values of OPT_INT */
    int32_t def;        /* with OPT_RANGE_DEFAULT */
};
enum { IN_RARE = 0x8000 };
#define AT(field) (uint16_t)offsetof(struct vcl_opts, field)
#define AT_RARE(field) (uint16_t)(IN_RARE | offsetof(struct vcl_rare_opts, field))
enum { ANY = SVM_PROTO_NONE, TCP = SVM_PROTO_TCP, UDP = SVM_PROTO_UDP };
#define BOOL(level, name, attr, proto, field) { level, name, OPT_BOOL, 0, attr, proto, AT(field), 0, 1, 0 }
#define RARE(level, name, attr, proto, field) { level, name, OPT_BOOL, 0, attr, proto, AT_RARE(field), 0, 1, 0 }
/* The same of IPv4 and IPv6: who sets one has set both. */
#define FREE(level, name, proto, field) { level, name, OPT_BOOL, OPT_NEEDS_INT, 0, proto, AT_RARE(field), 0, 1, 0 }
/* Kept and told, nothing acts on it: listed in hoststack-compliance(7). */
#define HINT(level, name, proto, field, lo, hi) { level, name, OPT_INT, 0, 0, proto, AT_RARE(field), lo, hi, 0 }
#define NONE(level, name, proto, value) { level, name, OPT_NONE, 0, 0, proto, 0, value, value, 0 }

#define FIXED(level, name, kind, value) { level, name, kind, 0, 0, ANY, 0, value, value, 0 }

static const struct opt_row rows[] = {
    BOOL(SOL_SOCKET, SO_REUSEADDR, 0, ANY, reuseaddr),
    BOOL(SOL_SOCKET, SO_REUSEPORT, 0, ANY, reuseport),
    RARE(SOL_SOCKET, SO_BROADCAST, SVM_ATTR_BROADCAST, ANY, broadcast),
    BOOL(SOL_SOCKET, SO_KEEPALIVE, SVM_ATTR_KEEPALIVE, ANY, keepalive),
    BOOL(SOL_SOCKET, SO_OOBINLINE, 0, ANY, oobinline),
    { SOL_SOCKET, SO_RCVLOWAT, OPT_INT, 0, 0, ANY, AT(rcvlowat), INT32_MIN, INT32_MAX, 0 },
    HINT(SOL_SOCKET, SO_PRIORITY, ANY, priority, INT32_MIN, INT32_MAX),
    RARE(SOL_SOCKET, SO_DEBUG, 0, ANY, debug), /* a hint */
    HINT(SOL_SOCKET, SO_BUSY_POLL, ANY, busy_poll, 0, INT32_MAX),
    RARE(SOL_SOCKET, SO_PREFER_BUSY_POLL, 0, ANY, prefer_busy_poll), /* a hint */
    HINT(SOL_SOCKET, SO_INCOMING_CPU, ANY, incoming_cpu, INT32_MIN, INT32_MAX),
    NONE(SOL_SOCKET, SO_DONTROUTE, ANY, 0), FIXED(SOL_SOCKET, SO_BSDCOMPAT, OPT_OBSOLETE, 0), FIXED(SOL_SOCKET, SO_SNDLOWAT, OPT_READ, 1),
    RARE(SOL_SOCKET, SO_NO_CHECK, 0, ANY, no_check), /* acts on datagrams over IPv4 */
    NONE(SOL_SOCKET, SO_TIMESTAMP, ANY, 0), NONE(SOL_SOCKET, SO_TIMESTAMPNS, ANY, 0), NONE(SOL_SOCKET, SO_TIMESTAMPING, ANY, 0),
    NONE(SOL_SOCKET, SO_TIMESTAMP_NEW, ANY, 0), NONE(SOL_SOCKET, SO_TIMESTAMPNS_NEW, ANY, 0),
    NONE(SOL_SOCKET, SO_MARK, ANY, 0), NONE(SOL_SOCKET, SO_WIFI_STATUS, ANY, 0),
    RARE(SOL_SOCKET, SO_RXQ_OVFL, 0, ANY, rxq_ovfl), /* of streams Linux keeps it, too */
    { SOL_SOCKET, SO_PEEK_OFF, OPT_INT, 0, 0, TCP, AT_RARE(peek_off), INT32_MIN, INT32_MAX, 0 },
    { SOL_SOCKET, SO_PEEK_OFF, OPT_INT, 0, 0, UDP, AT_RARE(peek_off), INT32_MIN, INT32_MAX, 0 },
    NONE(SOL_SOCKET, SO_PEEK_OFF, ANY, -1), NONE(SOL_SOCKET, SO_NOFCS, ANY, 0), NONE(SOL_SOCKET, SO_LOCK_FILTER, ANY, 0),
    RARE(SOL_SOCKET, SO_SELECT_ERR_QUEUE, 0, ANY, select_err), NONE(SOL_SOCKET, SO_RESERVE_MEM, ANY, 0),
    { SOL_SOCKET, SO_ZEROCOPY, OPT_INT, 0, 0, TCP, AT_RARE(zerocopy), 0, 1, 0 },
    { SOL_SOCKET, SO_ZEROCOPY, OPT_INT, 0, 0, UDP, AT_RARE(zerocopy), 0, 1, 0 },
    BOOL(IPPROTO_TCP, TCP_NODELAY, SVM_ATTR_NODELAY, TCP, nodelay),
    BOOL(IPPROTO_TCP, TCP_CORK, SVM_ATTR_CORK, TCP, cork),
    BOOL(IPPROTO_TCP, TCP_QUICKACK, SVM_ATTR_QUICKACK, TCP, quickack),
    { IPPROTO_TCP, TCP_KEEPIDLE, OPT_INT, 0, SVM_ATTR_KEEPIDLE, TCP, AT(keepidle), 1, 32767, 0 },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPT_INT, 0, SVM_ATTR_KEEPINTVL, TCP, AT(keepintvl), 1, 32767, 0 },
    { IPPROTO_TCP, TCP_KEEPCNT, OPT_INT, 0, SVM_ATTR_KEEPCNT, TCP, AT(keepcnt), 1, 127, 0 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPT_INT, 0, SVM_ATTR_USER_TIMEOUT, TCP, AT_RARE(user_timeout_ms), 0, INT32_MAX, 0 },
    HINT(IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP, notsent_lowat, INT32_MIN, INT32_MAX),
    HINT(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, TCP, thin, 0, 1),
    { IPPROTO_TCP, TCP_SYNCNT, OPT_INT, 0, SVM_ATTR_SYN_COUNT, TCP, AT_RARE(syn_count), 1, 127, 0 },
    { IPPROTO_TCP, TCP_INQ, OPT_INT, 0, 0, TCP, AT_RARE(inq), 0, 1, 0 },
    NONE(IPPROTO_TCP, TCP_SAVE_SYN, TCP, 0),
    NONE(IPPROTO_TCP, TCP_TX_DELAY, TCP, 0), NONE(IPPROTO_TCP, TCP_REPAIR, TCP, 0),
    { IPPROTO_IP, IP_TOS, OPT_INT, OPT_TOS_ECN, SVM_ATTR_DSCP, ANY, AT_RARE(tos), INT32_MIN, INT32_MAX, 0 },
    { IPPROTO_IP, IP_TTL, OPT_INT, OPT_RANGE_DEFAULT | OPT_NEEDS_INT, SVM_ATTR_TTL, ANY, AT_RARE(ttl), 1, 255, 64 },
    RARE(IPPROTO_IP, IP_PKTINFO, 0, ANY, pktinfo),
    RARE(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, ANY, late_port), /* a hint: the port of an unbound socket is chosen at connect in any case */
    NONE(IPPROTO_IP, IP_RECVOPTS, ANY, 0), NONE(IPPROTO_IP, IP_RETOPTS, ANY, 0),
    RARE(IPPROTO_IP, IP_RECVERR, 0, UDP, recverr), NONE(IPPROTO_IP, IP_RECVERR, ANY, 0),
    RARE(IPPROTO_IP, IP_RECVTTL, 0, UDP, recvttl), RARE(IPPROTO_IP, IP_RECVTOS, 0, UDP, recvtos),
    RARE(IPPROTO_IP, IP_RECVTTL, 0, TCP, recvttl), RARE(IPPROTO_IP, IP_RECVTOS, 0, TCP, recvtos), /* of streams Linux keeps them, too */
    NONE(IPPROTO_IP, IP_RECVTTL, ANY, 0), NONE(IPPROTO_IP, IP_RECVTOS, ANY, 0),
    FREE(IPPROTO_IP, IP_FREEBIND, TCP, freebind), FREE(IPPROTO_IP, IP_FREEBIND, UDP, freebind), NONE(IPPROTO_IP, IP_FREEBIND, ANY, 0),
    NONE(IPPROTO_IP, IP_PASSSEC, ANY, 0),
    FREE(IPPROTO_IP, IP_TRANSPARENT, TCP, transparent), FREE(IPPROTO_IP, IP_TRANSPARENT, UDP, transparent),
    NONE(IPPROTO_IP, IP_TRANSPARENT, ANY, 0),
    RARE(IPPROTO_IP, IP_RECVORIGDSTADDR, 0, ANY, recvorig), /* of streams Linux keeps it, too */
    { IPPROTO_IP, IP_MINTTL, OPT_INT, OPT_NEEDS_INT, 0, TCP, AT_RARE(min_ttl), 0, 255, 0 },
    { IPPROTO_IP, IP_MINTTL, OPT_INT, OPT_NEEDS_INT, 0, UDP, AT_RARE(min_ttl), 0, 255, 0 }, /* Linux keeps it, and does nothing */
    NONE(IPPROTO_IP, IP_MINTTL, ANY, 0), NONE(IPPROTO_IP, IP_CHECKSUM, ANY, 0), NONE(IPPROTO_IP, 26 /* IP_RECVERR_RFC4884 */, ANY, 0),
    { IPPROTO_IP, IP_MULTICAST_TTL, OPT_INT, OPT_RANGE_DEFAULT, SVM_ATTR_MCAST_TTL, UDP, AT_RARE(mcast_ttl), 0, 255, 1 },
    RARE(IPPROTO_IP, IP_MULTICAST_LOOP, SVM_ATTR_MCAST_LOOP, UDP, mcast_loop), RARE(IPPROTO_IP, IP_MULTICAST_ALL, SVM_ATTR_MCAST_ALL, UDP, mcast_all),
    NONE(IPPROTO_IP, IP_MULTICAST_LOOP, ANY, 1), NONE(IPPROTO_IP, IP_MULTICAST_ALL, ANY, 1),
    NONE(IPPROTO_IP, 25 /* IP_RECVFRAGSIZE */, ANY, 0),
    NONE(IPPROTO_IP, IP_HDRINCL, ANY, 0),
    NONE(IPPROTO_IP, 51 /* IP_LOCAL_PORT_RANGE */, ANY, 0),
    BOOL(IPPROTO_IPV6, IPV6_V6ONLY, 0, ANY, v6only),
    RARE(IPPROTO_IPV6, IPV6_RECVPKTINFO, 0, ANY, pktinfo6),
    { IPPROTO_IPV6, IPV6_TCLASS, OPT_INT, OPT_TOS_ECN | OPT_RANGE_DEFAULT, SVM_ATTR_DSCP, ANY, AT_RARE(tclass), 0, 255, 0 },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPT_INT, OPT_RANGE_DEFAULT, SVM_ATTR_TTL, ANY, AT_RARE(hops), 0, 255, 64 },
    NONE(IPPROTO_IPV6, IPV6_2292PKTINFO, ANY, 0), NONE(IPPROTO_IPV6, IPV6_2292HOPOPTS, ANY, 0),
    NONE(IPPROTO_IPV6, IPV6_2292DSTOPTS, ANY, 0), NONE(IPPROTO_IPV6, IPV6_2292RTHDR, ANY, 0),
    NONE(IPPROTO_IPV6, IPV6_2292HOPLIMIT, ANY, 0), NONE(IPPROTO_IPV6, 11 /* IPV6_FLOWINFO */, ANY, 0),
    RARE(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0, UDP, recvhops), RARE(IPPROTO_IPV6, IPV6_RECVTCLASS, 0, UDP, recvtclass),
    RARE(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0, TCP, recvhops), RARE(IPPROTO_IPV6, IPV6_RECVTCLASS, 0, TCP, recvtclass), /* likewise */
    RARE(IPPROTO_IPV6, IPV6_RECVERR, 0, UDP, recverr6), NONE(IPPROTO_IPV6, IPV6_RECVERR, ANY, 0),
    NONE(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, ANY, 0), NONE(IPPROTO_IPV6, IPV6_RECVHOPOPTS, ANY, 0),
    NONE(IPPROTO_IPV6, IPV6_RECVRTHDR, ANY, 0), NONE(IPPROTO_IPV6, IPV6_RECVDSTOPTS, ANY, 0), NONE(IPPROTO_IPV6, IPV6_RECVPATHMTU, ANY, 0),
    { IPPROTO_IPV6, IPV6_DONTFRAG, OPT_BOOL, OPT_ANY_LEN, 0, ANY, AT_RARE(dontfrag), 0, 1, 0 },
    NONE(IPPROTO_IPV6, IPV6_RECVTCLASS, ANY, 0), NONE(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, ANY, 1),
    NONE(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, ANY, 1280),
    { IPPROTO_IPV6, IPV6_MINHOPCOUNT, OPT_INT, 0, 0, TCP, AT_RARE(min_hops), 0, 255, 0 },
    { IPPROTO_IPV6, IPV6_MINHOPCOUNT, OPT_INT, 0, 0, UDP, AT_RARE(min_hops), 0, 255, 0 }, /* likewise */
    NONE(IPPROTO_IPV6, IPV6_MINHOPCOUNT, ANY, 0),
    RARE(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 0, ANY, recvorig6),
    FREE(IPPROTO_IPV6, IPV6_TRANSPARENT, TCP, transparent), FREE(IPPROTO_IPV6, IPV6_TRANSPARENT, UDP, transparent),
    NONE(IPPROTO_IPV6, IPV6_TRANSPARENT, ANY, 0), NONE(IPPROTO_IPV6, IPV6_RECVFRAGSIZE, ANY, 0),
    FREE(IPPROTO_IPV6, IPV6_FREEBIND, TCP, freebind), FREE(IPPROTO_IPV6, IPV6_FREEBIND, UDP, freebind), NONE(IPPROTO_IPV6, IPV6_FREEBIND, ANY, 0),
    { IPPROTO_IPV6, IPV6_MULTICAST_HOPS, OPT_INT, OPT_RANGE_DEFAULT, SVM_ATTR_MCAST_TTL, UDP, AT_RARE(mcast_hops), 0, 255, 1 },
    RARE(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, SVM_ATTR_MCAST_LOOP, UDP, mcast_loop6),
    RARE(IPPROTO_IPV6, IPV6_MULTICAST_ALL, SVM_ATTR_MCAST_ALL, UDP, mcast_all6), NONE(IPPROTO_IPV6, IPV6_MULTICAST_ALL, ANY, 1),
    NONE(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, ANY, 1),
    NONE(IPPROTO_IPV6, IPV6_MULTICAST_IF, UDP, 0), NONE(IPPROTO_IPV6, 31 /* IPV6_RECVERR_RFC4884 */, ANY, 0),
    NONE(IPPROTO_IPV6, 33 /* IPV6_FLOWINFO_SEND */, ANY, 0), NONE(IPPROTO_IPV6, IPV6_ROUTER_ALERT_ISOLATE, ANY, 0),
    BOOL(IPPROTO_UDP, UDP_CORK, 0, UDP, cork), NONE(IPPROTO_UDP, UDP_ENCAP, UDP, 0),
    RARE(IPPROTO_UDP, UDP_NO_CHECK6_TX, 0, UDP, no_check6_tx), RARE(IPPROTO_UDP, UDP_NO_CHECK6_RX, SVM_ATTR_NO_CHECK6_RX, UDP, no_check6_rx),
    { IPPROTO_UDP, UDP_SEGMENT, OPT_INT, 0, 0, UDP, AT_RARE(gso), 0, UINT16_MAX, 0 },
    RARE(IPPROTO_UDP, UDP_GRO, SVM_ATTR_GRO, UDP, gro),
};

static const struct vcl_rare_opts rare_defaults = {
    .ttl = 64, .hops = 64, .linger2 = 60, .mcast_ttl = 1, .mcast_hops = 1, .incoming_cpu = -1, .syn_count = 6, .mtu_discover = IP_PMTUDISC_WANT,
    .mcast_loop = true, .mcast_loop6 = true, .mcast_all = true, .mcast_all6 = true, .congestion = "cubic", .max_pacing = UINT64_MAX,
    .peek_off = -1,
};

void vcl_options_init(struct vcl_socket *s)
{
    s->opt.rcvlowat = 1;
    s->opt.keepidle = 7200;
    s->opt.keepintvl = 75;
    s->opt.keepcnt = 9;
    s->opt.quickack = true;
    atomic_init(&s->rare_opt, &rare_defaults);
}

void vcl_options_free(struct vcl_socket *s)
{
    const struct vcl_rare_opts *o = s->rare_opt;

    vcl_options_unshare(s);
    if (o != &rare_defaults)
        free((void *)(uintptr_t)o);
}

/* Threads that set and get at once: who has seen the defaults has read something true, and what is its own stays until it is freed. */
struct vcl_rare_opts *vcl_options_rare(struct vcl_socket *s)
{
    const struct vcl_rare_opts *now = s->rare_opt;
    struct vcl_rare_opts *own;

    if (now != &rare_defaults)
        return (struct vcl_rare_opts *)(uintptr_t)now;
    own = malloc(sizeof(*own));
    if (!own)
        return NULL;
    *own = rare_defaults;
    if (atomic_compare_exchange_strong(&s->rare_opt, &now, own))
        return own;
    free(own);
    return (struct vcl_rare_opts *)(uintptr_t)now;
}

int vcl_options_inherit(struct vcl_socket *s, const struct vcl_socket *from)
{
    const struct vcl_rare_opts *o = from->rare_opt;
    struct vcl_rare_opts *own = o != &rare_defaults ? vcl_options_rare(s) : NULL;

    if (!own && o != &rare_defaults)
        return -ENOMEM;
    if (own)
        *own = *o;
    s->opt = from->opt;
    s->peeks_on = from->peeks_on;
    s->opt.changed = 0; /* the server has them from the listener */
    return 0;
}

bool vcl_is_transparent(const struct vcl_socket *s) { return s->rare_opt->transparent; }
bool vcl_binds_free(const struct vcl_socket *s) { return s->rare_opt->freebind || s->rare_opt->transparent; }

/* A socket of one transport knows nothing of the other's level, one of IPv4 nothing of IPv6's. */
static bool level_is_known(const struct vcl_socket *s, int level)
{
    return level == SOL_SOCKET || level == IPPROTO_IP || (level == IPPROTO_IPV6 && s->is_v6) ||
           level == (s->sctp ? IPPROTO_SCTP : s->is_dgram || s->is_records ? IPPROTO_UDP : IPPROTO_TCP);
}

static const struct opt_row *row_of(const struct vcl_socket *s, int level, int name)
{
    /* What runs below is TCP or UDP, and the program believes it is. */
    uint8_t proto = s->proto == SVM_PROTO_TLS ? SVM_PROTO_TCP : s->proto == SVM_PROTO_DTLS ? SVM_PROTO_UDP : s->proto;

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].level == level && rows[i].name == name && (rows[i].proto == ANY || rows[i].proto == proto))
            return &rows[i];
    return NULL;
}

static int32_t row_get(const struct vcl_socket *s, const struct opt_row *r)
{
    const uint8_t *at = r->at & IN_RARE ? (const uint8_t *)s->rare_opt + (r->at & ~IN_RARE) : (const uint8_t *)&s->opt + r->at;
    int32_t v;

    if (r->kind >= OPT_NONE)
        return r->lo;
    if (r->kind == OPT_BOOL)
        return *(const bool *)at;
    memcpy(&v, at, sizeof(v));
    return v;
}

/* NULL: no memory. */
static void *row_place(struct vcl_socket *s, const struct opt_row *r)
{
    uint8_t *o = r->at & IN_RARE ? (uint8_t *)vcl_options_rare(s) : (uint8_t *)&s->opt;

    return o ? o + (r->at & ~IN_RARE) : NULL;
}

/* An IPv6 socket has both levels' values of TTL and class; packets of ours carry its own level's. */
static bool row_acts(const struct vcl_socket *s, const struct opt_row *r)
{
    return r->level != (s->is_v6 ? IPPROTO_IP : IPPROTO_IPV6);
}

/* Without waiting: the value was checked here, so the answer tells nothing. Worker lock held. */
static void post_bytes(struct vcl_socket *s, uint8_t attr, const void *bytes, uint32_t len)
{
    struct svm_msg m = vcl_socket_msg(s, SVM_MSG_ATTR_SET);

    m.attr = attr;
    m.u.attr_val.len = len;
    memcpy(m.u.attr_val.bytes, bytes, len);
    vcl_socket_post(s, &m);
}
static void post_int(struct vcl_socket *s, uint8_t attr, int32_t v) { post_bytes(s, attr, &v, sizeof(v)); }

void vcl_options_send_int(struct vcl_socket *s, uint8_t attr, int32_t v)
{
    if (!vcl_handle_is_none(s->handle) && !s->local && vcl_socket_adopt(s))
        return;
    pthread_mutex_lock(&s->w->lock);
    if (s->local || vcl_handle_is_none(s->handle))
        s->opt.changed |= UINT64_C(1) << attr; /* sent with the session; a cut-through one has no packets that it could concern */
    else
        post_int(s, attr, v);
    pthread_mutex_unlock(&s->w->lock);
}

/* INTERFACE and OMIT are to the stack what DONT is: no datagram is marked, large ones go in fragments. */
static int32_t mtu_discover_told(const struct vcl_socket *s)
{
    return s->rare_opt->mtu_discover > IP_PMTUDISC_PROBE ? IP_PMTUDISC_DONT : s->rare_opt->mtu_discover;
}

/* The server counts in units of 16 bytes a second, with 0 for no limit. */
static int32_t pacing_told(const struct vcl_socket *s)
{
    uint64_t units = s->rare_opt->max_pacing / 16;

    if (s->rare_opt->max_pacing == 0 || units > UINT32_MAX)
        return 0;
    return (int32_t)(uint32_t)(units ? units : 1);
}

static int32_t recverr_told(const struct vcl_socket *s)
{
    return (s->rare_opt->recverr ? SVM_RECVERR_V4 : 0) | (s->rare_opt->recverr6 ? SVM_RECVERR_V6 : 0);
}

static int32_t min_ttl_told(const struct vcl_socket *s) { return s->rare_opt->min_ttl | s->rare_opt->min_hops << 8; }

/* To the server no TTL is the default one. A hop limit of 0 gets as far as one of 1 (RFC 8200 s3): to the hosts of the link. */
static int32_t row_told(const struct opt_row *r, int32_t v) { return r->attr == SVM_ATTR_TTL && v == 0 ? 1 : v; }

static void post_changed(struct vcl_socket *s, uint64_t changed)
{
    s->opt.changed &= ~changed;
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].attr && changed & UINT64_C(1) << rows[i].attr && row_acts(s, &rows[i])) {
            post_int(s, rows[i].attr, row_told(&rows[i], row_get(s, &rows[i])));
            changed &= ~(UINT64_C(1) << rows[i].attr);
        }
    if (changed & UINT64_C(1) << SVM_ATTR_DEVICE)
        post_int(s, SVM_ATTR_DEVICE, s->rare_opt->device);
    if (changed & UINT64_C(1) << SVM_ATTR_CONGESTION)
        post_bytes(s, SVM_ATTR_CONGESTION, s->rare_opt->congestion, sizeof(s->rare_opt->congestion));
    if (changed & UINT64_C(1) << SVM_ATTR_MAX_PACING)
        post_int(s, SVM_ATTR_MAX_PACING, pacing_told(s));
    if (changed & UINT64_C(1) << SVM_ATTR_MSS)
        post_int(s, SVM_ATTR_MSS, s->rare_opt->mss);
    if (changed & UINT64_C(1) << SVM_ATTR_LINGER2)
        post_int(s, SVM_ATTR_LINGER2, s->rare_opt->linger2);
    if (changed & UINT64_C(1) << SVM_ATTR_DEFER_ACCEPT)
        post_int(s, SVM_ATTR_DEFER_ACCEPT, s->rare_opt->defer_accept);
    if (changed & UINT64_C(1) << SVM_ATTR_FASTOPEN)
        post_int(s, SVM_ATTR_FASTOPEN, s->rare_opt->fastopen);
    if (changed & UINT64_C(1) << SVM_ATTR_FASTOPEN_NO_COOKIE)
        post_int(s, SVM_ATTR_FASTOPEN_NO_COOKIE, s->rare_opt->fastopen_no_cookie);
    if (changed & UINT64_C(1) << SVM_ATTR_FASTOPEN_KEY)
        post_bytes(s, SVM_ATTR_FASTOPEN_KEY, s->rare_opt->fastopen_key, s->rare_opt->n_fastopen_keys * (uint32_t)SVM_FASTOPEN_KEY);
    if (changed & UINT64_C(1) << SVM_ATTR_MTU_DISCOVER)
        post_int(s, SVM_ATTR_MTU_DISCOVER, mtu_discover_told(s));
    if (changed & UINT64_C(1) << SVM_ATTR_RECVERR)
        post_int(s, SVM_ATTR_RECVERR, recverr_told(s));
    if (changed & UINT64_C(1) << SVM_ATTR_MIN_TTL)
        post_int(s, SVM_ATTR_MIN_TTL, min_ttl_told(s));
    if (changed & UINT64_C(1) << SVM_ATTR_RX_TELL)
        post_int(s, SVM_ATTR_RX_TELL, vcl_rx_told(s));
    if (changed & UINT64_C(1) << SVM_ATTR_RX_FIFO)
        post_int(s, SVM_ATTR_RX_FIFO, s->opt.rcvbuf / 2);
}

/* What was set before there was a session. Worker lock held. */
void vcl_options_push(struct vcl_socket *s)
{
    uint32_t keys;

    vcl_mcast_push(s);
    if (s->tcp_keys && !s->local && !vcl_handle_is_none(s->handle) && vcl_tcp_keys_are_told(s, &keys))
        post_int(s, SVM_ATTR_TCP_KEYS, (int32_t)keys); /* perhaps changed while the attempt was under way */
    if (s->opt.changed && !s->local && !vcl_handle_is_none(s->handle))
        post_changed(s, s->opt.changed);
}

/* What the first packet shows, and what it promises. The device and the keys CONNECT itself says; the rest has time until there is a
 * session. */
void vcl_options_push_early(struct vcl_socket *s)
{
    static const uint8_t early[] = { SVM_ATTR_MSS, SVM_ATTR_USER_TIMEOUT, SVM_ATTR_DSCP, SVM_ATTR_TTL, SVM_ATTR_CONGESTION, SVM_ATTR_RX_FIFO,
                                     SVM_ATTR_SYN_COUNT, SVM_ATTR_MIN_TTL };
    uint64_t bits = 0;

    static_assert(HS_ARRAY_LEN(early) <= 8 * sizeof(s->early_told), "a bit for each");
    if (!vcl_handle_is_none(s->handle))
        return;
    for (unsigned i = 0; i < HS_ARRAY_LEN(early); i++) {
        uint64_t bit = UINT64_C(1) << early[i];

        if (s->opt.changed & bit)
            s->early_told |= (uint8_t)(1u << i);
        if (s->early_told & 1u << i)
            bits |= bit;
    }
    if (bits)
        post_changed(s, bits);
}

/* op_lock held. */
static int answer_room(struct vcl_socket *s)
{
    if (!s->attr_bytes)
        s->attr_bytes = malloc(VCL_ATTR_ANSWER_MAX);
    return s->attr_bytes ? 0 : -ENOMEM;
}

/* Question to the server, and its answer, which is this caller's alone: several threads may ask at once. */
int vcl_attr_exchange(struct vcl_socket *s, uint8_t type, uint8_t attr, const void *val, uint32_t len, void *answer, uint32_t answer_len)
{
    struct svm_msg m;
    int rc = vcl_socket_adopt(s); /* a question takes the connection from nobody */

    if (rc)
        return rc;
    pthread_mutex_lock(&s->op_lock);
    m = vcl_socket_msg(s, type);
    m.attr = attr;
    m.u.attr_val.len = len;
    if (len)
        memcpy(m.u.attr_val.bytes, val, len);
    s->attr_question = s->attr_question == UINT8_MAX ? 1 : s->attr_question + 1;
    m.flags = s->attr_question;
    rc = answer_room(s);
    if (rc == 0)
        rc = vcl_socket_request(s, VCL_OP_ATTR, &m);
    if (rc == 0 && answer_len) {
        rc = (int)hs_min_u32(s->attr_len, answer_len);
        memcpy(answer, s->attr_bytes, (size_t)rc);
    }
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

int vcl_attr_request(struct vcl_socket *s, uint8_t type, uint8_t attr, const void *val, uint32_t len)
{
    return vcl_attr_exchange(s, type, attr, val, len, NULL, 0);
}

int vcl_attr_ask(struct vcl_socket *s, uint8_t attr, const void *question, uint32_t question_len, void *answer, uint32_t answer_len)
{
    int rc = vcl_attr_exchange(s, SVM_MSG_ATTR_GET, attr, question, question_len, answer, answer_len);

    return rc < 0 ? rc : (uint32_t)rc < answer_len ? -EPROTO : 0;
}

static int take_timeval(const void *val, socklen_t len, int64_t *ns)
{
    struct timeval tv;

    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, val, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
        return -EDOM;
    if (tv.tv_sec < 0) /* as Linux: at once */
        *ns = 1;
    else
        *ns = tv.tv_sec > INT64_MAX / 2000000000 ? 0 : tv.tv_sec * 1000000000ll + tv.tv_usec * 1000ll;
    return 0;
}

/* socket(7): an unsigned int or long; the largest of either means no limit. Nothing paces datagrams here, nor does Linux without fq. */
static int set_max_pacing(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct vcl_rare_opts *o;
    uint32_t v32;
    uint64_t v = 0;

    if (len == sizeof(v)) {
        memcpy(&v, val, sizeof(v));
    } else {
        memcpy(&v32, val, sizeof(v32));
        v = v32 == UINT32_MAX ? UINT64_MAX : v32;
    }
    if (!(o = vcl_options_rare(s)))
        return -ENOBUFS;
    o->max_pacing = v;
    if (!s->is_dgram && !s->is_records)
        vcl_options_send_int(s, SVM_ATTR_MAX_PACING, pacing_told(s));
    return 0;
}

static int set_socket_level(struct vcl_socket *s, int name, const void *val, socklen_t len, int v)
{
    struct linger linger;

    switch (name) {
    case SO_RCVTIMEO:
        return take_timeval(val, len, &s->opt.rcv_timeout_ns);
    case SO_SNDTIMEO:
        return take_timeval(val, len, &s->opt.snd_timeout_ns);
    case SO_LINGER:
        if (len < sizeof(struct linger))
            return -EINVAL;
        memcpy(&linger, val, sizeof(linger));
        s->opt.linger.l_onoff = linger.l_onoff != 0;
        if (linger.l_onoff) /* Linux: off, it keeps the time of before */
            s->opt.linger.l_linger = linger.l_linger;
        return 0;
    case SO_MAX_PACING_RATE:
        return len < sizeof(int) ? -EINVAL : set_max_pacing(s, val, len);
    case SO_RCVBUF:
    case SO_SNDBUF:
        return vcl_buffer_set(s, name, v);
    case SO_RCVBUFFORCE:
    case SO_SNDBUFFORCE:
        return vcl_buffer_force(s, name, v);
    default:
        return -ENOPROTOOPT;
    }
}

/* Linux counts TCP_DEFER_ACCEPT in SYN,ACKs that would have been sent by then: after 1, 2, 4 … s, at most 120 s each. */
static int32_t defer_rounded(int32_t v)
{
    int32_t period = 1, timeout = 1;

    if (v <= 0)
        return 0;
    for (int n = 1; period < v && n < 255; n++) {
        timeout = timeout < 60 ? 2 * timeout : 120;
        period += timeout;
    }
    return period;
}

/* Without a session there is nobody to ask; the names are those of hoststackd.conf(5). */
static bool congestion_is_known(const char *name)
{
    static const char *const names[] = { "cubic", "reno", "newreno", "bbr" };

    for (unsigned i = 0; i < HS_ARRAY_LEN(names); i++) {
        if (!strcmp(name, names[i]))
            return true;
    }
    return false;
}

static int set_congestion(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct vcl_rare_opts *o;
    char cc[16] = { 0 };
    int rc;

    if (len < 1)
        return -EINVAL;
    memcpy(cc, val, hs_min_u32(len, sizeof(cc) - 1));
    if (!s->local && !vcl_handle_is_none(s->handle)) {
        rc = vcl_attr_request(s, SVM_MSG_ATTR_SET, SVM_ATTR_CONGESTION, cc, sizeof(cc));
        if (rc)
            return rc;
    } else if (!congestion_is_known(cc)) {
        return -ENOENT;
    }
    if (!(o = vcl_options_rare(s)))
        return -ENOBUFS;
    pthread_mutex_lock(&s->w->lock);
    strcpy(o->congestion, cc);
    if (vcl_handle_is_none(s->handle))
        s->opt.changed |= UINT64_C(1) << SVM_ATTR_CONGESTION; /* sent with the session */
    pthread_mutex_unlock(&s->w->lock);
    return 0;
}

/* tcp(7): the first key is in use, the second one was. */
static int set_fastopen_key(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct vcl_rare_opts *o = vcl_options_rare(s);

    if (len != SVM_FASTOPEN_KEY && len != 2 * SVM_FASTOPEN_KEY)
        return -EINVAL;
    if (!o)
        return -ENOBUFS;
    pthread_mutex_lock(&s->w->lock);
    memcpy(o->fastopen_key, val, len);
    o->n_fastopen_keys = (uint8_t)(len / SVM_FASTOPEN_KEY);
    if (vcl_handle_is_none(s->handle))
        s->opt.changed |= UINT64_C(1) << SVM_ATTR_FASTOPEN_KEY;
    else if (!s->local)
        post_bytes(s, SVM_ATTR_FASTOPEN_KEY, s->rare_opt->fastopen_key, len);
    pthread_mutex_unlock(&s->w->lock);
    return 0;
}

static bool has_begun(const struct vcl_socket *s)
{
    return vcl_state(s) != VCL_NEW && vcl_state(s) != VCL_BOUND;
}

static int set_fastopen(struct vcl_socket *s, int name, int v)
{
    struct vcl_rare_opts *o = vcl_options_rare(s);

    if (!o)
        return -ENOBUFS;
    if (v < 0 || (has_begun(s) && (name == TCP_FASTOPEN_CONNECT || vcl_state(s) != VCL_LISTENING)))
        return -EINVAL;
    if (name == TCP_FASTOPEN) {
        o->fastopen = (int32_t)hs_min_u32((uint32_t)v, FASTOPEN_MAX);
        vcl_options_send_int(s, SVM_ATTR_FASTOPEN, s->rare_opt->fastopen);
        return 0;
    }
    if (v > 1)
        return -EINVAL;
    if (name == TCP_FASTOPEN_CONNECT) {
        o->fastopen_connect = v;
        return 0;
    }
    o->fastopen_no_cookie = v;
    vcl_options_send_int(s, SVM_ATTR_FASTOPEN_NO_COOKIE, v);
    return 0;
}

static int set_tcp_level(struct vcl_socket *s, int name, const void *val, socklen_t len, int v)
{
    struct vcl_rare_opts *o;

    if (name == TCP_CONGESTION)
        return set_congestion(s, val, len);
    if (name == TCP_MD5SIG || name == TCP_MD5SIG_EXT)
        return vcl_tcp_md5_set(s, name, val, len);
    if (name >= VCL_TCP_AO_ADD_KEY && name <= VCL_TCP_AO_INFO)
        return vcl_tcp_ao_set(s, name, val, len);
    if (name == TCP_FASTOPEN_KEY)
        return set_fastopen_key(s, val, len);
    if (name == TCP_ULP)
        return len < 1 ? -EINVAL : -ENOENT; /* no protocol to put on top */
    if (len < sizeof(int))
        return -EINVAL;
    if (!(o = vcl_options_rare(s)))
        return -ENOBUFS;
    switch (name) {
    case TCP_MAXSEG:
        if (v && (v < 88 || v > 32767))
            return -EINVAL;
        o->mss = v;
        vcl_options_send_int(s, SVM_ATTR_MSS, v);
        return 0;
    case TCP_LINGER2: /* below 0: none at all; 0: the system's; the longest is 2 min */
        o->linger2 = v < 0 ? -1 : v == 0 ? 60 : v > 120 ? 120 : v;
        vcl_options_send_int(s, SVM_ATTR_LINGER2, s->rare_opt->linger2);
        return 0;
    case TCP_THIN_DUPACK: /* has had no effect since Linux 4.14 */
        return v == 0 || v == 1 ? 0 : -EINVAL;
    case TCP_DEFER_ACCEPT: /* cut-through connections are not held back: what is accepted may have no bytes yet */
        o->defer_accept = defer_rounded(v);
        vcl_options_send_int(s, SVM_ATTR_DEFER_ACCEPT, s->rare_opt->defer_accept);
        return 0;
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
    case TCP_FASTOPEN_NO_COOKIE:
        return set_fastopen(s, name, v);
    default:
        return -ENOPROTOOPT;
    }
}

/* IPPROTO_IP and IPPROTO_IPV6 alike: path MTU discovery is always done for streams. */
static int set_mtu_discover(struct vcl_socket *s, int v)
{
    struct vcl_rare_opts *o;

    if (v < IP_PMTUDISC_DONT || v > IP_PMTUDISC_OMIT)
        return -EINVAL;
    if (!s->is_dgram && !s->is_records && v != IP_PMTUDISC_WANT && v != IP_PMTUDISC_DO)
        return -ENOPROTOOPT;
    if (!(o = vcl_options_rare(s)))
        return -ENOBUFS;
    o->mtu_discover = v;
    if (s->is_dgram || s->is_records)
        vcl_options_send_int(s, SVM_ATTR_MTU_DISCOVER, mtu_discover_told(s));
    return 0;
}

static int set_other(struct vcl_socket *s, int level, int name, const void *val, socklen_t len, int v)
{
    if (level == SOL_SOCKET)
        return set_socket_level(s, name, val, len, v);
    if (level == IPPROTO_TCP)
        return set_tcp_level(s, name, val, len, v);
    if ((level == IPPROTO_IP && name == IP_MTU_DISCOVER) || (level == IPPROTO_IPV6 && name == IPV6_MTU_DISCOVER))
        return level == IPPROTO_IPV6 && len < sizeof(int) ? -EINVAL : set_mtu_discover(s, v);
    return -ENOPROTOOPT;
}

static int set_int_row(struct vcl_socket *s, const struct opt_row *r, int32_t v)
{
    void *at;

    if (r->flags & OPT_RANGE_DEFAULT && v == -1)
        v = r->def;
    if (r->level == IPPROTO_IP && r->name == IP_TOS)
        v &= 255;
    if (v < r->lo || v > r->hi)
        return -EINVAL;
    if (r->flags & OPT_TOS_ECN && !s->is_dgram)
        v &= ~3;
    if (r->level == SOL_SOCKET && r->name == SO_RCVLOWAT) {
        uint32_t max = vcl_config()->rx_fifo_size;

        v = v < 0 ? INT32_MAX : v == 0 ? 1 : v; /* socket(7) */
        if (!s->is_dgram && (uint32_t)v > max)
            v = (int32_t)max;
    }
    if (r->at == AT_RARE(peek_off))
        return s->is_records && v != -1 ? -ENOPROTOOPT : vcl_peek_set(s, v);
    at = row_get(s, r) == v ? NULL : row_place(s, r);
    if (at)
        memcpy(at, &v, sizeof(v));
    else if (row_get(s, r) != v)
        return -ENOBUFS;
    if (r->attr && row_acts(s, r))
        vcl_options_send_int(s, r->attr, row_told(r, v));
    if ((r->at == AT_RARE(min_ttl) || r->at == AT_RARE(min_hops)) && !s->is_dgram && !s->is_records) /* by the family of the packet */
        vcl_options_send_int(s, SVM_ATTR_MIN_TTL, min_ttl_told(s));
    return 0;
}

static int set_row(struct vcl_socket *s, const struct opt_row *r, int32_t v)
{
    bool *at;

    if (r->kind >= OPT_NONE)
        return r->kind == OPT_OBSOLETE || (r->kind == OPT_NONE && v == r->lo) ? 0 : -ENOPROTOOPT;
    if (r->kind == OPT_INT)
        return set_int_row(s, r, v);
    if (r->level == IPPROTO_IPV6 && r->name == IPV6_V6ONLY && (s->has_lcl || vcl_state(s) != VCL_NEW))
        return -EINVAL;
    if (r->at == AT_RARE(transparent) && v && !vcl_kernel_permits(IPPROTO_IP, IP_TRANSPARENT, 1))
        return -EPERM;
    at = row_get(s, r) == (v != 0) ? NULL : row_place(s, r);
    if (at)
        *at = v != 0;
    else if (row_get(s, r) != (v != 0))
        return -ENOBUFS;
    if (r->attr && row_acts(s, r))
        vcl_options_send_int(s, r->attr, v != 0);
    if (r->at == AT_RARE(recverr) || r->at == AT_RARE(recverr6)) { /* both levels act on an IPv6 socket, by the family of the packet */
        vcl_options_send_int(s, SVM_ATTR_RECVERR, recverr_told(s));
        if (!v)
            vcl_errqueue_purge(s);
    }
    if ((r->at == AT_RARE(pktinfo) || r->at == AT_RARE(pktinfo6) || r->at == AT_RARE(rxq_ovfl)) && s->is_dgram)
        vcl_options_send_int(s, SVM_ATTR_RX_TELL, vcl_rx_told(s));
    if (r->level == IPPROTO_UDP && r->name == UDP_CORK && !v)
        (void)vcl_cork_push(s, 0);
    return 0;
}

/* How Linux reads the value: an int, at IPPROTO_IP also a byte, or nothing at all, which is 0. */
static int take_int(int level, const struct opt_row *r, const void *val, socklen_t len, int32_t *v)
{
    *v = 0;
    if (len >= sizeof(*v))
        memcpy(v, val, sizeof(*v));
    else if (level == IPPROTO_IP && len >= 1)
        *v = *(const uint8_t *)val;
    else if (r && r->flags & OPT_ANY_LEN)
        return 0;
    else if (level != IPPROTO_IP || (r && r->flags & OPT_NEEDS_INT))
        return -EINVAL;
    return 0;
}

int vcl_options_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    const struct opt_row *r = level_is_known(s, level) ? row_of(s, level, name) : NULL;
    int32_t v;
    int rc;

    if ((int)len < 0)
        return -EINVAL;
    if (!level_is_known(s, level))
        return -ENOPROTOOPT;
    rc = vcl_device_set(s, level, name, val, len);
    if (rc <= 0)
        return rc;
    if (!val && len)
        return -EFAULT;
    if (level == IPPROTO_SCTP)
        return val ? vcl_sctp_set(s, name, val, len) : -EFAULT;
    rc = vcl_mcast_set(s, level, name, val, len);
    if (rc > 0)
        rc = vcl_msg_opt_set(s, level, name, val, len);
    if (rc <= 0)
        return rc;
    rc = take_int(level, r, val, len, &v);
    if (rc && (r || level == SOL_SOCKET || level == IPPROTO_UDP))
        return rc;
    return r ? set_row(s, r, v) : set_other(s, level, name, val, len, v);
}

int vcl_setsockopt(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    return (s->share ? vcl_options_set_shared : vcl_options_set)(s, level, name, val, len);
}

/* ---- get ---- */
static int put(void *val, socklen_t *len, const void *from, size_t n)
{
    if (*len > n)
        *len = (socklen_t)n;
    memcpy(val, from, *len);
    return 0;
}
static int put_int(void *val, socklen_t *len, int v) { return put(val, len, &v, sizeof(v)); }

/* ip(7)'s getsockopt: who gives room for less than an int and gets a small value, gets a byte. */
static int put_ip_int(void *val, socklen_t *len, int v)
{
    uint8_t byte = (uint8_t)v;

    if (*len > 0 && *len < sizeof(int) && v >= 0 && v <= 255)
        return put(val, len, &byte, 1);
    return put_int(val, len, v);
}

static int put_timeval(void *val, socklen_t *len, int64_t ns)
{
    struct timeval tv = { .tv_sec = ns / 1000000000, .tv_usec = ns % 1000000000 / 1000 };

    return put(val, len, &tv, sizeof(tv));
}

static int get_max_pacing(const struct vcl_socket *s, void *val, socklen_t *len)
{
    uint64_t v = s->rare_opt->max_pacing;
    uint32_t v32 = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;

    if (*len >= sizeof(v))
        return put(val, len, &v, sizeof(v));
    return put(val, len, &v32, sizeof(v32));
}

static int get_socket_level(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    static const struct ucred nobody = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };

    switch (name) {
    case SO_ERROR:
        return put_int(val, len, vcl_take_error(s));
    case SO_TYPE:
        return put_int(val, len, s->is_dgram || s->is_records ? SOCK_DGRAM : vcl_sctp_is_many(s) ? SOCK_SEQPACKET : SOCK_STREAM);
    case SO_PROTOCOL:
        return put_int(val, len, s->sctp ? IPPROTO_SCTP : s->is_dgram || s->is_records ? IPPROTO_UDP : IPPROTO_TCP);
    case SO_DOMAIN:
        return put_int(val, len, s->is_v6 ? AF_INET6 : AF_INET);
    case SO_ACCEPTCONN:
        return put_int(val, len, vcl_is_listener(s));
    case SO_RCVTIMEO:
        return put_timeval(val, len, s->opt.rcv_timeout_ns);
    case SO_SNDTIMEO:
        return put_timeval(val, len, s->opt.snd_timeout_ns);
    case SO_LINGER:
        return put(val, len, &s->opt.linger, sizeof(s->opt.linger));
    case SO_RCVBUF:
        return put_int(val, len, s->opt.rcvbuf ? s->opt.rcvbuf : (int)vcl_config()->rx_fifo_size);
    case SO_SNDBUF:
        return put_int(val, len, s->opt.sndbuf ? s->opt.sndbuf : (int)vcl_config()->tx_fifo_size);
    case SO_MAX_PACING_RATE:
        return get_max_pacing(s, val, len);
    case SO_INCOMING_NAPI_ID: /* none */
        return put_int(val, len, 0);
    case SO_PEERCRED: /* of no Unix socket */
        return put(val, len, &nobody, sizeof(nobody));
    default:
        return -ENOPROTOOPT;
    }
}

static int get_maxseg(struct vcl_socket *s, void *val, socklen_t *len)
{
    int32_t v = s->rare_opt->mss ? s->rare_opt->mss : 536, now;

    if (vcl_state(s) == VCL_CONNECTED && s->local)
        v = LOCAL_MSS;
    else if (vcl_state(s) == VCL_CONNECTED && vcl_attr_ask(s, SVM_ATTR_MSS, NULL, 0, &now, sizeof(now)) == 0)
        v = now;
    return put_int(val, len, v);
}

/* The server may have another default than "cubic", and knows what a listener has passed on. */
static int get_congestion(struct vcl_socket *s, void *val, socklen_t *len)
{
    char cc[sizeof(s->rare_opt->congestion)] = { 0 };

    if (vcl_state(s) != VCL_CONNECTED || s->local ||
        vcl_attr_exchange(s, SVM_MSG_ATTR_GET, SVM_ATTR_CONGESTION, NULL, 0, cc, sizeof(cc) - 1) < 0)
        return put(val, len, s->rare_opt->congestion, sizeof(s->rare_opt->congestion));
    return put(val, len, cc, sizeof(cc));
}

static int get_tcp_level(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    switch (name) {
    case TCP_INFO:
        return vcl_tcp_info(s, val, len);
    case TCP_MAXSEG:
        return get_maxseg(s, val, len);
    case TCP_CONGESTION:
        return get_congestion(s, val, len);
    case TCP_DEFER_ACCEPT:
        return put_int(val, len, s->rare_opt->defer_accept);
    case TCP_FASTOPEN:
        return put_int(val, len, s->rare_opt->fastopen);
    case TCP_FASTOPEN_CONNECT:
        return put_int(val, len, s->rare_opt->fastopen_connect);
    case TCP_FASTOPEN_NO_COOKIE:
        return put_int(val, len, s->rare_opt->fastopen_no_cookie);
    case TCP_FASTOPEN_KEY:
        return put(val, len, s->rare_opt->fastopen_key, s->rare_opt->n_fastopen_keys * (uint32_t)SVM_FASTOPEN_KEY);
    case TCP_THIN_DUPACK:
        return put_int(val, len, 0);
    case TCP_LINGER2:
        return put_int(val, len, s->rare_opt->linger2);
    case TCP_ULP:
        *len = 0;
        return 0;
    case VCL_TCP_AO_INFO:
    case VCL_TCP_AO_GET_KEYS:
        return vcl_tcp_ao_get(s, name, val, len);
    default:
        return -ENOPROTOOPT;
    }
}

static int get_mtu(struct vcl_socket *s, bool is_v6, void *val, socklen_t *len)
{
    int mtu = vcl_path_mtu(s, is_v6);

    return mtu < 0 ? mtu : put_int(val, len, mtu);
}

/* ipv6(7): the same with room for an address, which Linux leaves empty. */
static int get_mtuinfo(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct ip6_mtuinfo info = { .ip6m_mtu = 0 };
    int mtu = *len < sizeof(info) ? -EINVAL : vcl_path_mtu(s, !ip_addr_is_v4(&s->rmt.ip));

    if (mtu < 0)
        return mtu;
    info.ip6m_mtu = (uint32_t)mtu;
    return put(val, len, &info, sizeof(info));
}

int vcl_getsockopt(struct vcl_socket *s, int level, int name, void *val, socklen_t *len)
{
    const struct opt_row *r;

    if (!len || (!val && *len))
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    vcl_options_follow(s);
    if (!level_is_known(s, level)) /* which of the two it is, Linux tells by the family */
        return s->is_v6 ? -ENOPROTOOPT : -EOPNOTSUPP;
    if (level == IPPROTO_SCTP)
        return vcl_sctp_get(s, name, val, len);
    if (vcl_msg_opt_get(s, level, name, val, len) == 0)
        return 0;
    int rc = vcl_device_get(s, level, name, val, len);
    if (rc > 0)
        rc = vcl_mcast_get(s, level, name, val, len);
    if (rc <= 0)
        return rc;
    r = row_of(s, level, name);
    if (r)
        return level == IPPROTO_IP ? put_ip_int(val, len, row_get(s, r)) : put_int(val, len, row_get(s, r));
    switch (level) {
    case SOL_SOCKET:
        return get_socket_level(s, name, val, len);
    case IPPROTO_TCP:
        return get_tcp_level(s, name, val, len);
    case IPPROTO_IP:
        if (name == IP_MTU_DISCOVER)
            return put_ip_int(val, len, s->rare_opt->mtu_discover);
        if (name == IP_MULTICAST_IF && s->is_dgram) {
            struct in_addr out = vcl_mcast_out(s);
            return put(val, len, &out, sizeof(out));
        }
        if (name == IP_OPTIONS) { /* what a peer sends of them is not kept */
            *len = 0;
            return 0;
        }
        return name == IP_MTU ? get_mtu(s, false, val, len) : -ENOPROTOOPT;
    case IPPROTO_IPV6:
        if (name == IPV6_MTU_DISCOVER)
            return put_int(val, len, s->rare_opt->mtu_discover);
        if (name == IPV6_PATHMTU)
            return get_mtuinfo(s, val, len);
        return name == IPV6_MTU ? get_mtu(s, true, val, len) : -ENOPROTOOPT;
    default:
        return -ENOPROTOOPT;
    }
}
