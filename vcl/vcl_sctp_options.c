/* vcl_sctp_options.c - SOL_SCTP: what acts on this side is kept here, what acts in the stack is asked of the server in parts
 * (svm_sctp.h), or kept until there is a session. Cut-through there are no packets that timers and paths could concern: what is set is
 * kept and told. */
#include <netinet/in.h>
#include <stdlib.h>
#include "vcl/vcl_sctp_internal.h"

enum { MAX_STREAMS = 65535, RTO_MAX_MS = 60000, INIT_ATTEMPTS = 8, LOCAL_FRAGMENT = SVM_SCTP_RECORD_MAX };

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

/* ---- kept for the server ---- */
struct vcl_sctp_kept {
    struct vcl_sctp_kept *next;
    int name;
    uint32_t len;
    uint8_t bytes[];
};

static bool is_there(const struct vcl_socket *s)
{
    return !s->local && !vcl_handle_is_none(s->handle);
}

static struct vcl_sctp_kept *kept_find(const struct vcl_sctp *c, int name)
{
    struct vcl_sctp_kept *k = c->kept;

    while (k && k->name != name)
        k = k->next;
    return k;
}

/* In the order in which they were set; options that add to each other (`adds`) do not replace an earlier one. */
static int keep(struct vcl_sctp *c, int name, const void *val, uint32_t len, bool adds)
{
    struct vcl_sctp_kept **at = &c->kept, *k = calloc(1, sizeof(*k) + len);

    if (!k)
        return -ENOMEM;
    k->name = name;
    k->len = len;
    memcpy(k->bytes, val, len);
    while (*at && (adds || (*at)->name != name))
        at = &(*at)->next;
    if (*at) {
        k->next = (*at)->next;
        free(*at);
    }
    *at = k;
    return 0;
}

void vcl_sctp_kept_free(struct vcl_sctp *c)
{
    while (c->kept) {
        struct vcl_sctp_kept *k = c->kept;

        c->kept = k->next;
        free(k);
    }
}

void vcl_sctp_kept_copy(struct vcl_sctp *c, const struct vcl_sctp *from)
{
    for (const struct vcl_sctp_kept *k = from->kept; k; k = k->next)
        if (keep(c, k->name, k->bytes, k->len, true) != 0)
            return; /* read as the defaults: the session itself has them from the server */
}

bool vcl_sctp_has_kept(const struct vcl_socket *s) { return s->sctp && s->sctp->kept; }

/* ---- the server's ---- */
static int ask_part(struct vcl_socket *s, uint8_t type, int name, const void *val, uint32_t total, uint32_t at, struct svm_sctp_opt_part *out)
{
    struct svm_sctp_opt_part p = { .opt = (uint16_t)name, .total = (uint16_t)total, .offset = (uint16_t)at };
    int rc;

    if (val) {
        p.len = (uint16_t)hs_min_u32(total - at, sizeof(p.bytes));
        memcpy(p.bytes, (const uint8_t *)val + at, p.len);
    }
    rc = vcl_attr_request(s, type, SVM_ATTR_SCTP, &p, sizeof(p));
    if (rc == 0 && out) {
        if (s->attr_len < offsetof(struct svm_sctp_opt_part, bytes))
            return -EPROTO;
        memset(out, 0, sizeof(*out));
        memcpy(out, s->attr_bytes, hs_min_u32(s->attr_len, sizeof(*out)));
    }
    return rc;
}

static int send_parts(struct vcl_socket *s, int name, const void *val, uint32_t len)
{
    uint32_t at = 0;
    int rc;

    do {
        rc = ask_part(s, SVM_MSG_ATTR_SET, name, val, len, at, NULL);
        at += sizeof(((struct svm_sctp_opt_part *)0)->bytes);
    } while (rc == 0 && at < len);
    return rc;
}

int vcl_sctp_server_set(struct vcl_socket *s, int name, const void *val, uint32_t len)
{
    int rc;

    if (len > SVM_SCTP_OPT_MAX)
        return -EINVAL;
    pthread_mutex_lock(&s->sctp->ask_lock);
    rc = send_parts(s, name, val, len);
    pthread_mutex_unlock(&s->sctp->ask_lock);
    return rc;
}

