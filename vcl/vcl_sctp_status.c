/* vcl_sctp_status.c - what an association tells of itself: its state, addresses and counts; cut-through there are no packets to count, and
 * one path that is always there */
#include <netinet/in.h>
#include "vcl/vcl_sctp_options.h"

enum { LOCAL_FRAGMENT = SVM_SCTP_RECORD_MAX, LOCAL_RTO_MS = 1000 };

int vcl_sctp_put(void *val, socklen_t *len, const void *from, size_t n)
{
    if (*len < n)
        return -EINVAL;
    *len = (socklen_t)n;
    memcpy(val, from, n);
    return 0;
}

static bool is_up(const struct vcl_socket *s) { return vcl_state(s) == VCL_CONNECTED; }

static void put_addr(const struct vcl_socket *s, const struct ip_endpoint *e, void *to)
{
    struct sockaddr_storage ss;

    memset(&ss, 0, sizeof(ss));
    ip_endpoint_to_sockaddr(e, s->is_v6 && !(s->sctp->o.plain_v4 && ip_addr_is_v4(&e->ip)), &ss);
    memcpy(to, &ss, sizeof(ss));
}

static void local_peer_info(struct vcl_socket *s, struct sctp_paddrinfo *p)
{
    memset(p, 0, sizeof(*p));
    put_addr(s, &s->rmt, &p->spinfo_address);
    p->spinfo_assoc_id = (sctp_assoc_t)s->sctp->assoc_id;
    p->spinfo_state = SCTP_ACTIVE;
    p->spinfo_cwnd = s->tx.max_size;
    p->spinfo_rto = LOCAL_RTO_MS;
    p->spinfo_mtu = LOCAL_FRAGMENT;
}

int vcl_sctp_get_status(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_status st;

    if (!is_up(s))
        return -EINVAL;
    if (!vcl_sctp_is_near(s)) {
        *len = sizeof(st);
        return vcl_sctp_server_get(s, SCTP_STATUS, val, len);
    }
    memset(&st, 0, sizeof(st));
    st.sstat_assoc_id = (sctp_assoc_t)s->sctp->assoc_id;
    vcl_socket_lock(s);
    st.sstat_state = !s->wr_shut ? SCTP_ESTABLISHED : s->sctp->i_shut ? SCTP_SHUTDOWN_SENT : SCTP_SHUTDOWN_RECEIVED;
    st.sstat_rwnd = s->has_fifos ? (uint32_t)svm_fifo_prod_space(&s->tx) : 0;
    st.sstat_instrms = s->sctp->in_streams;
    st.sstat_outstrms = s->sctp->out_streams;
    vcl_socket_unlock(s);
    st.sstat_fragmentation_point = LOCAL_FRAGMENT;
    local_peer_info(s, &st.sstat_primary);
    return vcl_sctp_put(val, len, &st, sizeof(st));
}

bool vcl_sctp_is_local_peer(const struct vcl_socket *s, const void *storage)
{
    struct sockaddr_storage ss;
    struct ip_endpoint e;

    memcpy(&ss, storage, sizeof(ss));
    return ip_endpoint_from_sockaddr((struct sockaddr *)&ss, sizeof(ss), &e) >= 0 && ip_addr_eq(&e.ip, &s->rmt.ip) &&
           (e.port.raw == 0 || e.port.raw == s->rmt.port.raw);
}

int vcl_sctp_get_peer_info(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_paddrinfo p;

    if (!is_up(s))
        return -EINVAL;
    if (!vcl_sctp_is_near(s)) {
        *len = sizeof(p);
        return vcl_sctp_server_get(s, SCTP_GET_PEER_ADDR_INFO, val, len);
    }
    if (!vcl_sctp_is_local_peer(s, (const uint8_t *)val + offsetof(struct sctp_paddrinfo, spinfo_address)))
        return -EINVAL;
    local_peer_info(s, &p);
    return vcl_sctp_put(val, len, &p, sizeof(p));
}

