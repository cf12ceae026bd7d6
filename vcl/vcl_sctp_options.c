/* vcl_sctp_options.c - SOL_SCTP: the table of options, and whose one is meant, the socket's or an association's (RFC 6458 s7, s8)
 *
 * What acts on this side is in vcl_sctp_prefs.c, what acts in the stack is passed on by vcl_sctp_server.c: the server checks it. */
#include "vcl/vcl_sctp_options.h"

enum { NO_ID = -1, NO_ADDR = 0 };
enum row_is {
    SERVER = 1u << 0,   /* acts in the stack */
    WHOLE = 1u << 1,    /* what is set replaces all that was set before */
    EXACT = 1u << 2,    /* Linux refuses a longer value when it is set, too */
    ACTION = 1u << 3,   /* something is done, nothing stays set */
    OR_INT = 1u << 4,   /* an int stands for struct sctp_assoc_value, as in older programs */
    COPIED = 1u << 5,   /* of a one-to-many socket: its associations get it, too */
    MANY = 1u << 6,     /* of one-to-many sockets alone */
    VARIES = 1u << 7,   /* as long as it is; got: as the caller has room for */
};
struct row {
    int name;
    uint16_t size;      /* of the value; of one whose length varies the least */
    uint16_t short_size;/* an older form: the struct's beginning; 0 = none */
    int16_t id_at;      /* where the association's id stands; NO_ID: the option is the socket's */
    uint16_t addr_at;   /* where an address of the peer stands; NO_ADDR */
    uint8_t is;         /* enum row_is */
    int local_error;    /* ACTION: why a cut-through association cannot do it, as Linux says of a peer that does not know it */
    int (*set)(struct vcl_socket *s, const void *val, socklen_t len); /* SERVER: after the server has taken it */
    int (*get)(struct vcl_socket *s, void *val, socklen_t *len);
};

#define SIZE(type) .size = sizeof(struct type)
#define INT .size = sizeof(int32_t)
#define ID(type, field) .id_at = offsetof(struct type, field)
#define ADDR(type, field) .addr_at = offsetof(struct type, field)
#define NUMBER SIZE(sctp_assoc_value), ID(sctp_assoc_value, assoc_id)
enum { PARAMS_SHORT = 152 }; /* struct sctp_paddrparams before spp_ipv6_flowlabel */