/* val: the argument, then the value; *len its room, then its length. */
static int server_get(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    uint32_t room = hs_min_u32(*len, SVM_SCTP_OPT_MAX), total = room, at = 0;
    struct svm_sctp_opt_part p;
    int rc;

    pthread_mutex_lock(&s->sctp->ask_lock);
    rc = send_parts(s, name | SVM_SCTP_OPT_INPUT, val, room);
    while (rc == 0 && at < total) {
        rc = ask_part(s, SVM_MSG_ATTR_GET, name, NULL, room, at, &p);
        if (rc || p.len == 0 || p.len > sizeof(p.bytes) || p.total > room || at + p.len > p.total) {
            rc = rc ? rc : p.total == 0 ? 0 : -EPROTO;
            total = 0;
            break;
        }
        memcpy((uint8_t *)val + at, p.bytes, p.len);
        at += p.len;
        total = p.total;
    }
    pthread_mutex_unlock(&s->sctp->ask_lock);
    if (rc == 0)
        *len = total;
    return rc;
}

/* What was taken before there was a session is of the kinds that the server knows; one that it refuses all the same is said, not
 * hidden: the call that set it has long returned. */
void vcl_sctp_push(struct vcl_socket *s)
{
    for (const struct vcl_sctp_kept *k = s->sctp->kept; k; k = k->next) {
        int rc = vcl_sctp_server_set(s, k->name, k->bytes, k->len);

        if (rc)
            vcl_log(0, "SCTP option %d, set before bind, is refused by the server: %s", k->name, strerror(-rc));
    }
}

/* ---- of this side ---- */
static int put(void *val, socklen_t *len, const void *from, size_t n)
{
    if (*len < n)
        return -EINVAL;
    *len = (socklen_t)n;
    memcpy(val, from, n);
    return 0;
}

static int set_events(struct vcl_socket *s, const void *val, socklen_t len)
{
    const uint8_t *on = val;
    uint32_t events = 0;

    if (len > sizeof(struct sctp_event_subscribe))
        return -EINVAL;
    for (unsigned i = 0; i < len; i++)
        events |= on[i] ? 1u << i : 0;
    vcl_sctp_subscribe(s, events, (1u << len) - 1);
    return 0;
}

static int get_events(struct vcl_socket *s, void *val, socklen_t *len)
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

static int set_event(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_event e;
    uint32_t bit = 0;
    int rc;

    (void)len;
    memcpy(&e, val, sizeof(e));
    rc = event_bit(e.se_type, &bit);
    if (rc == 0)
        vcl_sctp_subscribe(s, e.se_on ? bit : 0, bit);
    return rc;
}

static int get_event(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_event e;
    uint32_t bit = 0;
    int rc;

    memcpy(&e, val, sizeof(e));
    rc = event_bit(e.se_type, &bit);
    if (rc)
        return rc;
    e.se_on = (s->sctp->o.events & bit) != 0;
    return put(val, len, &e, sizeof(e));
}

/* Flags that a default may have (Linux). */
enum { DEFAULT_FLAGS = SCTP_UNORDERED | SCTP_ADDR_OVER | SCTP_ABORT | SCTP_EOF };

static int set_sndinfo(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_sndinfo i;

    (void)len;
    memcpy(&i, val, sizeof(i));
    if (i.snd_flags & ~DEFAULT_FLAGS)
        return -EINVAL;
    s->sctp->o.snd = i;
    return 0;
}

static int get_sndinfo(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_sndinfo i = s->sctp->o.snd;

    i.snd_assoc_id = 0;
    return put(val, len, &i, sizeof(i));
}

static int set_send_param(struct vcl_socket *s, const void *val, socklen_t len)
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

static int get_send_param(struct vcl_socket *s, void *val, socklen_t *len)
{
    const struct vcl_sctp_opts *o = &s->sctp->o;
    struct sctp_sndrcvinfo i = { .sinfo_stream = o->snd.snd_sid, .sinfo_flags = o->snd.snd_flags, .sinfo_ppid = o->snd.snd_ppid,
                                 .sinfo_context = o->snd.snd_context,
                                 .sinfo_timetolive = o->pr_policy == SCTP_PR_SCTP_TTL ? o->pr_value : 0 };

    return put(val, len, &i, sizeof(i));
}

static int set_prinfo(struct vcl_socket *s, const void *val, socklen_t len)
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

static int get_prinfo(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_default_prinfo i = { .pr_policy = s->sctp->o.pr_policy, .pr_value = s->sctp->o.pr_value };

    return put(val, len, &i, sizeof(i));
}

