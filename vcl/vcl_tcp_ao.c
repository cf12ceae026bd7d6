/* vcl_tcp_ao.c - TCP_AO_ADD_KEY, TCP_AO_DEL_KEY, TCP_AO_INFO, TCP_AO_GET_KEYS: TCP-AO (RFC 5925) by Linux's interface */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "svm/svm_tcp_key.h"
#include "vcl/vcl_internal.h"
#include "vcl/vcl_tcp_ao.h"

enum { MAC_DEFAULT = 12, MAC_MAX = 16 }; /* more has no room beside the other options of a SYN: EMSGSIZE, as Linux */

static const struct { const char *name; uint8_t alg; } algs[] = {
    { "hmac(sha1)", SVM_TCP_AO_HMAC_SHA1 }, { "cmac(aes128)", SVM_TCP_AO_AES_CMAC }, /* RFC 5926 */
};

static bool is_connection(const struct vcl_socket *s)
{
    return vcl_state(s) == VCL_CONNECTED || vcl_state(s) == VCL_CONNECTING;
}

/* Address and prefix; the wildcard with 0 bits is every peer. */
static int take_peer(const struct vcl_socket *s, const struct sockaddr_storage *addr, uint8_t prefix, struct svm_tcp_key *k)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    unsigned max;

    if (addr->ss_family == AF_INET && !s->is_v6) {
        memcpy(&in4, addr, sizeof(in4));
        k->ip = ip_addr_v4((be32){ in4.sin_addr.s_addr });
    } else if (addr->ss_family == AF_INET6 && s->is_v6) {
        memcpy(&in6, addr, sizeof(in6));
        memcpy(&k->ip, &in6.sin6_addr, sizeof(k->ip));
    } else {
        return -EINVAL;
    }
    max = ip_addr_is_v4(&k->ip) ? 32 : 128;
    if (prefix > max || ip_addr_is_any(&k->ip) != (prefix == 0))
        return -EINVAL;
    k->prefix = (uint8_t)(prefix + 128 - max);
    return 0;
}

static bool same_peer(const struct svm_tcp_key *a, const struct svm_tcp_key *b)
{
    return a->prefix == b->prefix && ip_addr_eq(&a->ip, &b->ip);
}

/* The server checks it too; here it is before there is one. */
static int conflict(const struct vcl_socket *s, const struct svm_tcp_key *k)
{
    const struct svm_tcp_key *o;

    for (unsigned i = 0; (o = vcl_tcp_key_at(s, i)); i++) {
        if (o->kind == SVM_TCP_KEY_MD5 && (svm_tcp_key_covers(o, &k->ip) || svm_tcp_key_covers(k, &o->ip)))
            return -EKEYREJECTED;
        if (o->kind == SVM_TCP_KEY_AO && same_peer(o, k) && (o->snd_id == k->snd_id || o->rcv_id == k->rcv_id))
            return -EEXIST;
    }
    return 0;
}

/* ---- current and next key ---- */

static bool has_key(const struct vcl_socket *s, bool by_rcv, uint8_t id)
{
    const struct svm_tcp_key *o;

    for (unsigned i = 0; (o = vcl_tcp_key_at(s, i)); i++)
        if (o->kind == SVM_TCP_KEY_AO && (by_rcv ? o->rcv_id : o->snd_id) == id)
            return true;
    return false;
}

static struct svm_tcp_key info_of(const struct vcl_socket *s)
{
    const struct svm_tcp_key *o;

    for (unsigned i = 0; (o = vcl_tcp_key_at(s, i)); i++)
        if (o->kind == SVM_TCP_KEY_AO_INFO)
            return *o;
    return (struct svm_tcp_key){ .kind = SVM_TCP_KEY_AO_INFO };
}

static int live(struct vcl_socket *s, struct svm_tcp_ao *ao)
{
    return vcl_attr_ask(s, SVM_ATTR_TCP_AO, NULL, 0, ao, sizeof(*ao));
}

