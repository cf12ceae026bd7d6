/* vcl_mcast_source.c - whom a datagram socket wants to hear in its groups (RFC 3678, ip(7)): one source at a time, or a whole filter */
#include <netinet/in.h>
#include <stdlib.h>
#include "vcl/vcl_mcast.h"

static const struct source_op { int level, name; bool is_include, adds; } source_ops[] = {
    { IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, true, true },     { IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, true, false },
    { IPPROTO_IP, IP_BLOCK_SOURCE, false, true },             { IPPROTO_IP, IP_UNBLOCK_SOURCE, false, false },
    { IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, true, true },      { IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, true, false },
    { IPPROTO_IP, MCAST_BLOCK_SOURCE, false, true },          { IPPROTO_IP, MCAST_UNBLOCK_SOURCE, false, false },
    { IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, true, true },    { IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, true, false },
    { IPPROTO_IPV6, MCAST_BLOCK_SOURCE, false, true },        { IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE, false, false },
};

static const struct source_op *op_of(int level, int name)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(source_ops); i++)
        if (source_ops[i].level == level && source_ops[i].name == name)
            return &source_ops[i];
    return NULL;
}

/* ---- what the program's structures say ---- */

static int addr_of(int level, const struct sockaddr_storage *ss, struct ip_addr *out)
{
    struct ip_endpoint e;

    if (ss->ss_family != (level == IPPROTO_IP ? AF_INET : AF_INET6))
        return -EADDRNOTAVAIL;
    if (ip_endpoint_from_sockaddr((const struct sockaddr *)ss, sizeof(*ss), &e) < 0)
        return -EINVAL;
    *out = e.ip;
    return 0;
}

static void place_v4(struct svm_mcast *at, in_addr_t group, in_addr_t ifc)
{
    at->group = ip_addr_v4((be32){ group });
    at->ifc = ifc ? ip_addr_v4((be32){ ifc }) : ip_addr_any(true);
}

static int parse_source(int level, int name, const void *val, socklen_t len, struct svm_mcast *at, struct ip_addr *source)
{
    if (level == IPPROTO_IP && (name < MCAST_JOIN_GROUP || name > MCAST_LEAVE_SOURCE_GROUP)) {
        struct ip_mreq_source r;
        if (len != sizeof(r))
            return -EINVAL;
        memcpy(&r, val, sizeof(r));
        place_v4(at, r.imr_multiaddr.s_addr, r.imr_interface.s_addr);
        *source = ip_addr_v4((be32){ r.imr_sourceaddr.s_addr });
        return 0;
    }
    struct group_source_req r;
    if (len < sizeof(r))
        return -EINVAL;
    memcpy(&r, val, sizeof(r));
    int rc = addr_of(level, &r.gsr_group, &at->group);
    if (!rc)
        rc = addr_of(level, &r.gsr_source, source);
    at->ifc = ip_addr_any(level == IPPROTO_IP);
    return rc ? rc : r.gsr_interface ? -ENODEV : 0;
}

/* IP_MSFILTER, MCAST_MSFILTER: the fixed part, into at, mode and number; how many bytes of it there are, or -errno. */
static int parse_filter(int level, int name, const void *val, socklen_t len, struct svm_mcast *at, uint32_t *mode, uint32_t *n)
{
    if (name == IP_MSFILTER) {
        struct ip_msfilter f;
        if (len < IP_MSFILTER_SIZE(0))
            return -EINVAL;
        memcpy(&f, val, IP_MSFILTER_SIZE(0));
        place_v4(at, f.imsf_multiaddr.s_addr, f.imsf_interface.s_addr);
        *mode = f.imsf_fmode;
        *n = f.imsf_numsrc;
        return IP_MSFILTER_SIZE(0);
    }
    struct group_filter f;
    if (len < GROUP_FILTER_SIZE(0))
        return -EINVAL;
    memcpy(&f, val, GROUP_FILTER_SIZE(0));
    *mode = f.gf_fmode;
    *n = f.gf_numsrc;
    at->ifc = ip_addr_any(level == IPPROTO_IP);
    int rc = addr_of(level, &f.gf_group, &at->group);
    return rc ? rc : f.gf_interface ? -ENODEV : (int)GROUP_FILTER_SIZE(0);
}