static int set_context(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct sctp_assoc_value v;

    (void)len;
    memcpy(&v, val, sizeof(v));
    s->sctp->o.context = v.assoc_value;
    return 0;
}

static int get_context(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_assoc_value v = { .assoc_value = s->sctp->o.context };

    return put(val, len, &v, sizeof(v));
}

/* RFC 6458 s8.1.8: of one-to-many sockets alone. */
static int set_autoclose(struct vcl_socket *s, const void *val, socklen_t len)
{
    uint32_t seconds;

    (void)len;
    if (!vcl_sctp_is_many(s))
        return -EOPNOTSUPP;
    memcpy(&seconds, val, sizeof(seconds));
    return seconds ? -ENOPROTOOPT : 0; /* the library has no timers */
}

static int get_autoclose(struct vcl_socket *s, void *val, socklen_t *len)
{
    uint32_t never = 0;

    return vcl_sctp_is_many(s) ? put(val, len, &never, sizeof(never)) : -EOPNOTSUPP;
}

/* RFC 6458 s8.1.15: how an IPv6 socket shows IPv4 addresses. */
static int set_mapped(struct vcl_socket *s, const void *val, socklen_t len)
{
    int32_t v;

    (void)len;
    memcpy(&v, val, sizeof(v));
    s->sctp->o.plain_v4 = v == 0;
    return 0;
}

static int get_mapped(struct vcl_socket *s, void *val, socklen_t *len)
{
    int32_t v = !s->sctp->o.plain_v4;

    return put(val, len, &v, sizeof(v));
}

/* RFC 6458 s8.1.20: messages are not interleaved. Level 1 lets other associations come between the parts of a message, and need not. */
static int set_interleave(struct vcl_socket *s, const void *val, socklen_t len)
{
    int32_t v;

    (void)len;
    memcpy(&v, val, sizeof(v));
    s->sctp->o.interleave = v != 0; /* as Linux: 2 is 1 */
    return 0;
}

static int get_interleave(struct vcl_socket *s, void *val, socklen_t *len)
{
    int32_t v = s->sctp->o.interleave;

    return put(val, len, &v, sizeof(v));
}

/* RFC 6458 s8.2.5, s8.2.6 */
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

static int get_number(struct vcl_socket *s, void *val, socklen_t *len)
{
    uint32_t n = assoc_ids(s, NULL, 0);

    return put(val, len, &n, sizeof(n));
}

static int get_ids(struct vcl_socket *s, void *val, socklen_t *len)
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

/* ---- the server's, or kept ---- */
static int check_initmsg(struct vcl_socket *s, const void *val, void *now)
{
    struct sctp_initmsg set, *o = now;

    memcpy(&set, val, sizeof(set));
    if (set.sinit_num_ostreams)
        o->sinit_num_ostreams = set.sinit_num_ostreams;
    if (set.sinit_max_instreams)
        o->sinit_max_instreams = set.sinit_max_instreams;
    if (set.sinit_max_attempts)
        o->sinit_max_attempts = set.sinit_max_attempts;
    if (set.sinit_max_init_timeo)
        o->sinit_max_init_timeo = set.sinit_max_init_timeo;
    s->sctp->o.init = *o;
    return 0;
}

static int check_rto(struct vcl_socket *s, const void *val, void *now)
{
    struct sctp_rtoinfo set, *o = now;

    (void)s;
    memcpy(&set, val, sizeof(set));
    o->srto_initial = set.srto_initial ? set.srto_initial : o->srto_initial;
    o->srto_max = set.srto_max ? set.srto_max : o->srto_max;
    o->srto_min = set.srto_min ? set.srto_min : o->srto_min;
    return o->srto_min > o->srto_max ? -EINVAL : 0;
}

static int check_assoc(struct vcl_socket *s, const void *val, void *now)
{
    struct sctp_assocparams set, *o = now;

    (void)s;
    memcpy(&set, val, sizeof(set));
    o->sasoc_asocmaxrxt = set.sasoc_asocmaxrxt ? set.sasoc_asocmaxrxt : o->sasoc_asocmaxrxt;
    o->sasoc_cookie_life = set.sasoc_cookie_life ? set.sasoc_cookie_life : o->sasoc_cookie_life;
    return 0;
}