/* Of a connection: told to the server. Before there is one: kept with the keys. */
static int wish(struct vcl_socket *s, struct svm_tcp_ao *ao)
{
    struct svm_tcp_key k = info_of(s);

    if (((ao->flags & SVM_TCP_AO_CURRENT) && !has_key(s, false, ao->current)) ||
        ((ao->flags & SVM_TCP_AO_RNEXT) && !has_key(s, true, ao->rnext)))
        return -ENOENT;
    if (is_connection(s))
        return vcl_attr_request(s, SVM_MSG_ATTR_SET, SVM_ATTR_TCP_AO, ao, sizeof(*ao));
    if (ao->flags & SVM_TCP_AO_CURRENT)
        k.snd_id = ao->current;
    if (ao->flags & SVM_TCP_AO_RNEXT)
        k.rcv_id = ao->rnext;
    k.flags = (uint8_t)((k.flags & (SVM_TCP_AO_CURRENT | SVM_TCP_AO_RNEXT)) | ao->flags);
    return vcl_tcp_key_set(s, &k);
}

static int wish_keys(struct vcl_socket *s, bool current, uint8_t current_id, bool rnext, uint8_t rnext_id)
{
    struct svm_tcp_ao ao = { .flags = info_of(s).flags & (SVM_TCP_AO_REQUIRED | SVM_TCP_AO_ICMP) };
    int rc;

    if (!current && !rnext)
        return 0;
    if (vcl_state(s) == VCL_LISTENING)
        return -EINVAL;
    if (is_connection(s)) {
        rc = live(s, &ao);
        if (rc)
            return rc;
        ao.flags &= SVM_TCP_AO_REQUIRED | SVM_TCP_AO_ICMP;
    }
    ao.flags |= (uint8_t)((current ? SVM_TCP_AO_CURRENT : 0) | (rnext ? SVM_TCP_AO_RNEXT : 0));
    ao.current = current_id;
    ao.rnext = rnext_id;
    return wish(s, &ao);
}

/* ---- set ---- */

static int add(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_AO };
    struct vcl_tcp_ao_add a;
    int rc = -EINVAL;

    if (len < sizeof(a))
        return -EINVAL;
    memcpy(&a, val, sizeof(a));
    a.alg_name[sizeof(a.alg_name) - 1] = '\0';
    if (a.reserved || a.reserved2 || a.keylen > VCL_TCP_AO_KEY_MAX || a.keyflags & ~VCL_TCP_AO_KEYF_EXCLUDE_OPT || a.ifindex)
        goto wipe;
    rc = take_peer(s, &a.addr, a.prefix, &k);
    for (unsigned i = 0; rc == 0 && i < HS_ARRAY_LEN(algs); i++)
        if (!strcmp(a.alg_name, algs[i].name))
            k.alg = algs[i].alg;
    if (rc == 0 && !k.alg)
        rc = -ENOENT;
    k.mac_len = a.maclen ? a.maclen : MAC_DEFAULT;
    if (rc == 0 && k.mac_len > MAC_MAX)
        rc = k.mac_len > 20 ? -EINVAL : -EMSGSIZE;
    if (rc == 0 && is_connection(s) && !vcl_tcp_ao_is_on(s))
        rc = -EISCONN;
    k.snd_id = a.sndid;
    k.rcv_id = a.rcvid;
    k.flags = a.keyflags & VCL_TCP_AO_KEYF_EXCLUDE_OPT ? SVM_TCP_AO_EXCLUDE_OPTIONS : 0;
    k.len = a.keylen;
    memcpy(k.key, a.key, k.len);
    if (rc == 0 && vcl_state(s) == VCL_LISTENING && (a.set_current || a.set_rnext))
        rc = -EINVAL;
    if (rc == 0)
        rc = conflict(s, &k);
    if (rc == 0)
        rc = vcl_tcp_key_set(s, &k);
    if (rc == 0)
        rc = wish_keys(s, a.set_current, a.sndid, a.set_rnext, a.rcvid);
wipe:
    explicit_bzero(&k, sizeof(k));
    explicit_bzero(&a, sizeof(a));
    return rc;
}

