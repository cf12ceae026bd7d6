/* vcl_sctp_prefs.c - options that are kept on this side alone: what the program wants to be shown, and defaults of what it sends */
#include "vcl/vcl_sctp_options.h"

enum { MAX_STREAMS = 65535, RTO_MAX_MS = 60000, INIT_ATTEMPTS = 8 };

void vcl_sctp_opts_init(struct vcl_sctp_opts *o)
{
    *o = (struct vcl_sctp_opts){ .events = 0 };
    o->init = (struct sctp_initmsg){ .sinit_num_ostreams = 10, .sinit_max_instreams = MAX_STREAMS, .sinit_max_attempts = INIT_ATTEMPTS,
                                     .sinit_max_init_timeo = RTO_MAX_MS };
}

unsigned vcl_sctp_wants(const struct vcl_socket *s)
{
    const struct vcl_sctp_opts *o = &s->sctp->o;

    return (o->events & 1 ? VCL_SCTP_SNDRCV : 0) | (o->rcvinfo ? VCL_SCTP_RCVINFO : 0) | (o->nxtinfo ? VCL_SCTP_NXTINFO : 0) |
           (o->plain_v4 ? VCL_SCTP_PLAIN_V4 : 0);
}

/* ---- notifications ---- */
int vcl_sctp_set_events(struct vcl_socket *s, const void *val, socklen_t len)
{
    const uint8_t *on = val;
    uint32_t events = 0;

    if (len > sizeof(struct sctp_event_subscribe))
        return -EINVAL;
    for (unsigned i = 0; i < len; i++)
        events |= on[i] ? 1u << i : 0;
    return vcl_sctp_subscribe(s, events, (1u << len) - 1);
}

int vcl_sctp_get_events(struct vcl_socket *s, void *val, socklen_t *len)
{
    uint8_t on[sizeof(struct sctp_event_subscribe)];

    for (unsigned i = 0; i < sizeof(on); i++)
        on[i] = s->sctp->o.events >> i & 1;
    if (*len == 0)
        return -EINVAL;
    *len = (socklen_t)hs_min_u32(*len, sizeof(on));
    memcpy(val, on, *len);
    return 0;
}

static int event_bit(uint16_t type, uint32_t *bit)
{
    if (type < SCTP_SN_TYPE_BASE || type > SCTP_SN_TYPE_MAX)
        return -EINVAL;
    *bit = 1u << (type - SCTP_SN_TYPE_BASE);
    return 0;
}

int vcl_sctp_set_event(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_event e;
    uint32_t bit = 0;
    int rc;

    (void)len;
    memcpy(&e, val, sizeof(e));
    rc = event_bit(e.se_type, &bit);
    return rc ? rc : vcl_sctp_subscribe(s, e.se_on ? bit : 0, bit);
}

int vcl_sctp_get_event(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_event e;
    uint32_t bit = 0;
    int rc;

    memcpy(&e, val, sizeof(e));
    rc = event_bit(e.se_type, &bit);
    if (rc)
        return rc;
    e.se_on = (s->sctp->o.events & bit) != 0;
    return vcl_sctp_put(val, len, &e, sizeof(e));
}

/* ---- what is sent ---- */

/* Flags that a default may have (Linux). */
enum { DEFAULT_FLAGS = SCTP_UNORDERED | SCTP_ADDR_OVER | SCTP_ABORT | SCTP_EOF };

int vcl_sctp_set_sndinfo(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_sndinfo i;

    (void)len;
    memcpy(&i, val, sizeof(i));
    if (i.snd_flags & ~DEFAULT_FLAGS)
        return -EINVAL;
    s->sctp->o.snd = i;
    return 0;
}

int vcl_sctp_get_sndinfo(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_sndinfo i = s->sctp->o.snd;

    i.snd_assoc_id = 0;
    return vcl_sctp_put(val, len, &i, sizeof(i));
}

int vcl_sctp_set_send_param(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_sndrcvinfo i;

    (void)len;
    memcpy(&i, val, sizeof(i));
    if (i.sinfo_flags & ~DEFAULT_FLAGS)
        return -EINVAL;
    s->sctp->o.snd = (struct sctp_sndinfo){ .snd_sid = i.sinfo_stream, .snd_flags = i.sinfo_flags, .snd_ppid = i.sinfo_ppid,
                                            .snd_context = i.sinfo_context };
    s->sctp->o.pr_policy = i.sinfo_timetolive ? SCTP_PR_SCTP_TTL : SCTP_PR_SCTP_NONE;
    s->sctp->o.pr_value = i.sinfo_timetolive;
    return 0;
}

int vcl_sctp_get_send_param(struct vcl_socket *s, void *val, socklen_t *len)
{
    const struct vcl_sctp_opts *o = &s->sctp->o;
    struct sctp_sndrcvinfo i = { .sinfo_stream = o->snd.snd_sid, .sinfo_flags = o->snd.snd_flags, .sinfo_ppid = o->snd.snd_ppid,
                                 .sinfo_context = o->snd.snd_context,
                                 .sinfo_timetolive = o->pr_policy == SCTP_PR_SCTP_TTL ? o->pr_value : 0 };

    return vcl_sctp_put(val, len, &i, sizeof(i));
}

int vcl_sctp_set_prinfo(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_default_prinfo i;

    (void)len;
    memcpy(&i, val, sizeof(i));
    if (i.pr_policy & ~SCTP_PR_SCTP_MASK)
        return -EINVAL;
    s->sctp->o.pr_policy = i.pr_policy;
    s->sctp->o.pr_value = i.pr_policy == SCTP_PR_SCTP_NONE ? 0 : i.pr_value;
    return 0;
}