static int check_sack(struct vcl_socket *s, const void *val, void *now)
{
    struct sctp_sack_info set, *o = now;

    (void)s;
    memcpy(&set, val, sizeof(set));
    if (set.sack_delay > 500) /* RFC 9260 s6.2: MUST NOT be more */
        return -EINVAL;
    o->sack_delay = set.sack_delay ? set.sack_delay : o->sack_delay;
    o->sack_freq = set.sack_freq ? set.sack_freq : o->sack_freq;
    return 0;
}

static int check_bool(struct vcl_socket *s, const void *val, void *now)
{
    int32_t v;

    (void)s;
    memcpy(&v, val, sizeof(v));
    v = v != 0;
    memcpy(now, &v, sizeof(v));
    return 0;
}

static int check_adaptation(struct vcl_socket *s, const void *val, void *now)
{
    memcpy(now, val, sizeof(struct sctp_setadaptation));
    memcpy(&s->sctp->o.adaptation, val, sizeof(s->sctp->o.adaptation));
    s->sctp->o.has_adaptation = true;
    return 0;
}

static const struct sctp_initmsg def_init = { 10, MAX_STREAMS, INIT_ATTEMPTS, RTO_MAX_MS };
static const struct sctp_rtoinfo def_rto = { .srto_initial = 3000, .srto_max = RTO_MAX_MS, .srto_min = 1000 };
static const struct sctp_assocparams def_assoc = { .sasoc_asocmaxrxt = 10, .sasoc_cookie_life = 60000 };
static const struct sctp_sack_info def_sack = { .sack_delay = 200, .sack_freq = 2 };
static const struct sctp_assoc_value def_burst = { .assoc_value = 4 }, def_zero = { 0 };
static const int32_t def_int = 0;

enum { NO_ID = -1 };
struct row {
    int name;
    uint16_t size;                 /* of the value */
    int16_t id_at;                 /* where the association's id stands in it; NO_ID: the option is the socket's */
    bool adds;                     /* what is set comes beside what was set before */
    const void *def;               /* the server's: what it is before anything was set; NULL = of an association only */
    int (*check)(struct vcl_socket *s, const void *val, void *now); /* the server's: changes `now` by what is set; NULL = any value */
    int (*set)(struct vcl_socket *s, const void *val, socklen_t len);  /* of this side */
    int (*get)(struct vcl_socket *s, void *val, socklen_t *len);
};
#define HERE(name, size, id, set, get) { name, size, id, false, NULL, NULL, set, get }
#define SERVER(name, type, id, def, check) { name, sizeof(type), id, false, def, check, NULL, NULL }

static int set_rcvinfo(struct vcl_socket *s, const void *val, socklen_t len);
static int set_nxtinfo(struct vcl_socket *s, const void *val, socklen_t len);
static int get_rcvinfo(struct vcl_socket *s, void *val, socklen_t *len);
static int get_nxtinfo(struct vcl_socket *s, void *val, socklen_t *len);
static int get_status(struct vcl_socket *s, void *val, socklen_t *len);
static int get_peer_info(struct vcl_socket *s, void *val, socklen_t *len);
static int get_peer_addrs(struct vcl_socket *s, void *val, socklen_t *len);
static int get_local_addrs(struct vcl_socket *s, void *val, socklen_t *len);

