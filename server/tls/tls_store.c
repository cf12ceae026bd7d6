/* tls_store.c - certificates, keys and configurations that programs have given, by program; and the profiles made of them */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/tls/tls_internal.h"

enum { OBJECTS_MAX = 1024 }; /* of a program */

struct tls_object {
    struct tls_object *next;
    uint32_t app_id, id;
    struct tls_pair *pair;             /* or NULL: */
    struct svm_tls_config cfg;
};

static struct tls_object **find(struct tls_stack *ts, uint32_t app_id, uint32_t id)
{
    struct tls_object **p;

    for (p = &ts->objects; *p; p = &(*p)->next)
        if ((*p)->app_id == app_id && (*p)->id == id)
            break;
    return p;
}

static void changed(struct tls_stack *ts)
{
    atomic_fetch_add(&ts->generation, 1);
}

uint32_t tls_store_generation(struct stack *s)
{
    return atomic_load(&s->tls->generation);
}

static void object_free(struct tls_stack *ts, struct tls_object *o)
{
    if (o->pair)
        ts->engine->pair_put(o->pair);
    free(o);
}

/* New ones at the end: without a configuration the first pair of a program is its default one. Lock held. */
static int insert(struct tls_stack *ts, struct tls_object *o)
{
    struct tls_object **p;
    unsigned n = 0;

    for (p = &ts->objects; *p; p = &(*p)->next)
        n += (*p)->app_id == o->app_id;
    if (n >= OBJECTS_MAX)
        return -ENOSPC;
    if (++ts->next_id == 0)
        ts->next_id = 1;
    o->id = ts->next_id;
    *p = o;
    changed(ts);
    return 0;
}

static int say(int error, char *err, size_t err_len)
{
    if (error == -ENOSPC)
        snprintf(err, err_len, "the program has %d certificates and configurations already", OBJECTS_MAX);
    else if (error)
        snprintf(err, err_len, "%s", strerror(-error));
    return error;
}

int tls_store_put_pair(struct stack *s, uint32_t app_id, const char *cert, size_t cert_len, const char *key, size_t key_len,
                       uint32_t replace, uint32_t *id, char *err, size_t err_len)
{
    struct tls_stack *ts = s->tls;
    struct tls_object *o;
    struct tls_pair *pair;
    int rc;

    if (!ts)
        return say(-EPROTONOSUPPORT, err, err_len);
    rc = ts->engine->pair_new(ts->instance, cert, cert_len, key, key_len, err, err_len, &pair);
    if (rc != 0)
        return rc;
    o = calloc(1, sizeof(*o));
    if (!o) {
        ts->engine->pair_put(pair);
        return say(-ENOMEM, err, err_len);
    }
    *o = (struct tls_object){ .app_id = app_id, .pair = pair };
    pthread_mutex_lock(&ts->lock);
    if (replace) {
        struct tls_object *old = *find(ts, app_id, replace);
        rc = old && old->pair ? 0 : -ENOENT;
        if (rc == 0) { /* connections that use the old one keep it */
            o->pair = old->pair;
            old->pair = pair;
            *id = replace;
            changed(ts);
        }
    } else {
        rc = insert(ts, o);
        *id = o->id;
    }
    pthread_mutex_unlock(&ts->lock);
    if (rc != 0 || replace)
        object_free(ts, o);
    return say(rc, err, err_len);
}

static const char *config_fault(const struct svm_tls_config *c)
{
    unsigned at = 0;

    if (c->n_pairs > SVM_TLS_PAIRS_MAX)
        return "too many certificates";
    if (c->verify > SVM_TLS_VERIFY_REQUIRED)
        return "no such kind of verification";
    if (!memchr(c->hostname, '\0', sizeof(c->hostname)))
        return "the host's name is too long";
    if (c->alpn_len > SVM_TLS_ALPN_MAX)
        return "too many protocols";
    while (at < c->alpn_len) { /* RFC 7301 s3.1: none is empty, the last one ends with the list */
        if (c->alpn[at] == 0 || at + 1 + c->alpn[at] > c->alpn_len)
            return "the list of protocols is malformed";
        at += 1 + c->alpn[at];
    }
    return NULL;
}

int tls_store_put_config(struct stack *s, uint32_t app_id, const struct svm_tls_config *cfg, uint32_t *id, char *err, size_t err_len)
{
    struct tls_stack *ts = s->tls;
    const char *fault = config_fault(cfg);
    struct tls_object *o;
    int rc = 0;

    if (!ts)
        return say(-EPROTONOSUPPORT, err, err_len);
    if (fault) {
        snprintf(err, err_len, "%s", fault);
        return -EINVAL;
    }
    o = calloc(1, sizeof(*o));
    if (!o)
        return say(-ENOMEM, err, err_len);
    o->app_id = app_id;
    o->cfg = *cfg;
    pthread_mutex_lock(&ts->lock);
    for (unsigned i = 0; i < cfg->n_pairs && rc == 0; i++) {
        const struct tls_object *p = *find(ts, app_id, cfg->pair[i]);
        rc = p && p->pair ? 0 : -ENOENT;
    }
    if (rc == 0)
        rc = insert(ts, o);
    *id = o->id;
    pthread_mutex_unlock(&ts->lock);
    if (rc != 0)
        free(o);
    return say(rc, err, err_len);
}