static int parse_sources(int level, int name, const uint8_t *b, size_t len, uint32_t n, struct vcl_mcast_filter *f)
{
    size_t each = name == IP_MSFILTER ? sizeof(struct in_addr) : sizeof(struct sockaddr_storage);

    if (n > SVM_MCAST_SOURCES)
        return -ENOBUFS;
    if (n * each > len)
        return -EINVAL;
    for (f->n = 0; f->n < n; f->n++) {
        struct sockaddr_storage ss;
        struct in_addr a;
        int rc = 0;
        memcpy(name == IP_MSFILTER ? (void *)&a : (void *)&ss, b + f->n * each, each);
        if (name == IP_MSFILTER)
            f->source[f->n] = ip_addr_v4((be32){ a.s_addr });
        else
            rc = addr_of(level, &ss, &f->source[f->n]);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- to the server ---- */

static struct svm_mcast_filter step_of(const struct svm_mcast *at, uint8_t step)
{
    struct svm_mcast_filter v = { .group = at->group, .step = step };

    if (ip_addr_is_v4(&at->ifc))
        v.ifc = ip_addr_get_v4(&at->ifc);
    return v;
}

static uint8_t last_step(const struct vcl_mcast_filter *f) { return f->is_include ? SVM_MCAST_FILTER_INCLUDE : SVM_MCAST_FILTER_EXCLUDE; }

static int tell(struct vcl_socket *s, const struct svm_mcast *at, const struct vcl_mcast_filter *f)
{
    struct svm_mcast_filter v = step_of(at, SVM_MCAST_FILTER_SOURCE);
    int rc = 0;

    for (unsigned i = 0; i < f->n && !rc; i++) {
        v.source = f->source[i];
        rc = vcl_mcast_tell(s, SVM_ATTR_MCAST_FILTER, &v, sizeof(v));
    }
    v.step = last_step(f);
    return rc ? rc : vcl_mcast_tell(s, SVM_ATTR_MCAST_FILTER, &v, sizeof(v));
}

void vcl_mcast_source_push(struct vcl_socket *s, const struct vcl_mcast_joined *j)
{
    struct svm_mcast_filter v = step_of(&j->at, SVM_MCAST_FILTER_SOURCE);

    for (unsigned i = 0; i < j->filter->n; i++) {
        v.source = j->filter->source[i];
        vcl_mcast_post(s, SVM_ATTR_MCAST_FILTER, &v, sizeof(v));
    }
    v.step = last_step(j->filter);
    vcl_mcast_post(s, SVM_ATTR_MCAST_FILTER, &v, sizeof(v));
}

/* ---- changes ---- */

static int set_filter(struct vcl_socket *s, unsigned i, const struct svm_mcast *at, const struct vcl_mcast_filter *f)
{
    struct vcl_mcast_joined *j = &s->mcast->joined[i];
    struct vcl_mcast_filter *own = malloc(sizeof(*own));

    if (!own)
        return -ENOBUFS;
    *own = *f;
    int rc = tell(s, i < s->mcast->n ? &j->at : at, f);
    if (rc) {
        free(own);
        return rc;
    }
    if (i == s->mcast->n) {
        *j = (struct vcl_mcast_joined){ .at = *at };
        s->mcast->n++;
    }
    free(j->filter);
    j->filter = own;
    return 0;
}

static unsigned find_source(const struct vcl_mcast_filter *f, const struct ip_addr *source)
{
    unsigned i = 0;

    while (i < f->n && !ip_addr_eq(&f->source[i], source))
        i++;
    return i;
}

/* Errors as Linux has them. */
static int change_source(struct vcl_socket *s, const struct source_op *op, const struct svm_mcast *at, const struct ip_addr *source)
{
    struct vcl_mcast *m;
    int rc = vcl_mcast_of(s, &m);

    if (!rc)
        rc = vcl_mcast_check(s, at);
    if (rc)
        return rc;
    unsigned i = vcl_mcast_find(m, at, ip_addr_is_any(&at->ifc));
    bool joins = op->is_include && op->adds;
    if (i == m->n && (!joins || m->n == VCL_MCAST_GROUPS))
        return joins ? -ENOBUFS : -EINVAL;
    struct vcl_mcast_filter f = { .is_include = op->is_include };
    if (i < m->n && m->joined[i].filter)
        f = *m->joined[i].filter;
    if (f.is_include != op->is_include) /* a filter keeps its mode; groups joined for everybody take either */
        return -EINVAL;
    unsigned k = find_source(&f, source);
    if ((k < f.n) == op->adds)
        return -EADDRNOTAVAIL;
    if (op->adds && f.n == SVM_MCAST_SOURCES)
        return -ENOBUFS;
    if (op->adds)
        f.source[f.n++] = *source;
    else
        f.source[k] = f.source[--f.n];
    return f.is_include && f.n == 0 ? vcl_mcast_leave(s, i) : set_filter(s, i, at, &f);
}

static int change_filter(struct vcl_socket *s, int level, int name, const uint8_t *val, socklen_t len)
{
    struct vcl_mcast_filter f;
    struct svm_mcast at;
    struct vcl_mcast *m;
    uint32_t mode, n;
    int fixed = parse_filter(level, name, val, len, &at, &mode, &n);
    int rc = fixed < 0 ? fixed : parse_sources(level, name, val + fixed, len - (size_t)fixed, n, &f);

    if (!rc)
        rc = vcl_mcast_of(s, &m);
    if (!rc && mode != MCAST_INCLUDE && mode != MCAST_EXCLUDE)
        rc = -EINVAL;
    if (!rc)
        rc = vcl_mcast_check(s, &at);
    if (rc)
        return rc;
    f.is_include = mode == MCAST_INCLUDE;
    unsigned i = vcl_mcast_find(m, &at, ip_addr_is_any(&at.ifc));
    if (f.is_include && f.n == 0) /* nobody: as leaving (RFC 3678 s4.1.3) */
        return i == m->n ? -EADDRNOTAVAIL : vcl_mcast_leave(s, i);
    rc = i == m->n ? -EINVAL : set_filter(s, i, &at, &f);
    if (!rc && f.n == 0) { /* everybody, as before there was a filter: the next one may have either mode */
        free(m->joined[i].filter);
        m->joined[i].filter = NULL;
    }
    return rc;
}

static bool is_filter_option(int level, int name)
{
    return (level == IPPROTO_IP && (name == IP_MSFILTER || name == MCAST_MSFILTER)) || (level == IPPROTO_IPV6 && name == MCAST_MSFILTER);
}

int vcl_mcast_source_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    const struct source_op *op = op_of(level, name);
    struct svm_mcast at;
    struct ip_addr source;

    if (is_filter_option(level, name))
        return change_filter(s, level, name, val, len);
    if (!op)
        return 1;
    int rc = parse_source(level, name, val, len, &at, &source);
    return rc ? rc : change_source(s, op, &at, &source);
}

/* ---- what it is ---- */

static void put_source(int name, uint8_t *to, const struct ip_addr *a)
{
    struct ip_endpoint e = { .ip = *a };
    struct sockaddr_storage ss = { .ss_family = 0 };

    if (name == IP_MSFILTER) {
        be32 v4 = ip_addr_get_v4(a);
        memcpy(to, &v4, sizeof(v4));
    } else {
        ip_endpoint_to_sockaddr(&e, !ip_addr_is_v4(a), &ss);
        memcpy(to, &ss, sizeof(ss));
    }
}

int vcl_mcast_get(struct vcl_socket *s, int level, int name, void *val, socklen_t *len)
{
    struct svm_mcast at;
    uint32_t mode, n;

    if (!s->is_dgram || !is_filter_option(level, name))
        return 1;
    int fixed = parse_filter(level, name, val, *len, &at, &mode, &n);
    int rc = fixed < 0 ? fixed : vcl_mcast_check(s, &at);
    if (rc)
        return rc;
    unsigned i = s->mcast ? vcl_mcast_find(s->mcast, &at, ip_addr_is_any(&at.ifc)) : 0;
    if (!s->mcast || i == s->mcast->n)
        return -EADDRNOTAVAIL;
    const struct vcl_mcast_filter *f = s->mcast->joined[i].filter;
    size_t each = name == IP_MSFILTER ? sizeof(struct in_addr) : sizeof(struct sockaddr_storage);
    uint32_t had = f ? f->n : 0, room = (uint32_t)((*len - (size_t)fixed) / each), some = had < n ? had : n;
    uint8_t *b = val;

    if (n > room)
        return -EINVAL;
    mode = f && f->is_include ? MCAST_INCLUDE : MCAST_EXCLUDE;
    for (uint32_t k = 0; k < some; k++)
        put_source(name, b + fixed + k * each, &f->source[k]);
    memcpy(b + fixed - 8, &mode, 4); /* the last two of the fixed part, in both structures */
    memcpy(b + fixed - 4, &had, 4);
    *len = (socklen_t)((size_t)fixed + some * each);
    return 0;
}