static const struct row rows[] = {
    /* notifications, and what stands beside messages */
    { SCTP_EVENTS, .id_at = NO_ID, .is = COPIED, .set = vcl_sctp_set_events, .get = vcl_sctp_get_events },
    { SCTP_EVENT, SIZE(sctp_event), .id_at = 0, .set = vcl_sctp_set_event, .get = vcl_sctp_get_event },
    { SCTP_RECVRCVINFO, INT, .id_at = NO_ID, .is = COPIED, .set = vcl_sctp_set_rcvinfo, .get = vcl_sctp_get_rcvinfo },
    { SCTP_RECVNXTINFO, INT, .id_at = NO_ID, .is = COPIED, .set = vcl_sctp_set_nxtinfo, .get = vcl_sctp_get_nxtinfo },
    { SCTP_CONTEXT, NUMBER, .is = EXACT, .set = vcl_sctp_set_context, .get = vcl_sctp_get_context },
    { SCTP_FRAGMENT_INTERLEAVE, INT, .id_at = NO_ID, .is = COPIED | EXACT, .set = vcl_sctp_set_interleave, .get = vcl_sctp_get_interleave },
    { SCTP_I_WANT_MAPPED_V4_ADDR, INT, .id_at = NO_ID, .is = SERVER | WHOLE | COPIED, .set = vcl_sctp_set_mapped, .get = vcl_sctp_get_mapped },
    /* defaults of what is sent */
    { SCTP_DEFAULT_SNDINFO, SIZE(sctp_sndinfo), ID(sctp_sndinfo, snd_assoc_id), .is = EXACT, .set = vcl_sctp_set_sndinfo,
      .get = vcl_sctp_get_sndinfo },
    { SCTP_DEFAULT_SEND_PARAM, SIZE(sctp_sndrcvinfo), ID(sctp_sndrcvinfo, sinfo_assoc_id), .is = EXACT, .set = vcl_sctp_set_send_param,
      .get = vcl_sctp_get_send_param },
    { SCTP_DEFAULT_PRINFO, SIZE(sctp_default_prinfo), ID(sctp_default_prinfo, pr_assoc_id), .is = EXACT, .set = vcl_sctp_set_prinfo,
      .get = vcl_sctp_get_prinfo },
    { SCTP_NODELAY, INT, .id_at = NO_ID, .is = SERVER | WHOLE | COPIED },
    { SCTP_DISABLE_FRAGMENTS, INT, .id_at = NO_ID, .is = SERVER | WHOLE | COPIED },
    { SCTP_MAXSEG, NUMBER, .is = SERVER | WHOLE | EXACT | OR_INT },
    { SCTP_MAX_BURST, NUMBER, .is = SERVER | WHOLE | EXACT | OR_INT },
    { SCTP_PARTIAL_DELIVERY_POINT, INT, .id_at = NO_ID, .is = SERVER | WHOLE | EXACT | COPIED },
    /* set-up and end */
    { SCTP_INITMSG, SIZE(sctp_initmsg), .id_at = NO_ID, .is = SERVER | EXACT, .set = vcl_sctp_set_initmsg },
    { SCTP_RTOINFO, SIZE(sctp_rtoinfo), ID(sctp_rtoinfo, srto_assoc_id), .is = SERVER | EXACT },
    { SCTP_ASSOCINFO, SIZE(sctp_assocparams), ID(sctp_assocparams, sasoc_assoc_id), .is = SERVER | EXACT },
    { SCTP_ADAPTATION_LAYER, SIZE(sctp_setadaptation), .id_at = NO_ID, .is = SERVER | WHOLE | EXACT, .set = vcl_sctp_set_adaptation },
    { SCTP_AUTOCLOSE, INT, .id_at = NO_ID, .is = SERVER | WHOLE | EXACT | MANY },
    { SCTP_REUSE_PORT, INT, .id_at = NO_ID, .is = EXACT, .set = vcl_sctp_set_reuse, .get = vcl_sctp_get_reuse },
    { SCTP_SOCKOPT_BINDX_ADD, .id_at = NO_ID, .set = vcl_sctp_bindx_add },
    { SCTP_SOCKOPT_BINDX_REM, .id_at = NO_ID, .set = vcl_sctp_bindx_rem },
    { SCTP_SOCKOPT_CONNECTX, .id_at = NO_ID, .set = vcl_sctp_connectx },
    { SCTP_SOCKOPT_CONNECTX_OLD, .id_at = NO_ID, .set = vcl_sctp_connectx_old },
    { SCTP_SOCKOPT_CONNECTX3, SIZE(sctp_getaddrs_old), .id_at = NO_ID, .get = vcl_sctp_connectx3 },
    /* paths */
    { SCTP_PEER_ADDR_PARAMS, SIZE(sctp_paddrparams), .short_size = PARAMS_SHORT, ID(sctp_paddrparams, spp_assoc_id),
      ADDR(sctp_paddrparams, spp_address), .is = SERVER | EXACT },
    { SCTP_PEER_ADDR_THLDS, SIZE(sctp_paddrthlds), ID(sctp_paddrthlds, spt_assoc_id), ADDR(sctp_paddrthlds, spt_address), .is = SERVER },
    { SCTP_PEER_ADDR_THLDS_V2, SIZE(sctp_paddrthlds_v2), ID(sctp_paddrthlds_v2, spt_assoc_id), ADDR(sctp_paddrthlds_v2, spt_address),
      .is = SERVER },
    { SCTP_DELAYED_SACK, SIZE(sctp_sack_info), .short_size = sizeof(struct sctp_assoc_value), ID(sctp_sack_info, sack_assoc_id),
      .is = SERVER | EXACT },
    { SCTP_REMOTE_UDP_ENCAPS_PORT, SIZE(sctp_udpencaps), ID(sctp_udpencaps, sue_assoc_id), ADDR(sctp_udpencaps, sue_address),
      .is = SERVER | EXACT },
    { SCTP_PRIMARY_ADDR, SIZE(sctp_prim), ID(sctp_prim, ssp_assoc_id), .is = EXACT, .set = vcl_sctp_set_primary, .get = vcl_sctp_get_primary },
    { SCTP_SET_PEER_PRIMARY_ADDR, SIZE(sctp_setpeerprim), ID(sctp_setpeerprim, sspp_assoc_id), .is = SERVER | EXACT | ACTION,
      .local_error = -EPERM },
    { SCTP_AUTO_ASCONF, INT, .id_at = NO_ID, .is = SERVER | WHOLE },
    { SCTP_EXPOSE_POTENTIALLY_FAILED_STATE, NUMBER, .is = SERVER | WHOLE | EXACT },
    /* extensions offered */
    { SCTP_PR_SUPPORTED, NUMBER, .is = SERVER | WHOLE | EXACT },
    { SCTP_RECONFIG_SUPPORTED, NUMBER, .is = SERVER | WHOLE | EXACT },
    { SCTP_INTERLEAVING_SUPPORTED, NUMBER, .is = SERVER | WHOLE | EXACT },
    { SCTP_ASCONF_SUPPORTED, NUMBER, .is = SERVER | WHOLE | EXACT },
    { SCTP_AUTH_SUPPORTED, NUMBER, .is = SERVER | WHOLE | EXACT },
    { SCTP_ECN_SUPPORTED, NUMBER, .is = SERVER | WHOLE | EXACT },
    /* streams (RFC 6525, RFC 8260) */
    { SCTP_ENABLE_STREAM_RESET, NUMBER, .is = SERVER | WHOLE | EXACT },
    { SCTP_RESET_STREAMS, SIZE(sctp_reset_streams), ID(sctp_reset_streams, srs_assoc_id), .is = SERVER | ACTION, .local_error = -ENOPROTOOPT },
    { SCTP_RESET_ASSOC, .size = sizeof(sctp_assoc_t), .id_at = 0, .is = SERVER | EXACT | ACTION, .local_error = -ENOPROTOOPT },
    { SCTP_ADD_STREAMS, SIZE(sctp_add_streams), ID(sctp_add_streams, sas_assoc_id), .is = SERVER | EXACT | ACTION,
      .local_error = -ENOPROTOOPT },
    { SCTP_STREAM_SCHEDULER, NUMBER, .is = SERVER | WHOLE },
    { SCTP_STREAM_SCHEDULER_VALUE, SIZE(sctp_stream_value), ID(sctp_stream_value, assoc_id), .is = SERVER },
    /* authentication (RFC 4895) */
    { SCTP_AUTH_CHUNK, SIZE(sctp_authchunk), .id_at = NO_ID, .is = SERVER | EXACT },
    { SCTP_HMAC_IDENT, SIZE(sctp_hmacalgo), .id_at = NO_ID, .is = SERVER | WHOLE | VARIES },
    { SCTP_AUTH_KEY, SIZE(sctp_authkey), ID(sctp_authkey, sca_assoc_id), .is = SERVER },
    { SCTP_AUTH_ACTIVE_KEY, SIZE(sctp_authkeyid), ID(sctp_authkeyid, scact_assoc_id), .is = SERVER | EXACT },
    { SCTP_AUTH_DELETE_KEY, SIZE(sctp_authkeyid), ID(sctp_authkeyid, scact_assoc_id), .is = SERVER | EXACT },
    { SCTP_AUTH_DEACTIVATE_KEY, SIZE(sctp_authkeyid), ID(sctp_authkeyid, scact_assoc_id), .is = SERVER | EXACT },
    { SCTP_PEER_AUTH_CHUNKS, SIZE(sctp_authchunks), ID(sctp_authchunks, gauth_assoc_id), .is = SERVER | VARIES },
    { SCTP_LOCAL_AUTH_CHUNKS, SIZE(sctp_authchunks), ID(sctp_authchunks, gauth_assoc_id), .is = SERVER | VARIES },
    /* what there is */
    { SCTP_STATUS, SIZE(sctp_status), ID(sctp_status, sstat_assoc_id), .get = vcl_sctp_get_status },
    { SCTP_GET_PEER_ADDR_INFO, SIZE(sctp_paddrinfo), ID(sctp_paddrinfo, spinfo_assoc_id), .get = vcl_sctp_get_peer_info },
    { SCTP_GET_PEER_ADDRS, SIZE(sctp_getaddrs), .id_at = 0, .get = vcl_sctp_get_peer_addrs },
    { SCTP_GET_LOCAL_ADDRS, SIZE(sctp_getaddrs), .id_at = 0, .get = vcl_sctp_get_local_addrs },
    { SCTP_GET_ASSOC_NUMBER, INT, .id_at = NO_ID, .get = vcl_sctp_get_number },
    { SCTP_GET_ASSOC_ID_LIST, SIZE(sctp_assoc_ids), .id_at = NO_ID, .get = vcl_sctp_get_ids },
    { SCTP_GET_ASSOC_STATS, SIZE(sctp_assoc_stats), ID(sctp_assoc_stats, sas_assoc_id), .get = vcl_sctp_get_stats },
    { SCTP_PR_ASSOC_STATUS, SIZE(sctp_prstatus), ID(sctp_prstatus, sprstat_assoc_id), .get = vcl_sctp_get_assoc_given_up },
    { SCTP_PR_STREAM_STATUS, SIZE(sctp_prstatus), ID(sctp_prstatus, sprstat_assoc_id), .get = vcl_sctp_get_stream_given_up },
};