static int del(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_AO, .remove = 1 };
    struct vcl_tcp_ao_del d;
    struct svm_tcp_ao ao;
    int rc;

    if (len < sizeof(d))
        return -EINVAL;
    memcpy(&d, val, sizeof(d));
    if (d.reserved || d.reserved2 || d.keyflags || d.ifindex || (d.del_async && vcl_state(s) != VCL_LISTENING))
        return -EINVAL;
    rc = take_peer(s, &d.addr, d.prefix, &k);
    if (rc == 0)
        rc = wish_keys(s, d.set_current, d.current_key, d.set_rnext, d.rnext);
    if (rc == 0 && vcl_state(s) == VCL_CONNECTED) { /* what is in use stays */
        rc = live(s, &ao);
        if (rc == 0 && (ao.current == d.sndid || ao.rnext == d.rcvid))
            rc = -EBUSY;
    }
    k.snd_id = d.sndid;
    k.rcv_id = d.rcvid;
    return rc ? rc : vcl_tcp_key_set(s, &k);
}

static int set_info(struct vcl_socket *s, const void *val, socklen_t len)
{
    struct svm_tcp_ao_counts n;
    struct vcl_tcp_ao_info i;
    struct svm_tcp_ao ao;
    int rc;

    if (len < sizeof(i))
        return -EINVAL;
    memcpy(&i, val, sizeof(i));
    if (i.reserved || i.reserved2 || (vcl_state(s) == VCL_LISTENING && (i.set_current || i.set_rnext)))
        return -EINVAL;
    if (is_connection(s) && !vcl_tcp_ao_is_on(s))
        return -EISCONN;
    ao = (struct svm_tcp_ao){ .current = i.current_key, .rnext = i.rnext };
    ao.flags = (uint8_t)((i.set_current ? SVM_TCP_AO_CURRENT : 0) | (i.set_rnext ? SVM_TCP_AO_RNEXT : 0) |
                         (i.ao_required ? SVM_TCP_AO_REQUIRED : 0) | (i.accept_icmps ? SVM_TCP_AO_ICMP : 0));
    rc = wish(s, &ao);
    if (rc || !i.set_counters || vcl_state(s) != VCL_CONNECTED)
        return rc;
    n = (struct svm_tcp_ao_counts){ i.pkt_good, i.pkt_bad, i.pkt_key_not_found, i.pkt_ao_required, i.pkt_dropped_icmp };
    return vcl_attr_request(s, SVM_MSG_ATTR_SET, SVM_ATTR_TCP_AO_COUNTS, &n, sizeof(n));
}

int vcl_tcp_ao_set(struct vcl_socket *s, int name, const void *val, socklen_t len)
{
    if (s->proto != SVM_PROTO_TCP)
        return -ENOPROTOOPT;
    switch (name) {
    case VCL_TCP_AO_ADD_KEY:
        return add(s, val, len);
    case VCL_TCP_AO_DEL_KEY:
        return del(s, val, len);
    case VCL_TCP_AO_INFO:
        return set_info(s, val, len);
    default:
        return -ENOPROTOOPT;
    }
}

/* ---- get ---- */

static int get_info(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct vcl_tcp_ao_info i = { .set_current = 0 };
    struct svm_tcp_key k = info_of(s);
    struct svm_tcp_ao ao = { .flags = k.flags, .current = k.snd_id, .rnext = k.rcv_id };
    struct svm_tcp_ao_counts n = { 0 };
    int rc;

    if (!vcl_tcp_ao_is_on(s))
        return -ENOENT;
    if (vcl_state(s) == VCL_CONNECTED) {
        rc = live(s, &ao);
        if (rc == 0)
            rc = vcl_attr_ask(s, SVM_ATTR_TCP_AO_COUNTS, NULL, 0, &n, sizeof(n));
        if (rc)
            return rc;
    }
    i.set_current = ao.flags & SVM_TCP_AO_CURRENT ? 1 : 0;
    i.set_rnext = ao.flags & SVM_TCP_AO_RNEXT ? 1 : 0;
    i.ao_required = ao.flags & SVM_TCP_AO_REQUIRED ? 1 : 0;
    i.accept_icmps = ao.flags & SVM_TCP_AO_ICMP ? 1 : 0;
    i.current_key = ao.current;
    i.rnext = ao.rnext;
    i.pkt_good = n.good;
    i.pkt_bad = n.bad;
    i.pkt_key_not_found = n.no_key;
    i.pkt_ao_required = n.missing;
    i.pkt_dropped_icmp = n.icmp;
    *len = hs_min_u32(*len, sizeof(i));
    memcpy(val, &i, *len);
    return 0;
}