static const struct row rows[] = {
    HERE(SCTP_EVENTS, 0, NO_ID, set_events, get_events),
    HERE(SCTP_EVENT, sizeof(struct sctp_event), 0, set_event, get_event),
    HERE(SCTP_RECVRCVINFO, sizeof(int32_t), NO_ID, set_rcvinfo, get_rcvinfo),
    HERE(SCTP_RECVNXTINFO, sizeof(int32_t), NO_ID, set_nxtinfo, get_nxtinfo),
    HERE(SCTP_DEFAULT_SNDINFO, sizeof(struct sctp_sndinfo), offsetof(struct sctp_sndinfo, snd_assoc_id), set_sndinfo, get_sndinfo),
    HERE(SCTP_DEFAULT_SEND_PARAM, sizeof(struct sctp_sndrcvinfo), offsetof(struct sctp_sndrcvinfo, sinfo_assoc_id), set_send_param, get_send_param),
    HERE(SCTP_DEFAULT_PRINFO, sizeof(struct sctp_default_prinfo), 0, set_prinfo, get_prinfo),
    HERE(SCTP_CONTEXT, sizeof(struct sctp_assoc_value), 0, set_context, get_context),
    HERE(SCTP_AUTOCLOSE, sizeof(int32_t), NO_ID, set_autoclose, get_autoclose),
    HERE(SCTP_I_WANT_MAPPED_V4_ADDR, sizeof(int32_t), NO_ID, set_mapped, get_mapped),
    HERE(SCTP_FRAGMENT_INTERLEAVE, sizeof(int32_t), NO_ID, set_interleave, get_interleave),
    HERE(SCTP_GET_ASSOC_NUMBER, sizeof(uint32_t), NO_ID, NULL, get_number),
    HERE(SCTP_GET_ASSOC_ID_LIST, sizeof(struct sctp_assoc_ids), NO_ID, NULL, get_ids),
    HERE(SCTP_SOCKOPT_BINDX_ADD, 0, NO_ID, vcl_sctp_bindx_add, NULL),
    HERE(SCTP_SOCKOPT_BINDX_REM, 0, NO_ID, vcl_sctp_bindx_rem, NULL),
    HERE(SCTP_SOCKOPT_CONNECTX, 0, NO_ID, vcl_sctp_connectx, NULL),
    HERE(SCTP_SOCKOPT_CONNECTX3, sizeof(struct sctp_getaddrs_old), NO_ID, NULL, vcl_sctp_connectx3),
    HERE(SCTP_STATUS, sizeof(struct sctp_status), 0, NULL, get_status),
    HERE(SCTP_GET_PEER_ADDR_INFO, sizeof(struct sctp_paddrinfo), 0, NULL, get_peer_info),
    HERE(SCTP_GET_PEER_ADDRS, sizeof(struct sctp_getaddrs), 0, NULL, get_peer_addrs),
    HERE(SCTP_GET_LOCAL_ADDRS, sizeof(struct sctp_getaddrs), 0, NULL, get_local_addrs),
    SERVER(SCTP_NODELAY, int32_t, NO_ID, &def_int, check_bool),
    SERVER(SCTP_INITMSG, struct sctp_initmsg, NO_ID, &def_init, check_initmsg),
    SERVER(SCTP_RTOINFO, struct sctp_rtoinfo, 0, &def_rto, check_rto),
    SERVER(SCTP_ASSOCINFO, struct sctp_assocparams, 0, &def_assoc, check_assoc),
    SERVER(SCTP_DELAYED_SACK, struct sctp_sack_info, 0, &def_sack, check_sack),
    SERVER(SCTP_DISABLE_FRAGMENTS, int32_t, NO_ID, &def_int, check_bool),
    SERVER(SCTP_MAXSEG, struct sctp_assoc_value, 0, &def_zero, NULL),
    SERVER(SCTP_MAX_BURST, struct sctp_assoc_value, 0, &def_burst, NULL),
    SERVER(SCTP_ADAPTATION_LAYER, struct sctp_setadaptation, NO_ID, &def_int, check_adaptation),
};

static const struct row *row_of(int name)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].name == name)
            return &rows[i];
    return NULL;
}

/* Linux takes an int in place of struct sctp_assoc_value (SCTP_MAXSEG, SCTP_MAX_BURST: the older form). */
static bool has_old_form(const struct row *r, socklen_t len)
{
    return (r->name == SCTP_MAXSEG || r->name == SCTP_MAX_BURST) && len == sizeof(int32_t);
}

enum { VALUE_MAX = 256 };

static int set_server(struct vcl_socket *s, const struct row *r, const void *val)
{
    const struct vcl_sctp_kept *k = kept_find(s->sctp, r->name);
    uint8_t now[VALUE_MAX];
    int rc;

    memcpy(now, k ? k->bytes : r->def, r->size);
    if (r->check) {
        rc = r->check(s, val, now);
        if (rc)
            return rc;
    } else {
        memcpy(now, val, r->size);
    }
    rc = is_there(s) ? vcl_sctp_server_set(s, r->name, val, r->size) : 0;
    return rc ? rc : keep(s->sctp, r->name, now, r->size, r->adds);
}

struct setting {
    const struct row *r;
    const void *val;
    socklen_t len;
};

static int set_one(struct vcl_socket *s, void *arg)
{
    const struct setting *g = arg;

    return g->r->set ? g->r->set(s, g->val, g->len) : set_server(s, g->r, g->val);
}

/* Options of the socket that its associations copy, those to come and those that are there. */
static bool is_copied(const struct row *r)
{
    return r->def || r->name == SCTP_EVENTS || r->name == SCTP_RECVRCVINFO || r->name == SCTP_RECVNXTINFO || r->name == SCTP_FRAGMENT_INTERLEAVE;
}

