/* vcl_tcp_keys.c - a socket's keys for its peers, and TCP_MD5SIG, TCP_MD5SIG_EXT (tcp(7), RFC 2385); TCP-AO's options: vcl_tcp_ao.c
 *
 * The socket keeps them, wiped when it goes: the server is told when there is something to use them, over the attach socket, and again
 * after it was restarted. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include "vcl/vcl_internal.h"

enum { KEYS_MAX = 1024 }; /* as many as the server takes */

struct vcl_tcp_keys {
    unsigned n;
    struct svm_tcp_key *v;
    uint64_t cookie;             /* of the application that `number` belongs to; 0 = not sent */
    uint32_t number;
};

static void wipe(struct svm_tcp_key *v, unsigned n)
{
    if (v)
        explicit_bzero(v, n * sizeof(*v));
    free(v);
}

void vcl_tcp_keys_free(struct vcl_socket *s)
{
    if (s->tcp_keys)
        wipe(s->tcp_keys->v, s->tcp_keys->n);
    free(s->tcp_keys);
    s->tcp_keys = NULL;
}

static struct svm_tcp_key *find(const struct vcl_tcp_keys *ks, const struct svm_tcp_key *k)
{
    for (unsigned i = 0; ks && i < ks->n; i++)
        if (ks->v[i].kind == k->kind &&
            (k->kind == SVM_TCP_KEY_AO_INFO ||
             (ks->v[i].prefix == k->prefix && ip_addr_eq(&ks->v[i].ip, &k->ip) &&
              (k->kind == SVM_TCP_KEY_MD5 || (ks->v[i].snd_id == k->snd_id && ks->v[i].rcv_id == k->rcv_id)))))
            return &ks->v[i];
    return NULL;
}

static int keep(struct vcl_socket *s, const struct svm_tcp_key *k)
{
    struct vcl_tcp_keys *ks = s->tcp_keys ? s->tcp_keys : calloc(1, sizeof(*ks));
    struct svm_tcp_key *old = find(ks, k), *v;

    if (!ks)
        return -ENOMEM;
    s->tcp_keys = ks;
    if (old) {
        *old = *k;
        return 0;
    }
    if (ks->n >= KEYS_MAX)
        return -ENOMEM; /* Linux: optmem_max */
    v = malloc((ks->n + 1) * sizeof(*v)); /* realloc() would leave keys behind */
    if (!v)
        return -ENOMEM;
    if (ks->n)
        memcpy(v, ks->v, ks->n * sizeof(*v));
    v[ks->n] = *k;
    wipe(ks->v, ks->n);
    ks->v = v;
    ks->n++;
    return 0;
}

static void forget(struct vcl_tcp_keys *ks, struct svm_tcp_key *k)
{
    memmove(k, k + 1, (ks->n - 1 - (unsigned)(k - ks->v)) * sizeof(*k));
    explicit_bzero(&ks->v[--ks->n], sizeof(*k));
}

/* ---- telling the server; worker lock held ---- */
static int send_all(struct vcl_worker *w, struct vcl_tcp_keys *ks)
{
    int rc = 0;

    ks->number = 0;
    for (unsigned i = 0; i < ks->n && !rc; i++)
        rc = vcl_worker_tcp_key(w, &ks->v[i], &ks->number);
    ks->cookie = rc ? 0 : w->app_cookie;
    return rc;
}

int vcl_tcp_keys_number(struct vcl_socket *s, uint32_t *number)
{
    struct vcl_tcp_keys *ks = s->tcp_keys;
    struct vcl_worker *w = s->w;
    int rc = 0;

    *number = 0;
    if (!ks || (ks->n == 0 && ks->cookie != w->app_cookie))
        return 0;
    if (!atomic_load(&w->attached) || w->lost)
        return -ENETDOWN;
    if (ks->cookie != w->app_cookie)
        rc = send_all(w, ks);
    *number = ks->number;
    return rc;
}

/* Its session ends, and with it what the server knows. */
void vcl_tcp_keys_untold(struct vcl_socket *s)
{
    if (s->tcp_keys)
        s->tcp_keys->cookie = 0;
}

/* One key is added or removed: here, and where there is a session there, too. */
static int tell(struct vcl_socket *s, const struct svm_tcp_key *k, bool *told)
{
    struct vcl_worker *w = s->w;
    struct vcl_tcp_keys *ks = s->tcp_keys;
    bool has_session = !vcl_handle_is_none(s->handle) || vcl_state(s) == VCL_CONNECTING;

    *told = has_session && atomic_load(&w->attached) && !w->lost && !s->local && s->epoch == w->epoch;
    if (!*told)
        return 0;
    return ks->cookie == w->app_cookie ? vcl_worker_tcp_key(w, k, &ks->number) : send_all(w, ks);
}

static int change(struct vcl_socket *s, const struct svm_tcp_key *k, bool *told)
{
    struct svm_tcp_key *old = find(s->tcp_keys, k), before;
    int rc;

    if (k->remove && !old)
        return -ENOENT;
    if (k->remove) {
        rc = s->tcp_keys->cookie == s->w->app_cookie ? tell(s, k, told) : 0;
        forget(s->tcp_keys, old);
        return rc;
    }
    if (old)
        before = *old;
    rc = keep(s, k);
    if (rc)
        return rc;
    rc = tell(s, k, told);
    if (rc && old) /* as it was: the server has refused */
        *find(s->tcp_keys, k) = before;
    else if (rc)
        forget(s->tcp_keys, find(s->tcp_keys, k));
    if (old)
        explicit_bzero(&before, sizeof(before));
    return rc;
}