static const struct row *row_of(int name)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].name == name)
            return &rows[i];
    return NULL;
}

/* What a socket or association is told, in the form of today. */
struct setting {
    const struct row *r;
    const void *val;
    socklen_t len;
    uint8_t bytes[sizeof(struct sctp_paddrparams)]; /* of an older form */
};

static int take_value(struct setting *g, const void *val, socklen_t len)
{
    const struct row *r = g->r;
    struct sctp_sack_info sack;

    g->val = val;
    g->len = len;
    if ((r->is & OR_INT) && len == sizeof(int32_t)) {
        memset(g->bytes, 0, sizeof(g->bytes));
        memcpy(g->bytes + offsetof(struct sctp_assoc_value, assoc_value), val, sizeof(int32_t));
    } else if (r->short_size && len == r->short_size) {
        memset(g->bytes, 0, sizeof(g->bytes));
        memcpy(g->bytes, val, len);
        memcpy(&sack, g->bytes, sizeof(sack));
        if (r->name == SCTP_DELAYED_SACK && sack.sack_delay == 0) { /* the older form: 0 means no delay */
            sack.sack_freq = 1;
            memcpy(g->bytes, &sack, sizeof(sack));
        }
    } else {
        if (len < r->size || ((r->is & EXACT) && len != r->size))
            return -EINVAL;
        if (!(r->is & SERVER) || (r->is & EXACT))
            return 0;
        g->len = r->size == sizeof(int32_t) && !(r->is & VARIES) ? r->size : len;
        return 0;
    }
    g->val = g->bytes;
    g->len = r->size;
    return 0;
}

