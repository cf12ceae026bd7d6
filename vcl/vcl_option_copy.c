/* vcl_option_copy.c - the options of a socket, one by one, for another process that has it by exec, SCM_RIGHTS or fork (vcl_option_share.c)
 *
 * To Linux they belong to the open file, whoever has it. What comes is another process's word: each value is looked at as if the program had
 * set it, before anything is taken. The server knows its share of them already. Not here, as they are more than a value: memberships, keys of
 * TCP's peers, certificates. */
#include <netinet/ip.h>
#include <string.h>
#include "vcl/vcl_option_copy.h"

enum { COPY_VERSION = 1, IN_RARE = 0x8000, IN_SOCKET = 0x4000, AT = 0x3fff };

struct option {
    uint16_t at;        /* in struct vcl_opts, or vcl_rare_opts, or vcl_socket */
    uint8_t size;       /* 1; 4 and 8, with a sign */
    uint8_t how;        /* enum vcl_option_how */
    int64_t lo, hi;     /* as stored, when no setsockopt() has failed */
};

#define OPT_HOW(field, lo, hi, how) { offsetof(struct vcl_opts, field), sizeof(((struct vcl_opts *)NULL)->field), how, lo, hi }
#define RARE_HOW(field, lo, hi, how) \
    { IN_RARE | offsetof(struct vcl_rare_opts, field), sizeof(((struct vcl_rare_opts *)NULL)->field), how, lo, hi }
#define OPT(field, lo, hi) OPT_HOW(field, lo, hi, VCL_OPTION_PLAIN)
#define RARE(field, lo, hi) RARE_HOW(field, lo, hi, VCL_OPTION_PLAIN)
#define OPT_FLAG(field) OPT(field, 0, 1)
#define RARE_FLAG(field) RARE(field, 0, 1)
#define OPT_INT(field) OPT(field, INT32_MIN, INT32_MAX)
#define RARE_INT(field) RARE(field, INT32_MIN, INT32_MAX)
/* Bytes, eight at a time. */
#define RARE_BYTES(field, n) { IN_RARE | (offsetof(struct vcl_rare_opts, field) + 8 * (n)), 8, VCL_OPTION_PLAIN, INT64_MIN, INT64_MAX }

static const struct option options[] = {
    { IN_SOCKET | offsetof(struct vcl_socket, nonblock), sizeof(((struct vcl_socket *)NULL)->nonblock), VCL_OPTION_NONBLOCK, 0, 1 },
    OPT(rcvbuf, 0, INT32_MAX), OPT_HOW(sndbuf, 0, INT32_MAX, VCL_OPTION_TX), OPT(rcvlowat, 1, INT32_MAX),
    OPT(keepidle, 1, 32767), OPT(keepintvl, 1, 32767), OPT(keepcnt, 1, 127),
    OPT(rcv_timeout_ns, 0, INT64_MAX), OPT(snd_timeout_ns, 0, INT64_MAX),
    OPT_FLAG(linger.l_onoff), OPT_INT(linger.l_linger),
    OPT_FLAG(reuseaddr), OPT_FLAG(reuseport), OPT_FLAG(v6only), OPT_FLAG(nodelay), OPT_FLAG(keepalive), OPT_FLAG(cork), OPT_FLAG(quickack),
    OPT_FLAG(oobinline), OPT_HOW(changed, INT64_MIN, INT64_MAX, VCL_OPTION_ADDED),
    RARE(mss, 0, 32767), RARE(user_timeout_ms, 0, INT32_MAX), RARE(tos, 0, 255), RARE(ttl, 1, 255), RARE(linger2, -1, 120),
    RARE_INT(priority), RARE(defer_accept, 0, INT32_MAX), RARE(fastopen, 0, 4096), RARE_FLAG(fastopen_connect),
    RARE_FLAG(fastopen_no_cookie), RARE(n_fastopen_keys, 0, 2),
    RARE_BYTES(fastopen_key, 0), RARE_BYTES(fastopen_key, 1), RARE_BYTES(fastopen_key, 2), RARE_BYTES(fastopen_key, 3),
    RARE(gso, 0, UINT16_MAX), RARE(tclass, 0, 255), RARE(hops, 0, 255), RARE(mtu_discover, IP_PMTUDISC_DONT, IP_PMTUDISC_OMIT),
    RARE(mcast_ttl, 0, 255), RARE(mcast_hops, 0, 255), RARE(busy_poll, 0, INT32_MAX), RARE_INT(incoming_cpu),
    RARE_INT(notsent_lowat), RARE(thin, 0, 1), RARE_BYTES(congestion, 0), RARE_BYTES(congestion, 1),
    RARE(max_pacing, INT64_MIN, INT64_MAX), RARE(inq, 0, 1), RARE(syn_count, 1, 127), RARE(min_ttl, 0, 255), RARE(min_hops, 0, 255),
    RARE(zerocopy, 0, 1), RARE_HOW(stamping, 0, INT32_MAX, VCL_OPTION_STAMP), RARE_HOW(stamp, 0, 1, VCL_OPTION_STAMP),
    RARE_FLAG(stamp_ns), RARE_FLAG(stamp_new),
    RARE_FLAG(broadcast), RARE_FLAG(pktinfo), RARE_FLAG(pktinfo6), RARE_FLAG(mcast_loop), RARE_FLAG(mcast_loop6), RARE_FLAG(mcast_all),
    RARE_FLAG(mcast_all6), RARE_FLAG(recvttl), RARE_FLAG(recvtos), RARE_FLAG(recvhops), RARE_FLAG(recvtclass), RARE_FLAG(recverr),
    RARE_FLAG(recverr6), RARE_FLAG(gro), RARE_FLAG(rxq_ovfl), RARE_FLAG(no_check), RARE_FLAG(no_check6_tx), RARE_FLAG(no_check6_rx),
    RARE_FLAG(recvorig),
    RARE_FLAG(recvorig6), RARE_FLAG(dontfrag), RARE_FLAG(select_err), RARE_FLAG(debug), RARE_FLAG(prefer_busy_poll), RARE_FLAG(late_port),
    RARE_FLAG(freebind), RARE_FLAG(transparent),
    RARE_HOW(peek_off, -1, INT32_MAX, VCL_OPTION_PEEK), RARE_INT(device), RARE_INT(unicast_if), RARE_INT(unicast_if6),
    RARE_HOW(peer_if, INT32_MIN, INT32_MAX, VCL_OPTION_OWN),
    RARE_BYTES(device_name, 0), RARE_BYTES(device_name, 1),
};
static_assert(sizeof(((struct vcl_rare_opts *)NULL)->fastopen_key) == 32 && sizeof(((struct vcl_rare_opts *)NULL)->congestion) == 16 &&
              VCL_DEVICE_NAME == 16, "as many pieces as there are above");
