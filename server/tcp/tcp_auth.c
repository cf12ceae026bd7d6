/* tcp_auth.c - who must sign, whose signature counts, and what is signed in answer (RFC 2385 s4.1) */
#include <errno.h>
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
    free(tw->auths);
    free(tw->free_auths);
    tw->auths = NULL;
    tw->free_auths = NULL;
    tw->cap_auths = tw->n_free_auths = 0;
}

void tcp_auth_release(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (!c->auth)
        return;
    OPENSSL_cleanse(tw->auths[c->auth], sizeof(struct tcp_auth));
    free(tw->auths[c->auth]);
    tw->free_auths[tw->n_free_auths++] = c->auth;
    c->auth = 0;
    c->auth_len = 0;
    c->lflags &= (uint8_t)~TCP_LF_AUTH;
}

static int attach(struct worker *w, struct tcp_conn *c, const struct tcp_auth *found)
{
    struct tcp_auth *a = malloc(sizeof(*a));

    if (!a || slot_take(tcp_worker_of(w), &c->auth) != 0) {
        free(a);
        return -ENOMEM;
    }
    *a = *found;
    tcp_worker_of(w)->auths[c->auth] = a;
    c->auth_len = a->opt_len;
    c->lflags |= TCP_LF_AUTH;
    return 0;
}

int tcp_auth_attach(struct worker *w, struct tcp_conn *c, uint32_t number)
{
    struct tcp_auth found;
    int rc = tcp_keys_find(w->stack, number, &c->base.rmt.ip, &found);

    if (rc < 0)
        return rc;
    if (rc == 1 && c->auth) {
        *tcp_auth_of_conn(w, c) = found;
        c->auth_len = found.opt_len;
        rc = 0;
    } else if (rc == 1) {
        rc = attach(w, c, &found);
    } else {
        tcp_auth_release(w, c);
    }
    OPENSSL_cleanse(&found, sizeof(found));
    return rc;
}

/* The program has changed the keys while there is a connection. */
int tcp_auth_changed(struct worker *w, struct tcp_conn *c, uint32_t number)
{
    int rc = tcp_auth_attach(w, c, number);

    if (rc == 0 && c->state != TCP_S_CLOSED)
        tcp_conn_path_update(w, c);
    return rc;
}

const char *tcp_auth_name(struct worker *w, const struct tcp_conn *c)
{
    (void)w;
    return c->auth ? "md5" : NULL;
}

/* Timestamps and a signature leave no room for SACK blocks, which are worth more (40 bytes of options: 12 + 20, and 12 for one block). */
bool tcp_auth_leaves_ts(const struct tcp_conn *c, bool sack)
{
    return !sack || TCP_OPT_MAX - TCP_OPT_TS_LEN - c->auth_len >= 12;
}

/* ---- in ---- */

static bool drop(struct worker *w, enum tcp_counter why)
{
    tcp_count(w, why);
    return false;
}

bool tcp_auth_is_ok(struct worker *w, const struct tcp_auth *a, const struct tcp_seg *seg)
{
    uint8_t digest[TCP_MD5_DIGEST];

    if (!a)
        return seg->o.sig ? drop(w, TCP_C_sig_unexpected) : true;
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
    bool ok = rc >= 0 ? tcp_auth_is_ok(w, rc == 1 ? &a : NULL, seg) : drop(w, TCP_C_sig_missing);

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
                                   ? session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, seg->fib) : NULL;

    return l ? tcp_auth_listen_input(w, l, seg) : tcp_auth_is_ok(w, tcp_auth_of_conn(w, c), seg);
}

/* ---- out ---- */

unsigned tcp_auth_put(const struct tcp_auth *a, uint8_t *opt, unsigned opt_len)
{
    opt += opt_len;
    opt[0] = opt[1] = TCP_OPT_NOP;
    opt[2] = TCP_OPT_MD5;
    opt[3] = TCP_MD5_LEN;
    memset(opt + 4, 0, TCP_MD5_DIGEST);
    return opt_len + a->opt_len;
}

/* The digest is the end of the header. */
bool tcp_auth_sign(struct worker *w, const struct tcp_auth *a, struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst)
{
    uint8_t *h = pkt_data(p);
    unsigned hdr_len = tcp_hdr_len((const struct tcp_hdr *)(const void *)h);

    return tcp_auth_md5(w, a, p, src, dst, h + hdr_len - TCP_MD5_DIGEST);
}

/* A connection's segment was checked; so was a listener's. Where nobody listens, no key is known that an answer could be signed with, and
 * the peer would drop it unsigned. */
int tcp_auth_of_answer(struct worker *w, const struct tcp_seg *seg, struct tcp_auth *out)
{
    const struct transport_conn *b = session_lookup(w, SVM_PROTO_TCP, &seg->dst, &seg->src, seg->fib);
    const struct listener *l;

    if (b) {
        const struct tcp_auth *a = tcp_auth_of_conn(w, (const struct tcp_conn *)b);

        if (!a)
            return seg->o.sig ? -EACCES : 0;
        *out = *a;
        return 1;
    }
    if (!seg->o.sig)
        return 0;
    l = session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, seg->fib);
    return l && listener_layer_cfg(l) && tcp_keys_find(w->stack, listener_layer_cfg(l), &seg->src.ip, out) == 1 ? 1 : -EACCES;
}
