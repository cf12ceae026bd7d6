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

enum { BUCKETS = 256, SETS_MAX = 4096 /* of a program */, KEYS_MAX = 1024 /* of a set */ };

struct key_set {
    struct key_set *next;            /* of its bucket */
    uint32_t number, app_id;
    bool is_used;                    /* by a session */
    unsigned n;
    struct svm_tcp_key *keys;
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
        if (set->keys[i].kind == k->kind && set->keys[i].prefix == k->prefix && ip_addr_eq(&set->keys[i].ip, &k->ip))
            return &set->keys[i];
    }
    return NULL;
}

static void remove_key(struct key_set *set, struct svm_tcp_key *k)
{
    *k = set->keys[--set->n];
    OPENSSL_cleanse(&set->keys[set->n], sizeof(*k));
}

/* realloc() would leave keys in freed memory. */
static int add_key(struct key_set *set, const struct svm_tcp_key *k)
{
    struct svm_tcp_key *old = same_key(set, k), *v;

    if (old) {
        *old = *k;
        return 0;
    }
    if (set->n >= KEYS_MAX)
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
    return add_key(set, k);
}

/* ---- offered ---- */

static bool have_md5(void)
{
    EVP_MD *md = EVP_MD_fetch(NULL, "MD5", NULL); /* not where the machine's policy allows approved algorithms only */

    EVP_MD_free(md);
    return md != NULL;
}

int tcp_keys_change(struct stack *s, uint32_t app_id, const struct svm_tcp_key *k, uint32_t *number)
{
    int rc;

    if (!s->tcp_keys)
        return -ENOPROTOOPT;
    if (k->kind != SVM_TCP_KEY_MD5 || k->prefix > 128 || k->len > SVM_TCP_KEY_MAX || (!k->remove && k->len == 0))
        return -EINVAL;
    if (!k->remove && !have_md5())
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

int tcp_keys_find(struct stack *s, uint32_t number, const struct ip_addr *peer, struct tcp_auth *out)
{
    const struct svm_tcp_key *best = NULL;
    const struct key_set *set;

    if (!s->tcp_keys)
        return -ENOENT;
    pthread_mutex_lock(&s->tcp_keys->lock);
    set = *place_of(s->tcp_keys, number);
    for (unsigned i = 0; set && i < set->n; i++) {
        if (svm_tcp_key_covers(&set->keys[i], peer) && (!best || set->keys[i].prefix > best->prefix))
            best = &set->keys[i];
    }
    if (best) {
        *out = (struct tcp_auth){ .kind = best->kind, .opt_len = TCP_MD5_PADDED, .key_len = best->len };
        memcpy(out->key, best->key, best->len);
    }
    pthread_mutex_unlock(&s->tcp_keys->lock);
    return best ? 1 : set ? 0 : -ENOENT;
}
