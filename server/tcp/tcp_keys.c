/* tcp_keys.c - the keys that programs have given for their peers: sets, known by number
 *
 * A set belongs to the program that made it until a session uses it, and ends with that session: keys stay while a forked child or who
 * was passed the socket uses it. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include "server/tcp/tcp_auth.h"

enum {
    BUCKETS = 256,
    SETS_MAX = 4096, KEYS_OF_APP_MAX = 16384, /* of a program */
    KEYS_MAX = 1024, AO_KEYS_MAX = 256,       /* of a set; those of TCP-AO are looked through once for each width of prefix */
};

struct key_set {
    struct key_set *next;            /* of its bucket */
    uint32_t number, app_id;
    bool is_used;                    /* by a session */
    uint8_t ao_flags, ao_current, ao_rnext; /* wishes of the program for connections to come */
    unsigned n;
    struct svm_tcp_key *keys;        /* the oldest first */
};

struct tcp_keys {
    pthread_mutex_t lock;
    uint32_t last;
    struct key_set *bucket[BUCKETS];
};

int tcp_keys_create(struct stack *s)
{
    struct tcp_keys *ks = calloc(1, sizeof(*ks));

    if (!ks)
        return -ENOMEM;
    pthread_mutex_init(&ks->lock, NULL);
    s->tcp_keys = ks;
    return 0;
}

static void set_free(struct key_set *set)
{
    if (set->keys)
        OPENSSL_cleanse(set->keys, set->n * sizeof(*set->keys));
    free(set->keys);
    free(set);
}

void tcp_keys_destroy(struct stack *s)
{
    struct tcp_keys *ks = s->tcp_keys;

    if (!ks)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (ks->bucket[i]) {
            struct key_set *set = ks->bucket[i];

            ks->bucket[i] = set->next;
            set_free(set);
        }
    }
    pthread_mutex_destroy(&ks->lock);
    free(ks);
    s->tcp_keys = NULL;
}

/* ---- under the lock ---- */

static struct key_set **place_of(struct tcp_keys *ks, uint32_t number)
{
    struct key_set **p = &ks->bucket[number % BUCKETS];

    while (*p && (*p)->number != number)
        p = &(*p)->next;
    return p;
}

static unsigned keys_of_app(const struct tcp_keys *ks, uint32_t app_id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        for (const struct key_set *set = ks->bucket[i]; set; set = set->next)
            n += set->app_id == app_id ? set->n : 0;
    }
    return n;
}

static int set_new(struct tcp_keys *ks, uint32_t app_id, struct key_set **out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        for (const struct key_set *set = ks->bucket[i]; set; set = set->next)
            n += set->app_id == app_id;
    }
    if (n >= SETS_MAX)
        return -ENOSPC;
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return -ENOMEM;
    do {
        ks->last++;
    } while (ks->last == 0 || *place_of(ks, ks->last));
    (*out)->number = ks->last;
    (*out)->app_id = app_id;
    *place_of(ks, ks->last) = *out;
    return 0;
}

static struct svm_tcp_key *same_key(struct key_set *set, const struct svm_tcp_key *k)
{
    for (unsigned i = 0; i < set->n; i++) {
        if (set->keys[i].kind == k->kind && set->keys[i].prefix == k->prefix && ip_addr_eq(&set->keys[i].ip, &k->ip) &&
            (k->kind == SVM_TCP_KEY_MD5 || (set->keys[i].snd_id == k->snd_id && set->keys[i].rcv_id == k->rcv_id)))
            return &set->keys[i];
    }
    return NULL;
}

static void remove_key(struct key_set *set, struct svm_tcp_key *k)
{
    unsigned after = set->n - 1 - (unsigned)(k - set->keys);

    memmove(k, k + 1, after * sizeof(*k));
    OPENSSL_cleanse(&set->keys[--set->n], sizeof(*k));
}

/* As Linux: a peer is asked for one kind of signature, and an identifier of TCP-AO says one key. */
static int conflict(const struct key_set *set, const struct svm_tcp_key *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < set->n; i++) {
        const struct svm_tcp_key *o = &set->keys[i];
        bool is_same_peer = o->prefix == k->prefix && ip_addr_eq(&o->ip, &k->ip);

        if (o->kind != k->kind && (svm_tcp_key_covers(o, &k->ip) || svm_tcp_key_covers(k, &o->ip)))
            return -EKEYREJECTED;
        if (o->kind == SVM_TCP_KEY_AO && is_same_peer && (o->snd_id == k->snd_id || o->rcv_id == k->rcv_id))
            return -EEXIST;
        n += is_same_peer;
    }
    return k->kind == SVM_TCP_KEY_AO && n >= TCP_AO_KEYS_MAX ? -ENOSPC : 0;
}