int vcl_sctp_get_prinfo(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_default_prinfo i = { .pr_policy = s->sctp->o.pr_policy, .pr_value = s->sctp->o.pr_value };

    return vcl_sctp_put(val, len, &i, sizeof(i));
}

int vcl_sctp_set_context(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_assoc_value v;

    (void)len;
    memcpy(&v, val, sizeof(v));
    s->sctp->o.context = v.assoc_value;
    return 0;
}

int vcl_sctp_get_context(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_assoc_value v = { .assoc_value = s->sctp->o.context };

    return vcl_sctp_put(val, len, &v, sizeof(v));
}

/* RFC 6458 s8.1.15: how an IPv6 socket shows IPv4 addresses. */
int vcl_sctp_set_mapped(struct vcl_socket *s, const void *val, socklen_t len)
{
    int32_t v;

    (void)len;
    memcpy(&v, val, sizeof(v));
    s->sctp->o.plain_v4 = v == 0;
    return 0;
}

int vcl_sctp_get_mapped(struct vcl_socket *s, void *val, socklen_t *len)
{
    int32_t v = !s->sctp->o.plain_v4;

    return vcl_sctp_put(val, len, &v, sizeof(v));
}

/* RFC 6458 s8.1.20: messages are not interleaved. Level 1 lets other associations come between the parts of a message, and need not. */
int vcl_sctp_set_interleave(struct vcl_socket *s, const void *val, socklen_t len)
{
    int32_t v;

    (void)len;
    memcpy(&v, val, sizeof(v));
    s->sctp->o.interleave = v != 0; /* as Linux: 2 is 1 */
    return 0;
}

int vcl_sctp_get_interleave(struct vcl_socket *s, void *val, socklen_t *len)
{
    int32_t v = s->sctp->o.interleave;

    return vcl_sctp_put(val, len, &v, sizeof(v));
}

/* ---- which associations there are: RFC 6458 s8.2.5, s8.2.6 ---- */
static uint32_t assoc_ids(struct vcl_socket *s, sctp_assoc_t *ids, uint32_t room)
{
    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_ids(s, ids, room);
    if (vcl_state(s) != VCL_CONNECTED)
        return 0;
    if (room)
        ids[0] = (sctp_assoc_t)s->sctp->assoc_id;
    return 1;
}

int vcl_sctp_get_number(struct vcl_socket *s, void *val, socklen_t *len)
{
    uint32_t n = assoc_ids(s, NULL, 0);

    return vcl_sctp_put(val, len, &n, sizeof(n));
}

int vcl_sctp_get_ids(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_assoc_ids *out = val;
    uint32_t room = (*len - (uint32_t)sizeof(*out)) / (uint32_t)sizeof(sctp_assoc_t), n;

    n = assoc_ids(s, out->gaids_assoc_id, room);
    if (n > room)
        return -EINVAL;
    out->gaids_number_of_ids = n;
    *len = (socklen_t)(sizeof(*out) + n * sizeof(sctp_assoc_t));
    return 0;
}

/* ---- what is shown beside messages ---- */
static int set_flag(bool *flag, const void *val)
{
    int32_t v;

    memcpy(&v, val, sizeof(v));
    *flag = v != 0;
    return 0;
}
static int get_flag(bool flag, void *val, socklen_t *len)
{
    int32_t v = flag;

    return vcl_sctp_put(val, len, &v, sizeof(v));
}
int vcl_sctp_set_rcvinfo(struct vcl_socket *s, const void *val, socklen_t len) { (void)len; return set_flag(&s->sctp->o.rcvinfo, val); }
int vcl_sctp_set_nxtinfo(struct vcl_socket *s, const void *val, socklen_t len) { (void)len; return set_flag(&s->sctp->o.nxtinfo, val); }
int vcl_sctp_get_rcvinfo(struct vcl_socket *s, void *val, socklen_t *len) { return get_flag(s->sctp->o.rcvinfo, val, len); }
int vcl_sctp_get_nxtinfo(struct vcl_socket *s, void *val, socklen_t *len) { return get_flag(s->sctp->o.nxtinfo, val, len); }

/* ---- what cut-through associations must know of the server's options ---- */

/* The server has taken what was set: what is so now, since 0 leaves a field as it was. */
int vcl_sctp_set_initmsg(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_initmsg now;
    socklen_t n = sizeof(now);
    int rc;

    (void)len;
    memcpy(&now, val, sizeof(now));
    rc = vcl_sctp_ask_get(s, SCTP_INITMSG, &now, &n);
    if (rc == 0)
        s->sctp->o.init = now;
    return rc;
}

int vcl_sctp_set_adaptation(struct vcl_socket *s, const void *val, socklen_t len)
{
    (void)len;
    memcpy(&s->sctp->o.adaptation, val, sizeof(s->sctp->o.adaptation));
    s->sctp->o.has_adaptation = true;
    return 0;
}

/* SCTP_REUSE_PORT: RFC 6458 s8.1.27, of one-to-one sockets alone, before bind (Linux). */
int vcl_sctp_set_reuse(struct vcl_socket *s, const void *val, socklen_t len)
{
    (void)len;
    if (vcl_sctp_is_many(s))
        return -EOPNOTSUPP;
    return vcl_state(s) != VCL_NEW || s->has_lcl ? -EFAULT : set_flag(&s->opt.reuseport, val);
}
int vcl_sctp_get_reuse(struct vcl_socket *s, void *val, socklen_t *len) { return get_flag(s->opt.reuseport, val, len); }