/* Whose option it is: RFC 6458 s8.1: an id, or SCTP_FUTURE_ASSOC, SCTP_CURRENT_ASSOC, SCTP_ALL_ASSOC (s7.2). */
enum { FUTURE = 0, CURRENT = 1, ALL = 2 };

static int set_many(struct vcl_socket *s, struct setting *g)
{
    sctp_assoc_t id = FUTURE;
    struct vcl_socket *a;
    int rc = 0;

    if (g->r->id_at == NO_ID)
        id = is_copied(g->r) ? ALL : FUTURE;
    else
        memcpy(&id, (const uint8_t *)g->val + g->r->id_at, sizeof(id));
    if (id > ALL || id < 0) {
        a = vcl_sctp_assoc(s, (uint32_t)id);
        if (!a)
            return -EINVAL;
        rc = set_one(a, g);
        vcl_socket_put(a);
        return rc;
    }
    if (id != CURRENT)
        rc = set_one(s, g);
    if (id != FUTURE) {
        int each = vcl_sctp_many_each(s, set_one, g);

        rc = rc ? rc : each;
    }
    return rc;
}

int vcl_sctp_set(struct vcl_socket *s, int name, const void *val, socklen_t len)
{
    struct setting g = { row_of(name), val, len };
    struct sctp_assoc_value v = { 0 };

    if (!g.r || (!g.r->def && !g.r->set))
        return -ENOPROTOOPT;
    if (has_old_form(g.r, len)) {
        memcpy(&v.assoc_value, val, sizeof(v.assoc_value));
        g.val = &v;
    } else if (len < g.r->size) {
        return -EINVAL;
    }
    return vcl_sctp_is_many(s) ? set_many(s, &g) : set_one(s, &g);
}

static int get_one(struct vcl_socket *s, const struct row *r, void *val, socklen_t *len)
{
    const struct vcl_sctp_kept *k;

    if (r->get)
        return r->get(s, val, len);
    if (is_there(s)) {
        *len = r->size;
        return server_get(s, r->name, val, len);
    }
    k = kept_find(s->sctp, r->name);
    return put(val, len, k ? k->bytes : r->def, r->size);
}

static int get_by_id(struct vcl_socket *s, const struct row *r, void *val, socklen_t *len)
{
    struct vcl_socket *a = NULL;
    sctp_assoc_t id = FUTURE;
    int rc;

    if (r->id_at != NO_ID)
        memcpy(&id, (uint8_t *)val + r->id_at, sizeof(id));
    if (vcl_sctp_is_many(s) && id != FUTURE) {
        a = vcl_sctp_assoc(s, (uint32_t)id);
        if (!a)
            return -EINVAL;
    }
    rc = get_one(a ? a : s, r, val, len);
    if (rc == 0 && r->id_at != NO_ID && r->name != SCTP_GET_PEER_ADDRS && r->name != SCTP_GET_LOCAL_ADDRS &&
        (size_t)r->id_at + sizeof(id) <= *len) {
        id = a || vcl_state(s) == VCL_CONNECTED ? (sctp_assoc_t)(a ? a : s)->sctp->assoc_id : id;
        memcpy((uint8_t *)val + r->id_at, &id, sizeof(id));
    }
    if (a)
        vcl_socket_put(a);
    return rc;
}

int vcl_sctp_get(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    const struct row *r = row_of(name);
    struct sctp_assoc_value v = { 0 };
    socklen_t v_len = sizeof(v);
    int rc;

    if (!r || (!r->def && !r->get))
        return -ENOPROTOOPT;
    if (has_old_form(r, *len)) {
        rc = get_by_id(s, r, &v, &v_len);
        return rc ? rc : put(val, len, &v.assoc_value, sizeof(v.assoc_value));
    }
    return *len < r->size ? -EINVAL : get_by_id(s, r, val, len);
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

    return put(val, len, &v, sizeof(v));
}
static int set_rcvinfo(struct vcl_socket *s, const void *val, socklen_t len) { (void)len; return set_flag(&s->sctp->o.rcvinfo, val); }
static int set_nxtinfo(struct vcl_socket *s, const void *val, socklen_t len) { (void)len; return set_flag(&s->sctp->o.nxtinfo, val); }
static int get_rcvinfo(struct vcl_socket *s, void *val, socklen_t *len) { return get_flag(s->sctp->o.rcvinfo, val, len); }
static int get_nxtinfo(struct vcl_socket *s, void *val, socklen_t *len) { return get_flag(s->sctp->o.nxtinfo, val, len); }