/* realloc() would leave keys in freed memory. */
static int add_key(const struct tcp_keys *ks, struct key_set *set, const struct svm_tcp_key *k)
{
    struct svm_tcp_key *old = k->kind == SVM_TCP_KEY_MD5 ? same_key(set, k) : NULL, *v;
    int rc = conflict(set, k);

    if (rc != 0)
        return rc;
    if (old) {
        *old = *k;
        return 0;
    }
    if (set->n >= (k->kind == SVM_TCP_KEY_AO ? AO_KEYS_MAX : KEYS_MAX) || keys_of_app(ks, set->app_id) >= KEYS_OF_APP_MAX)
        return -ENOSPC;
    v = malloc((set->n + 1) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    if (set->n)
        memcpy(v, set->keys, set->n * sizeof(*v));
    v[set->n] = *k;
    if (set->keys)
        OPENSSL_cleanse(set->keys, set->n * sizeof(*v));
    free(set->keys);
    set->keys = v;
    set->n++;
    return 0;
}

static int change(struct tcp_keys *ks, uint32_t app_id, const struct svm_tcp_key *k, uint32_t *number)
{
    struct key_set *set = *number ? *place_of(ks, *number) : NULL;
    struct svm_tcp_key *old;
    int rc;

    if (set && set->app_id != app_id)
        return -EACCES;
    if (k->remove) {
        old = set ? same_key(set, k) : NULL;
        if (!old)
            return -ENOENT;
        remove_key(set, old);
        return 0;
    }
    if (!set) {
        rc = set_new(ks, app_id, &set);
        if (rc != 0)
            return rc;
        *number = set->number;
    }
    if (k->kind == SVM_TCP_KEY_AO_INFO) {
        set->ao_flags = k->flags;
        set->ao_current = k->snd_id;
        set->ao_rnext = k->rcv_id;
        return 0;
    }
    return add_key(ks, set, k);
}

/* ---- offered ---- */

static bool have_md5(void)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "MD5", NULL); /* not where the machine's policy allows approved algorithms only */

    EVP_MD_free(md);
    return md != NULL;
}

static bool is_valid(const struct svm_tcp_key *k)
{
    if (k->kind == SVM_TCP_KEY_AO_INFO)
        return !k->remove;
    if (k->prefix > 128 || k->len > SVM_TCP_KEY_MAX)
        return false;
    if (k->kind == SVM_TCP_KEY_MD5)
        return k->remove || k->len > 0;
    return k->kind == SVM_TCP_KEY_AO &&
           (k->remove || (tcp_ao_digest_len(k->alg) && k->mac_len > 0 && k->mac_len <= TCP_AO_MAC_MAX &&
                          k->mac_len <= tcp_ao_digest_len(k->alg) && !(k->flags & ~SVM_TCP_AO_EXCLUDE_OPTIONS)));
}

int tcp_keys_change(struct stack *s, uint32_t app_id, const struct svm_tcp_key *k, uint32_t *number)
{
    int rc;

    if (!s->tcp_keys)
        return -ENOPROTOOPT;
    if (!is_valid(k))
        return -EINVAL;
    if (k->kind == SVM_TCP_KEY_MD5 && !k->remove && !have_md5())
        return -EOPNOTSUPP;
    pthread_mutex_lock(&s->tcp_keys->lock);
    rc = change(s->tcp_keys, app_id, k, number);
    pthread_mutex_unlock(&s->tcp_keys->lock);
    return rc;
}

int tcp_keys_use(struct stack *s, uint32_t app_id, uint32_t number)
{
    struct key_set *set;
    int rc = -EINVAL;

    if (!s->tcp_keys)
        return -ENOPROTOOPT;
    pthread_mutex_lock(&s->tcp_keys->lock);
    set = *place_of(s->tcp_keys, number);
    if (set && set->app_id == app_id) {
        set->is_used = true;
        rc = 0;
    }
    pthread_mutex_unlock(&s->tcp_keys->lock);
    return rc;
}

