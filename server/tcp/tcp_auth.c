/* tcp_auth.c - who must sign, whose signature counts, and what is signed in answer (RFC 2385 s4.1, RFC 5925 s7) */
#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "server/tcp/tcp_auth.h"

/* ---- connections ---- */

/* A number instead of a pointer: an idle connection stays small. */
static int slot_take(struct tcp_worker *tw, uint16_t *out)
{
    enum { FIRST = 64, MAX = UINT16_MAX + 1 };

    if (tw->n_free_auths == 0) {
        uint32_t cap = tw->cap_auths ? hs_min_u32(2 * tw->cap_auths, MAX) : FIRST;
        struct tcp_auth **v = cap > tw->cap_auths ? realloc(tw->auths, cap * sizeof(struct tcp_auth *)) : NULL;
        uint16_t *f;

        if (!v)
            return -ENOMEM;
        tw->auths = v;
        f = realloc(tw->free_auths, cap * sizeof(*f));
        if (!f)
            return -ENOMEM;
        tw->free_auths = f;
        for (uint32_t i = cap; i-- > hs_max_u32(tw->cap_auths, 1);)
            f[tw->n_free_auths++] = (uint16_t)i;
        tw->cap_auths = cap;
    }
    *out = tw->free_auths[--tw->n_free_auths];
    return 0;
}

void tcp_auth_fini(struct tcp_worker *tw)
{
    tcp_auth_md5_fini(tw);
    tcp_ao_fini(tw);
    free(tw->auths);
    free(tw->free_auths);
    tw->auths = NULL;
    tw->free_auths = NULL;
    tw->cap_auths = tw->n_free_auths = 0;
}

/* A connection holds no room for keys that it does not have. */
static size_t size_of(const struct tcp_auth *a) { return offsetof(struct tcp_auth, ao) + a->n * sizeof(a->ao[0]); }

static void wipe(struct tcp_auth *a)
{
    OPENSSL_cleanse(a, size_of(a));
    free(a);
}

void tcp_auth_release(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (!c->auth)
        return;
    wipe(tw->auths[c->auth]);
    tw->free_auths[tw->n_free_auths++] = c->auth;
    c->auth = 0;
    c->auth_len = 0;
    c->lflags &= (uint8_t)~TCP_LF_AUTH;
}

static int attach(struct worker *w, struct tcp_conn *c, struct tcp_auth *found)
{
    struct tcp_auth *a = malloc(size_of(found)), *old = tcp_auth_of_conn(w, c);

    if (!a || (!old && slot_take(tcp_worker_of(w), &c->auth) != 0)) {
        free(a);
        return -ENOMEM;
    }
    memcpy((void *)a, found, size_of(found));
    if (old)
        wipe(old);
    tcp_worker_of(w)->auths[c->auth] = a;
    c->auth_len = a->opt_len;
    c->lflags |= TCP_LF_AUTH;
    return 0;
}

int tcp_auth_attach(struct worker *w, struct tcp_conn *c, uint32_t number, const struct tcp_seg *syn)
{
    struct tcp_auth found, *old = tcp_auth_of_conn(w, c);
    int rc = tcp_keys_find(w->stack, number, &c->base.rmt.ip, &found);

    if (rc < 0)
        return rc;
    if (rc == 1) {
        if (found.kind == SVM_TCP_KEY_AO && old && old->kind == SVM_TCP_KEY_AO)
            tcp_ao_merge(old, &found);
        else if (found.kind == SVM_TCP_KEY_AO && syn)
            tcp_ao_choose(&found, syn);
        rc = attach(w, c, &found);
    } else if (!old || old->kind != SVM_TCP_KEY_AO) { /* RFC 5925 s7.2: what has begun with TCP-AO ends with it */
        tcp_auth_release(w, c);
    }
    OPENSSL_cleanse(&found, sizeof(found));
    return rc;
}

/* Timestamps and MD5's signature leave no room for SACK blocks, which are worth more (40 bytes of options: 12 + 20, and 12 for one block). */
bool tcp_auth_leaves_ts(const struct tcp_conn *c, bool sack)
{
    return !sack || TCP_OPT_MAX - TCP_OPT_TS_LEN - c->auth_len >= 12;
}