/* ---- the association ---- */
static bool is_up(const struct vcl_socket *s) { return vcl_state(s) == VCL_CONNECTED; }

static void put_addr(const struct vcl_socket *s, const struct ip_endpoint *e, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    ip_endpoint_to_sockaddr(e, s->is_v6, ss);
}

static void local_peer_info(struct vcl_socket *s, struct sctp_paddrinfo *p)
{
    struct sockaddr_storage ss;

    memset(p, 0, sizeof(*p));
    put_addr(s, &s->rmt, &ss);
    memcpy(&p->spinfo_address, &ss, sizeof(ss));
    p->spinfo_assoc_id = (sctp_assoc_t)s->sctp->assoc_id;
    p->spinfo_state = SCTP_ACTIVE;
    p->spinfo_cwnd = s->tx.max_size;
    p->spinfo_rto = def_rto.srto_min;
    p->spinfo_mtu = LOCAL_FRAGMENT;
}

static int get_status(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_status st;

    if (!is_up(s))
        return -EINVAL;
    if (!s->local) {
        *len = sizeof(st);
        return server_get(s, SCTP_STATUS, val, len);
    }
    memset(&st, 0, sizeof(st));
    st.sstat_assoc_id = (sctp_assoc_t)s->sctp->assoc_id;
    pthread_mutex_lock(&s->lock);
    st.sstat_state = !s->wr_shut ? SCTP_ESTABLISHED : s->sctp->i_shut ? SCTP_SHUTDOWN_SENT : SCTP_SHUTDOWN_RECEIVED;
    st.sstat_rwnd = s->has_fifos ? (uint32_t)svm_fifo_prod_space(&s->tx) : 0;
    st.sstat_instrms = s->sctp->in_streams;
    st.sstat_outstrms = s->sctp->out_streams;
    pthread_mutex_unlock(&s->lock);
    st.sstat_fragmentation_point = LOCAL_FRAGMENT;
    local_peer_info(s, &st.sstat_primary);
    return put(val, len, &st, sizeof(st));
}

static int get_peer_info(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct ip_endpoint asked;
    struct sctp_paddrinfo p;

    if (!is_up(s))
        return -EINVAL;
    if (!s->local) {
        *len = sizeof(p);
        return server_get(s, SCTP_GET_PEER_ADDR_INFO, val, len);
    }
    memcpy(&p, val, sizeof(p));
    if (ip_endpoint_from_sockaddr((struct sockaddr *)(void *)&p.spinfo_address, sizeof(p.spinfo_address), &asked) < 0 ||
        !ip_addr_eq(&asked.ip, &s->rmt.ip) || asked.port.raw != s->rmt.port.raw)
        return -EINVAL;
    local_peer_info(s, &p);
    return put(val, len, &p, sizeof(p));
}

/* struct sctp_getaddrs: its head, then packed addresses. */
static int put_one_addr(const struct vcl_socket *s, const struct ip_endpoint *e, void *val, socklen_t *len)
{
    struct sctp_getaddrs head = { .assoc_id = (sctp_assoc_t)s->sctp->assoc_id, .addr_num = 1 };
    struct sockaddr_storage ss;
    socklen_t n;

    memset(&ss, 0, sizeof(ss));
    n = ip_endpoint_to_sockaddr(e, s->is_v6, &ss);
    if (*len < sizeof(head) + n)
        return -ENOMEM; /* Linux */
    memcpy(val, &head, sizeof(head));
    memcpy((uint8_t *)val + sizeof(head), &ss, n);
    *len = (socklen_t)(sizeof(head) + n);
    return 0;
}

static int get_peer_addrs(struct vcl_socket *s, void *val, socklen_t *len)
{
    if (!is_up(s))
        return -EINVAL;
    return s->local ? put_one_addr(s, &s->rmt, val, len) : server_get(s, SCTP_GET_PEER_ADDRS, val, len);
}

static int get_local_addrs(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct ip_endpoint e;

    if (is_there(s))
        return server_get(s, SCTP_GET_LOCAL_ADDRS, val, len);
    vcl_local_endpoint(s, &e);
    return s->has_lcl ? put_one_addr(s, &e, val, len) : -EINVAL;
}