static_assert(2 * sizeof(uint32_t) + 1 + sizeof(struct vcl_opts) + sizeof(struct vcl_rare_opts) <= VCL_OPTION_COPY_MAX, "the values fit");

static int64_t value_at(const uint8_t *at, uint8_t size)
{
    int32_t v32;
    int64_t v;

    if (size == 1)
        return *at;
    if (size == sizeof(v32)) {
        memcpy(&v32, at, sizeof(v32));
        return v32;
    }
    memcpy(&v, at, sizeof(v));
    return v;
}

static const uint8_t *bytes_of(const struct vcl_socket *s, const struct option *o)
{
    const void *in = o->at & IN_RARE ? (const void *)s->rare_opt : o->at & IN_SOCKET ? (const void *)s : &s->opt;

    return (const uint8_t *)in + (o->at & AT);
}

/* 0 or -ENOMEM */
static int take(struct vcl_socket *s, const struct option *o, const uint8_t *value)
{
    void *in = o->at & IN_RARE ? (void *)vcl_options_rare(s) : o->at & IN_SOCKET ? (void *)s : &s->opt;

    if (!in)
        return -ENOMEM;
    memcpy((uint8_t *)in + (o->at & AT), value, o->size);
    return 0;
}

uint32_t vcl_options_export(const struct vcl_socket *s, uint8_t out[VCL_OPTION_COPY_MAX])
{
    uint32_t len = 2 * sizeof(uint32_t), version = COPY_VERSION;

    for (unsigned i = 0; i < HS_ARRAY_LEN(options); i++) {
        memcpy(out + len, bytes_of(s, &options[i]), options[i].size);
        len += options[i].size;
    }
    memcpy(out, &version, sizeof(version));
    memcpy(out + sizeof(version), &len, sizeof(len));
    return len;
}

unsigned vcl_option_count(void) { return HS_ARRAY_LEN(options); }
uint8_t vcl_option_how(unsigned i) { return options[i].how; }
int64_t vcl_option_value(const struct vcl_socket *s, unsigned i) { return value_at(bytes_of(s, &options[i]), options[i].size); }

int vcl_option_take(struct vcl_socket *s, unsigned i, int64_t v)
{
    uint8_t bytes[8];

    if (v == vcl_option_value(s, i))
        return 0;
    if (v < options[i].lo || v > options[i].hi)
        return -EPROTO;
    memcpy(bytes, &v, sizeof(bytes)); /* the low ones come first, as common/types.h makes sure */
    return take(s, &options[i], bytes) ? -ENOMEM : 1;
}

/* Strings have an end. */
void vcl_options_settle(struct vcl_socket *s)
{
    const struct vcl_rare_opts *now = s->rare_opt;
    struct vcl_rare_opts *o;

    if (!now->congestion[sizeof(now->congestion) - 1] && !now->device_name[sizeof(now->device_name) - 1])
        return;
    o = vcl_options_rare(s); /* not NULL: they are not the defaults */
    o->congestion[sizeof(o->congestion) - 1] = o->device_name[sizeof(o->device_name) - 1] = '\0';
}

int vcl_options_import(struct vcl_socket *s, const uint8_t *in, uint32_t len)
{
    uint32_t head[2], at = sizeof(head);

    if (len < sizeof(head))
        return -EPROTO;
    memcpy(head, in, sizeof(head));
    if (head[0] != COPY_VERSION || head[1] > len)
        return -EPROTO;
    for (unsigned i = 0; i < HS_ARRAY_LEN(options); at += options[i++].size) {
        int64_t v;

        if (at + options[i].size > head[1])
            return -EPROTO;
        v = value_at(in + at, options[i].size);
        if (v < options[i].lo || v > options[i].hi)
            return -EPROTO;
    }
    if (at != head[1])
        return -EPROTO;
    at = sizeof(head);
    for (unsigned i = 0; i < HS_ARRAY_LEN(options); at += options[i++].size) {
        if (memcmp(in + at, bytes_of(s, &options[i]), options[i].size) == 0)
            continue;
        if (take(s, &options[i], in + at))
            return -ENOMEM;
    }
    vcl_options_settle(s);
    s->peeks_on = s->rare_opt->peek_off >= 0;
    return (int)at;
}