/* Cut-through there is one path: who names it means the association. */
static int name_local(struct vcl_socket *s, const struct row *r, void *val)
{
    struct sockaddr_storage *none = (void *)((uint8_t *)val + r->addr_at);
    sa_family_t family;

    memcpy(&family, none, sizeof(family));
    if (family != AF_UNSPEC && !vcl_sctp_is_local_peer(s, none)) {
        struct sockaddr_storage ss;
        struct ip_endpoint e;

        memcpy(&ss, none, sizeof(ss));
        if (ip_endpoint_from_sockaddr((struct sockaddr *)&ss, sizeof(ss), &e) < 0 || !ip_addr_is_any(&e.ip))
            return -EINVAL;
    }
    memset(none, 0, sizeof(*none));
    return 0;
}

static int set_server(struct vcl_socket *s, const struct row *r, const void *val, socklen_t len)
{
    uint8_t local[sizeof(struct sctp_paddrparams)];

    if (vcl_sctp_is_near(s) && (r->is & ACTION))
        return r->local_error;
    if (vcl_sctp_is_near(s) && r->addr_at != NO_ADDR && len <= sizeof(local)) {
        int rc;

        memcpy(local, val, len);
        rc = name_local(s, r, local);
        return rc ? rc : vcl_sctp_ask_set(s, r->name, local, len, false);
    }
    if ((r->is & ACTION) && !vcl_sctp_is_there(s))
        return -EINVAL; /* no association */
    return r->is & ACTION ? vcl_sctp_server_set(s, r->name, val, len) : vcl_sctp_ask_set(s, r->name, val, len, r->is & WHOLE);
}