/* The session that used it has ended. */
void tcp_keys_drop(struct stack *s, uint32_t number)
{
    struct key_set **p, *set;

    if (!s->tcp_keys)
        return;
    pthread_mutex_lock(&s->tcp_keys->lock);
    p = place_of(s->tcp_keys, number);
    set = *p;
    if (set)
        *p = set->next;
    pthread_mutex_unlock(&s->tcp_keys->lock);
    if (set)
        set_free(set);
}

void tcp_keys_app_gone(struct stack *s, uint32_t app_id)
{
    if (!s->tcp_keys)
        return;
    pthread_mutex_lock(&s->tcp_keys->lock);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct key_set **p = &s->tcp_keys->bucket[i], *set; (set = *p);) {
            if (set->app_id != app_id || set->is_used) {
                p = &set->next;
                continue;
            }
            *p = set->next;
            set_free(set);
        }
    }
    pthread_mutex_unlock(&s->tcp_keys->lock);
}

static void put_md5(struct tcp_auth *out, const struct svm_tcp_key *k)
{
    *out = (struct tcp_auth){ .kind = SVM_TCP_KEY_MD5, .opt_len = TCP_MD5_PADDED, .key_len = k->len };
    memcpy(out->key, k->key, k->len);
}

static void put_ao(struct tcp_auth *out, const struct svm_tcp_key *k)
{
    struct tcp_ao_key *to = &out->ao[out->n++];

    *to = (struct tcp_ao_key){ .snd_id = k->snd_id, .rcv_id = k->rcv_id, .alg = k->alg, .mac_len = k->mac_len, .flags = k->flags,
                               .key_len = k->len };
    memcpy(to->key, k->key, k->len);
}

/* RFC 5925 s3.1: identifiers of one peer are unique: of keys for wider prefixes only those that do not repeat one. */
static bool is_repeated(const struct tcp_auth *a, const struct svm_tcp_key *k)
{
    for (unsigned i = 0; i < a->n; i++) {
        if (a->ao[i].snd_id == k->snd_id || a->ao[i].rcv_id == k->rcv_id)
            return true;
    }
    return a->n == TCP_AO_KEYS_MAX;
}

/* The longest prefix first, and of one prefix the newest (that is what Linux begins with). */
static void collect_ao(const struct key_set *set, const struct ip_addr *peer, struct tcp_auth *out)
{
    struct svm_tcp_ao wish = { .flags = set->ao_flags, .current = set->ao_current, .rnext = set->ao_rnext };

    *out = (struct tcp_auth){ .kind = SVM_TCP_KEY_AO, .flags = set->ao_flags & (SVM_TCP_AO_REQUIRED | SVM_TCP_AO_ICMP) };
    for (int prefix = 128; prefix >= 0 && out->n < set->n; prefix--) {
        for (unsigned i = set->n; i-- > 0;) {
            const struct svm_tcp_key *k = &set->keys[i];
            if (k->prefix == prefix && k->kind == SVM_TCP_KEY_AO && svm_tcp_key_covers(k, peer) && !is_repeated(out, k))
                put_ao(out, k);
        }
    }
    tcp_ao_select(out);
    (void)tcp_ao_set(out, &wish); /* of keys that are none for this peer, nothing is wished */
}

int tcp_keys_find(struct stack *s, uint32_t number, const struct ip_addr *peer, struct tcp_auth *out)
{
    const struct svm_tcp_key *best = NULL;
    const struct key_set *set;
    int rc;

    if (!s->tcp_keys)
        return -ENOENT;
    pthread_mutex_lock(&s->tcp_keys->lock);
    set = *place_of(s->tcp_keys, number);
    for (unsigned i = 0; set && i < set->n; i++) {
        if (svm_tcp_key_covers(&set->keys[i], peer) && (!best || set->keys[i].prefix > best->prefix))
            best = &set->keys[i];
    }
    if (best && best->kind == SVM_TCP_KEY_MD5)
        put_md5(out, best);
    else if (best)
        collect_ao(set, peer, out);
    rc = best ? 1 : !set ? -ENOENT : set->ao_flags & SVM_TCP_AO_REQUIRED ? -EACCES : 0;
    pthread_mutex_unlock(&s->tcp_keys->lock);
    return rc;
}