int tls_store_del(struct stack *s, uint32_t app_id, uint32_t id)
{
    struct tls_stack *ts = s->tls;
    struct tls_object **p, *o;

    if (!ts)
        return -ENOENT;
    pthread_mutex_lock(&ts->lock);
    p = find(ts, app_id, id);
    o = *p;
    if (o) {
        *p = o->next;
        changed(ts);
    }
    pthread_mutex_unlock(&ts->lock);
    if (!o)
        return -ENOENT;
    object_free(ts, o);
    return 0;
}

void tls_store_app_gone(struct stack *s, uint32_t app_id)
{
    struct tls_stack *ts = s->tls;

    if (!ts)
        return;
    pthread_mutex_lock(&ts->lock);
    for (struct tls_object **p = &ts->objects, *o; (o = *p);) {
        if (o->app_id != app_id) {
            p = &o->next;
            continue;
        }
        *p = o->next;
        object_free(ts, o);
        changed(ts);
    }
    pthread_mutex_unlock(&ts->lock);
}

/* ---- profiles ---- */

static void add_pair(struct tls_stack *ts, struct tls_profile *p, const struct tls_object *o)
{
    if (o && o->pair && p->n_pairs < TLS_PAIRS_MAX)
        p->pairs[p->n_pairs++] = ts->engine->pair_get(o->pair);
}

static void add_all_pairs(struct tls_stack *ts, struct tls_profile *p, uint32_t app_id)
{
    for (const struct tls_object *o = ts->objects; o; o = o->next)
        if (o->app_id == app_id)
            add_pair(ts, p, o);
}

int tls_store_profile(struct stack *s, uint32_t app_id, uint32_t id, bool is_server, struct tls_profile **out)
{
    struct tls_stack *ts = s->tls;
    struct tls_profile *p = calloc(1, sizeof(*p));
    const struct tls_object *o;
    int err = 0;

    if (!p)
        return -ENOMEM;
    atomic_store(&p->refs, 1);
    p->app_id = app_id;
    pthread_mutex_lock(&ts->lock);
    o = id ? *find(ts, app_id, id) : NULL;
    if (id && !o) {
        err = -ENOENT;
    } else if (o && o->pair) { /* a pair stands for a configuration that has just this one */
        add_pair(ts, p, o);
    } else if (o) {
        memcpy(p->alpn, o->cfg.alpn, sizeof(p->alpn));
        p->alpn_len = o->cfg.alpn_len;
        memcpy(p->hostname, o->cfg.hostname, sizeof(p->hostname));
        p->verify = o->cfg.verify;
        for (unsigned i = 0; i < o->cfg.n_pairs; i++)
            add_pair(ts, p, *find(ts, app_id, o->cfg.pair[i]));
    }
    if (is_server && err == 0 && p->n_pairs == 0 && !(o && o->cfg.n_pairs))
        add_all_pairs(ts, p, app_id);
    pthread_mutex_unlock(&ts->lock);
    if (err == 0 && is_server && p->n_pairs == 0)
        err = -ENOKEY;
    if (p->verify == SVM_TLS_VERIFY_DEFAULT)
        p->verify = (uint8_t)(is_server ? ts->cfg.verify : ts->cfg.verify_server);
    if (err != 0) {
        tls_profile_put(s, p);
        return err;
    }
    *out = p;
    return 0;
}

struct tls_profile *tls_profile_get(struct tls_profile *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void tls_profile_put(struct stack *s, struct tls_profile *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < p->n_pairs; i++)
        s->tls->engine->pair_put(p->pairs[i]);
    free(p);
}

/* ---- the stack's part ---- */

int tls_stack_create(struct stack *s, const struct tls_config *cfg, char *err, size_t err_len)
{
    struct tls_stack *ts = calloc(1, sizeof(*ts));
    int rc;

    if (!ts) {
        snprintf(err, err_len, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    ts->cfg = *cfg;
    rc = tls_engine_load(ts->cfg.engine, &ts->engine, &ts->engine_object, err, err_len);
    if (rc == 0)
        rc = ts->engine->open(&ts->cfg, err, err_len, &ts->instance);
    if (rc != 0) {
        tls_engine_unload(ts->engine_object);
        free(ts);
        return rc;
    }
    pthread_mutex_init(&ts->lock, NULL);
    s->tls = ts;
    return 0;
}

int tls_stack_start(struct stack *s, char *err, size_t err_len)
{
    struct tls_stack *ts = s->tls;
    int rc;

    hs_log(s->log, HS_LOG_INFO, "tls: engine %s, AES-GCM of records by %s", ts->engine->name, ts->engine->aead(ts->instance));
    rc = ts->cfg.handshake_threads ? tls_pool_start(ts, ts->cfg.handshake_threads, &ts->pool) : 0;

    if (rc != 0)
        snprintf(err, err_len, "tls { handshake-threads %u }: %s", ts->cfg.handshake_threads, strerror(-rc));
    return rc;
}

void tls_stack_destroy(struct stack *s)
{
    struct tls_stack *ts = s->tls;

    if (!ts)
        return;
    tls_pool_stop(ts->pool);
    ts->pool = NULL;
    for (unsigned i = 0; i < s->n_workers; i++)
        if (worker_transport_state(s->worker[i], SVM_PROTO_TLS))
            tls_worker_clear(s->worker[i]);
    while (ts->objects) {
        struct tls_object *o = ts->objects;
        ts->objects = o->next;
        object_free(ts, o);
    }
    ts->engine->close(ts->instance);
    tls_engine_unload(ts->engine_object);
    pthread_mutex_destroy(&ts->lock);
    free(ts);
    s->tls = NULL;
}