/* RFC 8260 s4.3.2: only who lets messages come between the parts of others can have them interleaved (Linux: EPERM). */
static bool is_refused(const struct vcl_socket *s, const struct setting *g)
{
    struct sctp_assoc_value v;

    if (g->r->name != SCTP_INTERLEAVING_SUPPORTED || s->sctp->o.interleave)
        return false;
    memcpy(&v, g->val, sizeof(v));
    return v.assoc_value != 0;
}

static int set_one(struct vcl_socket *s, void *arg)
{
    const struct setting *g = arg;
    int rc = is_refused(s, g) ? -EPERM : g->r->is & SERVER ? set_server(s, g->r, g->val, g->len) : 0;

    return rc || !g->r->set ? rc : g->r->set(s, g->val, g->len);
}

/* Whose option it is: RFC 6458 s8.1: an id, or SCTP_FUTURE_ASSOC, SCTP_CURRENT_ASSOC, SCTP_ALL_ASSOC (s7.2). */
enum { FUTURE = 0, CURRENT = 1, ALL = 2 };

static int set_many(struct vcl_socket *s, struct setting *g)
{
    sctp_assoc_t id = FUTURE;
    struct vcl_socket *a;
    int rc = 0;

    if (g->r->id_at == NO_ID)
        id = g->r->is & COPIED ? ALL : FUTURE;
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
    struct setting g = { .r = row_of(name) };
    int rc;

    if (!g.r || !(g.r->set || g.r->is & SERVER))
        return -ENOPROTOOPT;
    if ((g.r->is & MANY) && !vcl_sctp_is_many(s))
        return -EOPNOTSUPP;
    rc = take_value(&g, val, len);
    if (rc)
        return rc;
    return vcl_sctp_is_many(s) ? set_many(s, &g) : set_one(s, &g);
}

static int get_server(struct vcl_socket *s, const struct row *r, void *val, socklen_t *len)
{
    uint8_t asked[sizeof(struct sockaddr_storage)];
    uint8_t *at = (uint8_t *)val + r->addr_at;
    int rc;

    if (!(r->is & VARIES))
        *len = r->size;
    if (!vcl_sctp_is_near(s) || r->addr_at == NO_ADDR)
        return vcl_sctp_ask_get(s, r->name, val, len);
    memcpy(asked, at, sizeof(asked));
    rc = name_local(s, r, val);
    if (rc == 0)
        rc = vcl_sctp_ask_get(s, r->name, val, len);
    memcpy(at, asked, sizeof(asked));
    return rc;
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
    rc = r->get ? r->get(a ? a : s, val, len) : get_server(a ? a : s, r, val, len);
    if (rc == 0 && r->id_at != NO_ID && r->name != SCTP_GET_PEER_ADDRS && r->name != SCTP_GET_LOCAL_ADDRS &&
        (size_t)r->id_at + sizeof(id) <= *len) {
        id = a || vcl_state(s) == VCL_CONNECTED ? (sctp_assoc_t)(a ? a : s)->sctp->assoc_id : id;
        memcpy((uint8_t *)val + r->id_at, &id, sizeof(id));
    }
    if (a)
        vcl_socket_put(a);
    return rc;
}

/* The answer in an older form: its value, or its beginning. */
static int get_short(struct vcl_socket *s, const struct row *r, void *val, socklen_t *len)
{
    uint8_t bytes[sizeof(struct sctp_paddrparams)] = { 0 };
    size_t at = r->is & OR_INT ? offsetof(struct sctp_assoc_value, assoc_value) : 0;
    socklen_t room = r->size;
    int rc;

    if (at == 0)
        memcpy(bytes, val, r->short_size);
    rc = get_by_id(s, r, bytes, &room);
    return rc ? rc : vcl_sctp_put(val, len, bytes + at, at ? sizeof(int32_t) : r->short_size);
}

int vcl_sctp_get(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    const struct row *r = row_of(name);

    if (!r || (!r->get && !(r->is & SERVER)) || (r->is & ACTION))
        return -ENOPROTOOPT;
    if ((r->is & MANY) && !vcl_sctp_is_many(s))
        return -EOPNOTSUPP;
    if (((r->is & OR_INT) && *len == sizeof(int32_t)) || (r->short_size && *len >= r->short_size && *len < r->size))
        return get_short(s, r, val, len);
    return *len < r->size ? -EINVAL : get_by_id(s, r, val, len);
}