void tcp_auth_show(struct worker *w, const struct tcp_conn *c, json_t *obj)
{
    const struct tcp_auth *a = tcp_auth_of_conn(w, c);

    json_object_set_new(obj, "signed", json_string(a->kind == SVM_TCP_KEY_AO ? "ao" : "md5"));
    if (a->kind != SVM_TCP_KEY_AO)
        return;
    json_object_set_new(obj, "ao_current_key", json_integer(a->ao[a->current].snd_id));
    json_object_set_new(obj, "ao_next_key", json_integer(a->ao[a->rnext].rcv_id));
    json_object_set_new(obj, "ao_keys", json_integer(a->n));
    json_object_set_new(obj, "ao_good", json_integer((json_int_t)a->counts.good));
    json_object_set_new(obj, "ao_bad", json_integer((json_int_t)(a->counts.bad + a->counts.no_key + a->counts.missing)));
}

/* ---- the program's options ---- */

static void resize(struct worker *w, struct tcp_conn *c)
{
    const struct tcp_auth *a = tcp_auth_of_conn(w, c);

    c->auth_len = a ? a->opt_len : 0;
    if (c->state != TCP_S_CLOSED)
        tcp_conn_path_update(w, c);
}

int tcp_auth_attr_set(struct worker *w, struct tcp_conn *c, uint8_t attr, const void *val, uint32_t len)
{
    struct tcp_auth *a = tcp_auth_of_conn(w, c);
    struct svm_tcp_ao ao;
    uint32_t number;
    int rc;

    if (attr == SVM_ATTR_TCP_KEYS && len == sizeof(number)) {
        memcpy(&number, val, sizeof(number));
        rc = tcp_auth_attach(w, c, number, NULL);
    } else if (!a || a->kind != SVM_TCP_KEY_AO) {
        return -ENOENT;
    } else if (attr == SVM_ATTR_TCP_AO && len == sizeof(ao)) {
        memcpy(&ao, val, sizeof(ao));
        rc = tcp_ao_set(a, &ao);
    } else if (attr == SVM_ATTR_TCP_AO_COUNTS && len == sizeof(a->counts)) {
        memcpy(&a->counts, val, sizeof(a->counts));
        return 0;
    } else {
        return -EINVAL;
    }
    if (rc == 0)
        resize(w, c);
    return rc;
}

int tcp_auth_attr_get(struct worker *w, const struct tcp_conn *c, uint8_t attr, void *val, uint32_t *len)
{
    const struct tcp_auth *a = tcp_auth_of_conn(w, c);
    struct svm_tcp_ao_key key;
    struct svm_tcp_ao ao;
    int rc = 0;

    if (!a || a->kind != SVM_TCP_KEY_AO)
        return -ENOENT;
    if (attr == SVM_ATTR_TCP_AO && *len >= sizeof(ao)) {
        tcp_ao_get(a, &ao);
        memcpy(val, &ao, *len = sizeof(ao));
    } else if (attr == SVM_ATTR_TCP_AO_COUNTS && *len >= sizeof(a->counts)) {
        memcpy(val, &a->counts, *len = sizeof(a->counts));
    } else if (attr == SVM_ATTR_TCP_AO_KEY && *len >= sizeof(key)) {
        memcpy(&key, val, sizeof(key));
        rc = tcp_ao_get_key(a, &key);
        memcpy(val, &key, *len = sizeof(key));
    } else {
        rc = -EINVAL;
    }
    return rc;
}

/* RFC 5925 s7.8: who is nobody's peer could end a connection, or slow it down, by what nobody has signed. */
bool tcp_auth_believes_icmp(struct worker *w, struct tcp_conn *c, bool hard, uint32_t mtu)
{
    struct tcp_auth *a = tcp_auth_of_conn(w, c);

    if (a->kind != SVM_TCP_KEY_AO || (a->flags & SVM_TCP_AO_ICMP) || !(hard || (mtu && ip_addr_is_v4(&c->base.rmt.ip))))
        return true;
    a->counts.icmp++;
    return false;
}

/* ---- in ---- */

static bool drop(struct worker *w, enum tcp_counter why)
{
    tcp_count(w, why);
    return false;
}