int vcl_tcp_key_set(struct vcl_socket *s, const struct svm_tcp_key *k)
{
    bool told = false;
    uint32_t number = 0;
    int rc;

    pthread_mutex_lock(&s->w->lock);
    rc = change(s, k, &told);
    if (told && s->tcp_keys)
        number = s->tcp_keys->number;
    told = told && !vcl_handle_is_none(s->handle);
    pthread_mutex_unlock(&s->w->lock);
    if (rc == 0 && told)
        rc = vcl_attr_request(s, SVM_MSG_ATTR_SET, SVM_ATTR_TCP_KEYS, &number, sizeof(number));
    return rc;
}

/* What was changed while an attempt was under way; worker lock held. */
bool vcl_tcp_keys_are_told(const struct vcl_socket *s, uint32_t *number)
{
    *number = s->tcp_keys && s->tcp_keys->cookie == s->w->app_cookie ? s->tcp_keys->number : 0;
    return *number != 0;
}

const struct svm_tcp_key *vcl_tcp_key_at(const struct vcl_socket *s, unsigned i)
{
    return s->tcp_keys && i < s->tcp_keys->n ? &s->tcp_keys->v[i] : NULL;
}

bool vcl_tcp_ao_is_on(const struct vcl_socket *s)
{
    const struct svm_tcp_key *k;

    for (unsigned i = 0; (k = vcl_tcp_key_at(s, i)); i++)
        if (k->kind != SVM_TCP_KEY_MD5)
            return true;
    return false;
}

/* As Linux: an accepted socket has the MD5 key for its peer, and that one alone; of TCP-AO all for its peer. Without memory the program
 * cannot change them; the connection has them. */
void vcl_tcp_keys_inherit(struct vcl_socket *s, const struct vcl_socket *l)
{
    const struct svm_tcp_key *best = NULL, *k;
    struct svm_tcp_key own;

    for (unsigned i = 0; (k = vcl_tcp_key_at(l, i)); i++) {
        if (k->kind == SVM_TCP_KEY_MD5 && svm_tcp_key_covers(k, &s->rmt.ip) && (!best || k->prefix > best->prefix))
            best = k;
        else if (k->kind == SVM_TCP_KEY_AO && svm_tcp_key_covers(k, &s->rmt.ip))
            (void)keep(s, k);
    }
    if (!best)
        return;
    own = *best;
    own.ip = s->rmt.ip;
    own.prefix = 128;
    (void)keep(s, &own);
    explicit_bzero(&own, sizeof(own));
}

/* ---- the option ---- */
static int take_address(const struct vcl_socket *s, const struct tcp_md5sig *m, bool has_prefix, struct svm_tcp_key *k)
{
    struct sockaddr_storage ss;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    unsigned max;

    memcpy(&ss, &m->tcpm_addr, sizeof(ss));
    if (ss.ss_family != (s->is_v6 ? AF_INET6 : AF_INET))
        return -EINVAL;
    if (s->is_v6) {
        memcpy(&in6, &ss, sizeof(in6));
        memcpy(&k->ip, &in6.sin6_addr, sizeof(k->ip));
    } else {
        memcpy(&in4, &ss, sizeof(in4));
        k->ip = ip_addr_v4((be32){ in4.sin_addr.s_addr });
    }
    max = ip_addr_is_v4(&k->ip) ? 32 : 128;
    if (has_prefix && m->tcpm_prefixlen > max)
        return -EINVAL;
    k->prefix = (uint8_t)((has_prefix ? m->tcpm_prefixlen : max) + 128 - max);
    return 0;
}

int vcl_tcp_md5_set(struct vcl_socket *s, int name, const void *val, socklen_t len)
{
    struct svm_tcp_key k = { .kind = SVM_TCP_KEY_MD5 };
    struct tcp_md5sig m;
    int rc;

    if (s->proto != SVM_PROTO_TCP)
        return -ENOPROTOOPT;
    if (len < sizeof(m))
        return -EINVAL;
    memcpy(&m, val, sizeof(m));
    rc = take_address(s, &m, name == TCP_MD5SIG_EXT && (m.tcpm_flags & TCP_MD5SIG_FLAG_PREFIX), &k);
    if (rc == 0 && name == TCP_MD5SIG_EXT && m.tcpm_flags & ~TCP_MD5SIG_FLAG_PREFIX)
        rc = -EINVAL; /* of one VRF: there is none */
    if (rc == 0 && m.tcpm_keylen > TCP_MD5SIG_MAXKEYLEN)
        rc = -EINVAL;
    if (rc == 0) {
        k.len = (uint8_t)m.tcpm_keylen;
        k.remove = k.len == 0;
        memcpy(k.key, m.tcpm_key, k.len);
        rc = vcl_tcp_key_set(s, &k);
    }
    explicit_bzero(&k, sizeof(k));
    explicit_bzero(&m, sizeof(m));
    return rc;
}