static void fill_key(struct vcl_socket *s, const struct svm_tcp_key *k, struct vcl_tcp_ao_key *out)
{
    unsigned max = ip_addr_is_v4(&k->ip) ? 32 : 128;
    struct svm_tcp_ao_key l = { .snd_id = k->snd_id, .rcv_id = k->rcv_id };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_addr.s_addr = ip_addr_get_v4(&k->ip).raw };

    *out = (struct vcl_tcp_ao_key){ .sndid = k->snd_id, .rcvid = k->rcv_id, .prefix = (uint8_t)(k->prefix + max - 128),
                                    .maclen = k->mac_len, .keylen = k->len };
    memcpy(&in6.sin6_addr, &k->ip, sizeof(in6.sin6_addr));
    if (s->is_v6)
        memcpy(&out->addr, &in6, sizeof(in6));
    else
        memcpy(&out->addr, &in4, sizeof(in4));
    out->keyflags = k->flags & SVM_TCP_AO_EXCLUDE_OPTIONS ? VCL_TCP_AO_KEYF_EXCLUDE_OPT : 0;
    memcpy(out->key, k->key, k->len);
    for (unsigned i = 0; i < HS_ARRAY_LEN(algs); i++)
        if (algs[i].alg == k->alg)
            strcpy(out->alg_name, algs[i].name);
    if (vcl_state(s) == VCL_CONNECTED && vcl_attr_ask(s, SVM_ATTR_TCP_AO_KEY, &l, sizeof(l), &l, sizeof(l)) == 0) {
        out->is_current = l.flags & SVM_TCP_AO_CURRENT ? 1 : 0;
        out->is_rnext = l.flags & SVM_TCP_AO_RNEXT ? 1 : 0;
        out->pkt_good = l.good;
        out->pkt_bad = l.bad;
    }
}

static bool is_asked(const struct vcl_tcp_ao_key *q, const struct svm_tcp_key *peer, const struct svm_tcp_key *k,
                     const struct vcl_tcp_ao_key *filled)
{
    if (q->get_all)
        return true;
    if (q->is_current || q->is_rnext)
        return (q->is_current && filled->is_current) || (q->is_rnext && filled->is_rnext);
    return (q->addr.ss_family == 0 || same_peer(peer, k)) && q->sndid == k->snd_id && q->rcvid == k->rcv_id;
}

/* The question is in the first of the elements, and how many fit; the answers follow one another, and tell how many there are. */
static int get_keys(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct vcl_tcp_ao_key q, out;
    struct svm_tcp_key peer = { .kind = SVM_TCP_KEY_AO };
    const struct svm_tcp_key *k;
    uint32_t n = 0;
    int rc;

    if (*len < sizeof(q))
        return -EINVAL;
    memcpy(&q, val, sizeof(q));
    if (!vcl_tcp_ao_is_on(s))
        return -ENOENT;
    if (q.addr.ss_family && !q.get_all && !q.is_current && !q.is_rnext) {
        rc = take_peer(s, &q.addr, q.prefix, &peer);
        if (rc)
            return rc;
    }
    for (unsigned i = 0; (k = vcl_tcp_key_at(s, i)); i++) {
        if (k->kind != SVM_TCP_KEY_AO)
            continue;
        fill_key(s, k, &out);
        if (is_asked(&q, &peer, k, &out) && n++ < q.nkeys)
            memcpy((uint8_t *)val + (n - 1) * sizeof(out), &out, sizeof(out));
    }
    explicit_bzero(&out, sizeof(out));
    if (n == 0)
        return -ENOENT;
    memcpy((uint8_t *)val + offsetof(struct vcl_tcp_ao_key, nkeys), &n, sizeof(n));
    *len = sizeof(out);
    return 0;
}

int vcl_tcp_ao_get(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    if (s->proto != SVM_PROTO_TCP)
        return -ENOPROTOOPT;
    return name == VCL_TCP_AO_INFO ? get_info(s, val, len) : name == VCL_TCP_AO_GET_KEYS ? get_keys(s, val, len) : -ENOPROTOOPT;
}