bool tcp_auth_is_ok(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint8_t digest[TCP_MD5_DIGEST];

    if (!a)
        return seg->o.sig ? drop(w, TCP_C_sig_unexpected) : true;
    if (a->kind == SVM_TCP_KEY_AO)
        return tcp_ao_check(w, a, c, seg);
    if (!seg->o.sig || seg->o.sig[0] != TCP_OPT_MD5)
        return drop(w, TCP_C_sig_missing);
    if (!tcp_auth_md5(w, a, seg->p, &seg->src.ip, &seg->dst.ip, digest) || CRYPTO_memcmp(digest, seg->o.sig + 2, sizeof(digest)) != 0)
        return drop(w, TCP_C_sig_bad);
    return true;
}

/* A set that has gone means that nobody is trusted any more, not everybody. */
bool tcp_auth_listen_input(struct worker *w, const struct listener *l, const struct tcp_seg *seg)
{
    uint32_t number = listener_layer_cfg(l);
    struct tcp_auth a;
    int rc = number ? tcp_keys_find(w->stack, number, &seg->src.ip, &a) : 0;
    bool ok = rc >= 0 ? tcp_auth_is_ok(w, rc == 1 ? &a : NULL, NULL, seg) : drop(w, TCP_C_sig_missing);

    if (rc == 1)
        OPENSSL_cleanse(&a, sizeof(a));
    return ok;
}

static bool is_first_syn(const struct tcp_seg *seg)
{
    return (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

bool tcp_auth_input(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    /* In TIME-WAIT a SYN is for the listener, whose key may be another one by now. */
    const struct listener *l = c->state == TCP_S_TIME_WAIT && is_first_syn(seg)
                                   ? session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg)) : NULL;

    return l ? tcp_auth_listen_input(w, l, seg) : tcp_auth_is_ok(w, tcp_auth_of_conn(w, c), c, seg);
}

/* ---- out ---- */

unsigned tcp_auth_put(const struct tcp_auth *a, uint8_t *opt, unsigned opt_len)
{
    if (a->kind == SVM_TCP_KEY_AO)
        return tcp_ao_put(a, opt, opt_len);
    opt += opt_len;
    opt[0] = opt[1] = TCP_OPT_NOP;
    opt[2] = TCP_OPT_MD5;
    opt[3] = TCP_MD5_LEN;
    memset(opt + 4, 0, TCP_MD5_DIGEST);
    return opt_len + a->opt_len;
}

/* The digest is the end of the header. */
bool tcp_auth_sign(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, struct pkt *p, const struct ip_addr *src,
                   const struct ip_addr *dst)
{
    uint8_t *h = pkt_data(p);
    unsigned hdr_len = tcp_hdr_len((const struct tcp_hdr *)(const void *)h);

    return a->kind == SVM_TCP_KEY_AO ? tcp_ao_sign(w, a, c, p, src, dst) : tcp_auth_md5(w, a, p, src, dst, h + hdr_len - TCP_MD5_DIGEST);
}

/* A connection's segment was checked; so was a listener's. Where nobody listens, no key is known that an answer could be signed with, and
 * the peer would drop it unsigned. With TCP-AO it would be dropped in any case, the numbers that the connection began with being forgotten
 * (RFC 5925 s7.7). */
int tcp_auth_of_answer(struct worker *w, const struct tcp_seg *seg, struct tcp_conn **c, struct tcp_auth *out)
{
    struct transport_conn *b = session_lookup(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg));
    const struct listener *l;

    if (b) {
        uint8_t state = tcp_of_base(b)->state;
        const struct tcp_auth *a = state == TCP_S_IDLE || state == TCP_S_WAITING ? NULL : tcp_auth_of_conn(w, tcp_of_base(b));

        if (!a) /* nor has one of the compact forms */
            return seg->o.sig ? -EACCES : 0;
        *c = tcp_of_base(b);
        memcpy((void *)out, a, size_of(a));
        return 1;
    }
    if (!seg->o.sig)
        return 0;
    l = session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg));
    if (!l || !listener_layer_cfg(l) || tcp_keys_find(w->stack, listener_layer_cfg(l), &seg->src.ip, out) != 1)
        return -EACCES;
    return out->kind == SVM_TCP_KEY_AO ? -EACCES : 1;
}