int vcl_sctp_set_primary(struct vcl_socket *s, const void *val, socklen_t len)
{
    if (!is_up(s))
        return -EINVAL;
    if (!vcl_sctp_is_near(s))
        return vcl_sctp_server_set(s, SCTP_PRIMARY_ADDR, val, len);
    return vcl_sctp_is_local_peer(s, (const uint8_t *)val + offsetof(struct sctp_prim, ssp_addr)) ? 0 : -EINVAL;
}

int vcl_sctp_get_primary(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_prim p = { .ssp_assoc_id = (sctp_assoc_t)s->sctp->assoc_id };

    if (!is_up(s))
        return -EINVAL;
    if (!vcl_sctp_is_near(s))
        return vcl_sctp_server_get(s, SCTP_PRIMARY_ADDR, val, len);
    put_addr(s, &s->rmt, &p.ssp_addr);
    return vcl_sctp_put(val, len, &p, sizeof(p));
}

int vcl_sctp_get_stats(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_assoc_stats st = { .sas_assoc_id = (sctp_assoc_t)s->sctp->assoc_id };

    if (!is_up(s))
        return -EINVAL;
    if (!vcl_sctp_is_near(s))
        return vcl_sctp_server_get(s, SCTP_GET_ASSOC_STATS, val, len);
    put_addr(s, &s->rmt, &st.sas_obs_rto_ipaddr);
    return vcl_sctp_put(val, len, &st, sizeof(st));
}

/* RFC 7496 s4.3, s4.4: cut-through nothing is ever given up. */
static int get_given_up(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    struct sctp_prstatus v;

    if (!is_up(s))
        return -EINVAL;
    if (!vcl_sctp_is_near(s))
        return vcl_sctp_server_get(s, name, val, len);
    memcpy(&v, val, sizeof(v));
    if (v.sprstat_policy == 0 || (v.sprstat_policy & ~(SCTP_PR_SCTP_MASK | SCTP_PR_SCTP_ALL)) ||
        ((v.sprstat_policy & SCTP_PR_SCTP_ALL) && (v.sprstat_policy & SCTP_PR_SCTP_MASK)) ||
        (name == SCTP_PR_STREAM_STATUS && v.sprstat_sid >= s->sctp->out_streams))
        return -EINVAL;
    v.sprstat_abandoned_unsent = v.sprstat_abandoned_sent = 0;
    return vcl_sctp_put(val, len, &v, sizeof(v));
}
int vcl_sctp_get_assoc_given_up(struct vcl_socket *s, void *val, socklen_t *len) { return get_given_up(s, SCTP_PR_ASSOC_STATUS, val, len); }
int vcl_sctp_get_stream_given_up(struct vcl_socket *s, void *val, socklen_t *len) { return get_given_up(s, SCTP_PR_STREAM_STATUS, val, len); }

/* struct sctp_getaddrs: its head, then packed addresses. */
static int put_one_addr(const struct vcl_socket *s, const struct ip_endpoint *e, void *val, socklen_t *len)
{
    struct sctp_getaddrs head = { .assoc_id = (sctp_assoc_t)s->sctp->assoc_id, .addr_num = 1 };
    struct sockaddr_storage ss;
    socklen_t n;

    put_addr(s, e, &ss);
    n = ss.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (*len < sizeof(head) + n)
        return -ENOMEM; /* Linux */
    memcpy(val, &head, sizeof(head));
    memcpy((uint8_t *)val + sizeof(head), &ss, n);
    *len = (socklen_t)(sizeof(head) + n);
    return 0;
}

int vcl_sctp_get_peer_addrs(struct vcl_socket *s, void *val, socklen_t *len)
{
    if (!is_up(s))
        return -EINVAL;
    return vcl_sctp_is_near(s) ? put_one_addr(s, &s->rmt, val, len) : vcl_sctp_server_get(s, SCTP_GET_PEER_ADDRS, val, len);
}

int vcl_sctp_get_local_addrs(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct ip_endpoint e;

    if (vcl_sctp_is_there(s))
        return vcl_sctp_server_get(s, SCTP_GET_LOCAL_ADDRS, val, len);
    vcl_local_endpoint(s, &e);
    return s->has_lcl ? put_one_addr(s, &e, val, len) : -EINVAL;
}
