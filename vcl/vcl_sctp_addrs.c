/* vcl_sctp_addrs.c - bind and connect with several addresses (RFC 6458 s9.1, s9.9): packed sockaddrs, as libsctp and Linux pass them */
#include <netinet/in.h>
#include "vcl/vcl_sctp_internal.h"

/* The next address of the list; the bytes it takes, or -EINVAL. */
static int next_addr(const uint8_t *at, socklen_t left, struct ip_endpoint *e)
{
    struct sockaddr_storage ss;
    sa_family_t family;
    socklen_t n;

    if (left < sizeof(family))
        return -EINVAL;
    memcpy(&family, at, sizeof(family));
    n = family == AF_INET ? sizeof(struct sockaddr_in) : family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
    if (n == 0 || n > left)
        return -EINVAL;
    memcpy(&ss, at, n);
    return ip_endpoint_from_sockaddr((struct sockaddr *)&ss, n, e) < 0 ? -EINVAL : (int)n;
}

/* Every address must be whole and of a family that the socket has. */
static int check_list(const struct vcl_socket *s, const void *val, socklen_t len, struct ip_endpoint *first)
{
    socklen_t at = 0;
    unsigned n = 0;

    while (at < len) {
        struct ip_endpoint e;
        int size = next_addr((const uint8_t *)val + at, len - at, &e);

        if (size < 0 || (!s->is_v6 && !ip_addr_is_v4(&e.ip)))
            return -EINVAL;
        if (n++ == 0)
            *first = e;
        at += (socklen_t)size;
    }
    return n == 0 ? -EINVAL : n > SVM_SCTP_ADDRS_MAX ? -ENOMEM : (int)n;
}

struct change { int name; const void *val; socklen_t len; };

/* An association that has not agreed on changes keeps the addresses it has. */
static int change_one(struct vcl_socket *a, void *arg)
{
    const struct change *c = arg;
    int rc = vcl_sctp_is_near(a) ? 0 : vcl_sctp_server_set(a, c->name, c->val, c->len);

    return rc == -EOPNOTSUPP || rc == -ENOTCONN ? 0 : rc;
}

/* RFC 6458 s9.1: of a one-to-many socket, and so of its associations. */
static int change_all(struct vcl_socket *s, int name, const void *val, socklen_t len)
{
    struct change c = { name, val, len };
    int rc = vcl_sctp_server_set(s, name, val, len);

    return rc || !vcl_sctp_is_many(s) ? rc : vcl_sctp_many_each(s, change_one, &c);
}

/* The first address of a socket that is not bound binds it; the others are the endpoint's, too. */
int vcl_sctp_bindx_add(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct ip_endpoint first;
    int n = check_list(s, val, len, &first), rc, size;

    if (n < 0)
        return n;
    if (vcl_state(s) != VCL_NEW || s->has_lcl)
        return change_all(s, SCTP_SOCKOPT_BINDX_ADD, val, len);
    rc = vcl_bind(s, &first);
    if (rc || n == 1)
        return rc;
    size = next_addr(val, len, &first);
    return vcl_sctp_server_set(s, SCTP_SOCKOPT_BINDX_ADD, (const uint8_t *)val + size, len - (socklen_t)size);
}

int vcl_sctp_bindx_rem(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct ip_endpoint first;
    int n = check_list(s, val, len, &first);

    if (n < 0)
        return n;
    if (vcl_state(s) == VCL_NEW && !s->has_lcl)
        return -EINVAL;
    return change_all(s, SCTP_SOCKOPT_BINDX_REM, val, len);
}

static uint32_t connected_id(const struct vcl_socket *s)
{
    return vcl_sctp_is_many(s) ? s->sctp->many->connected_id : s->sctp->assoc_id;
}

/* The server is told the other addresses before; who is of this host has but one that counts, if it is reached by cut-through. */
static int name_peers(struct vcl_socket *s, const void *val, socklen_t len)
{
    int rc = 0;

    if (vcl_state(s) == VCL_NEW && !s->has_lcl)
        rc = vcl_bind(s, &(struct ip_endpoint){ ip_addr_any(!s->is_v6), { 0 } });
    return rc ? rc : vcl_sctp_server_set(s, SCTP_SOCKOPT_CONNECTX, val, len);
}

int vcl_sctp_connectx(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct ip_endpoint first;
    int n = check_list(s, val, len, &first), rc;

    if (n < 0)
        return n;
    rc = n > 1 ? name_peers(s, val, len) : 0;
    if (rc == 0)
        rc = vcl_connect(s, &first);
    return rc ? rc : (int)connected_id(s);
}

/* RFC 6458 s5.3.9, s5.3.10: what a message says of the peer that it calls. */
int vcl_sctp_name_also(struct vcl_socket *s, const struct ip_endpoint *rmt, const struct vcl_sctp_msg *m)
{
    uint8_t val[(VCL_SCTP_ALSO_MAX + 1) * sizeof(struct sockaddr_in6)];
    socklen_t len = 0;

    static_assert((int)VCL_SCTP_ALSO_MAX + 1 == (int)SVM_SCTP_ADDRS_MAX, "with the first");
    if (!m || !m->n_also)
        return 0;
    for (uint32_t i = 0; i <= m->n_also && i <= VCL_SCTP_ALSO_MAX; i++) {
        struct ip_endpoint e = { i ? m->also[i - 1] : rmt->ip, rmt->port };
        struct sockaddr_storage ss;
        socklen_t n = ip_endpoint_to_sockaddr(&e, false, &ss);

        if (!s->is_v6 && !ip_addr_is_v4(&e.ip))
            return -EINVAL;
        memcpy(val + len, &ss, n);
        len += n;
    }
    return name_peers(s, val, len);
}

int vcl_sctp_connectx_old(struct vcl_socket *s, const void *val, socklen_t len)
{
    int rc = vcl_sctp_connectx(s, val, len);

    return rc > 0 ? 0 : rc;
}

int vcl_sctp_connectx3(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct sctp_getaddrs_old arg;
    int rc;

    memcpy(&arg, val, sizeof(arg));
    if (!arg.addrs || arg.addr_num <= 0)
        return -EINVAL;
    rc = vcl_sctp_connectx(s, arg.addrs, (socklen_t)arg.addr_num);
    if (rc > 0 || rc == -EINPROGRESS) {
        arg.assoc_id = (sctp_assoc_t)connected_id(s);
        memcpy(val, &arg, sizeof(arg));
        *len = sizeof(arg);
    }
    return rc > 0 ? 0 : rc;
}

uint32_t vcl_sctp_ask_peers(struct vcl_socket *s, struct ip_addr ip[SVM_SCTP_ADDRS_MAX])
{
    uint8_t buf[sizeof(struct sctp_getaddrs) + SVM_SCTP_ADDRS_MAX * sizeof(struct sockaddr_in6)] = { 0 };
    socklen_t len = sizeof(buf), at = offsetof(struct sctp_getaddrs, addrs);
    uint32_t n = 0;

    if (vcl_sctp_server_get(s, SCTP_GET_PEER_ADDRS, buf, &len) != 0)
        return 0;
    while (at < len && n < SVM_SCTP_ADDRS_MAX) {
        struct ip_endpoint e;
        int size = next_addr(buf + at, len - at, &e);

        if (size < 0)
            break;
        ip[n++] = e.ip;
        at += (socklen_t)size;
    }
    return n;
}
