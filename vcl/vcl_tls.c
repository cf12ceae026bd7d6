/* vcl_tls.c - certificates, keys and configurations of this process, and the numbers that the server knows them by
 *
 * They are kept so that listeners can come back with a server that was restarted, and wiped when they go. A number of the server's belongs
 * to one application there (its cookie); another cookie, and they are sent again. */
#include <stdlib.h>
#include "vcl/vcl_internal.h"

enum { OBJECTS_MAX = 1024 };     /* as many as the server takes of a program */

struct vcl_tls_object {
    bool used;
    bool is_shared;              /* a configuration of sockets that have the same one; kept for the next one while there is room */
    atomic_uint refs;            /* sockets, of a shared one. Counted down without a lock */
    char *bytes;                 /* of a pair: certificate, key; NULL: a configuration */
    uint32_t cert_len, key_len;
    struct svm_tls_config cfg;   /* pair[]: our numbers */
    uint64_t cookie;             /* of the application that `number` belongs to; 0 = not sent */
    uint32_t number;
};

static struct vcl_tls_table *table(void) { return &vcl_process()->tls; }

static struct vcl_tls_object *object(uint32_t id)
{
    struct vcl_tls_table *t = table();

    return id && id <= t->n && t->objects[id - 1].used ? &t->objects[id - 1] : NULL;
}

static void wipe(struct vcl_tls_object *o)
{
    if (o->bytes)
        explicit_bzero(o->bytes, o->cert_len + o->key_len);
    free(o->bytes);
    memset((void *)o, 0, sizeof(*o));
}

/* What the server does not know any more is as good as deleted. Table's lock held, as below. */
static void forget(struct vcl_worker *w, struct vcl_tls_object *o)
{
    if (atomic_load(&w->attached) && !w->lost && o->cookie == w->app_cookie)
        (void)vcl_worker_tls_del(w, o->number);
    wipe(o);
}

static int object_new(struct vcl_worker *w, uint32_t *id)
{
    struct vcl_tls_table *t = table();
    uint32_t i;

    if (!t->objects) /* never moved: sockets count without the lock */
        t->objects = calloc(OBJECTS_MAX, sizeof(*t->objects));
    if (!t->objects)
        return -ENOMEM;
    for (i = 0; i < OBJECTS_MAX && t->objects[i].used; i++)
        ;
    for (uint32_t k = 0; i == OBJECTS_MAX && k < OBJECTS_MAX; k++) {
        if (!t->objects[k].is_shared || atomic_load(&t->objects[k].refs))
            continue;
        forget(w, &t->objects[k]);
        i = k;
    }
    if (i == OBJECTS_MAX)
        return -ENOBUFS;
    if (i >= t->n)
        t->n = i + 1;
    t->objects[i].used = true;
    *id = i + 1;
    return 0;
}

static int send_object(struct vcl_worker *w, struct vcl_tls_object *o);

static int number_of(struct vcl_worker *w, uint32_t id, uint32_t *number)
{
    struct vcl_tls_object *o = object(id);
    int rc = o ? 0 : -ENOENT;

    if (!rc && o->cookie != w->app_cookie)
        rc = send_object(w, o);
    if (!rc)
        *number = o->number;
    return rc;
}

static int send_object(struct vcl_worker *w, struct vcl_tls_object *o)
{
    struct svm_tls_config cfg;
    int rc = 0;

    if (o->bytes) {
        rc = vcl_worker_tls_put(w, o->bytes, o->cert_len, o->key_len, 0, &o->number);
    } else {
        cfg = o->cfg;
        for (unsigned i = 0; i < cfg.n_pairs && !rc; i++)
            rc = number_of(w, o->cfg.pair[i], &cfg.pair[i]);
        if (!rc)
            rc = vcl_worker_tls_config(w, &cfg, &o->number);
    }
    if (!rc)
        o->cookie = w->app_cookie;
    return rc;
}

/* All pairs of the process must be there before a listener uses "all". */
int vcl_tls_number(struct vcl_worker *w, uint32_t id, uint32_t *number)
{
    struct vcl_tls_table *t = table();
    int rc = 0;

    *number = 0;
    if (!atomic_load(&w->attached) || w->lost)
        return -ENETDOWN;
    pthread_mutex_lock(&t->lock);
    if (id) {
        rc = number_of(w, id, number);
    } else {
        for (uint32_t i = 0; i < t->n && !rc; i++)
            if (t->objects[i].used && t->objects[i].bytes && t->objects[i].cookie != w->app_cookie)
                rc = send_object(w, &t->objects[i]);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

static struct vcl_worker *attached_worker(int *rc)
{
    struct vcl_worker *w = vcl_worker_current();

    *rc = w ? vcl_worker_attach(w) : -ENOMEM;
    return *rc ? NULL : w;
}

static uint32_t find_shared(const struct svm_tls_config *cfg)
{
    const struct vcl_tls_table *t = table();

    for (uint32_t i = 0; i < t->n; i++)
        if (t->objects[i].used && t->objects[i].is_shared && !memcmp(&t->objects[i].cfg, cfg, sizeof(*cfg)))
            return i + 1;
    return 0;
}

/* Makes an object, tells the server, forgets it again if that cannot use it. */
static int add(const struct svm_tls_config *shared, char *bytes, uint32_t cert_len, uint32_t key_len)
{
    struct vcl_tls_table *t = table();
    struct vcl_tls_object *o;
    uint32_t id = 0;
    int rc;
    struct vcl_worker *w = attached_worker(&rc);

    if (!w)
        return rc;
    pthread_mutex_lock(&w->lock);
    pthread_mutex_lock(&t->lock);
    rc = !atomic_load(&w->attached) || w->lost ? -ENETDOWN : 0;
    if (!rc && shared)
        id = find_shared(shared);
    if (!rc && !id)
        rc = object_new(w, &id);
    if (!rc) {
        o = &t->objects[id - 1];
        if (shared) {
            o->cfg = *shared;
            o->is_shared = true;
            atomic_fetch_add(&o->refs, 1);
        } else {
            o->bytes = bytes;
            o->cert_len = cert_len;
            o->key_len = key_len;
        }
        if (o->cookie != w->app_cookie)
            rc = send_object(w, o);
        if (rc) {
            o->bytes = NULL; /* the caller's */
            if (!shared || atomic_fetch_sub(&o->refs, 1) == 1)
                wipe(o);
        }
    }
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_unlock(&w->lock);
    return rc ? rc : (int)id;
}

static char *join(const char *cert, size_t cert_len, const char *key, size_t key_len)
{
    char *bytes = cert_len + key_len <= SVM_TLS_PEM_MAX && cert_len && key_len ? malloc(cert_len + key_len) : NULL;

    if (bytes) {
        memcpy(bytes, cert, cert_len);
        memcpy(bytes + cert_len, key, key_len);
    }
    return bytes;
}

int vcl_tls_add_pair(const char *cert, size_t cert_len, const char *key, size_t key_len)
{
    char *bytes = join(cert, cert_len, key, key_len);
    int rc;

    if (!bytes)
        return -EINVAL;
    rc = add(NULL, bytes, (uint32_t)cert_len, (uint32_t)key_len);
    if (rc < 0) {
        explicit_bzero(bytes, cert_len + key_len);
        free(bytes);
    }
    return rc;
}

int vcl_tls_replace_pair(uint32_t id, const char *cert, size_t cert_len, const char *key, size_t key_len)
{
    struct vcl_tls_table *t = table();
    char *bytes = join(cert, cert_len, key, key_len);
    struct vcl_tls_object *o;
    uint32_t number;
    int rc;
    struct vcl_worker *w = attached_worker(&rc);

    if (!bytes)
        return -EINVAL;
    if (w) {
        pthread_mutex_lock(&w->lock);
        pthread_mutex_lock(&t->lock);
        o = object(id);
        rc = !o || !o->bytes ? -ENOENT : !atomic_load(&w->attached) || w->lost ? -ENETDOWN : 0;
        if (!rc)
            rc = vcl_worker_tls_put(w, bytes, (uint32_t)cert_len, (uint32_t)key_len, o->cookie == w->app_cookie ? o->number : 0, &number);
        if (!rc) {
            wipe(o);
            o->used = true;
            o->bytes = bytes;
            o->cert_len = (uint32_t)cert_len;
            o->key_len = (uint32_t)key_len;
            o->cookie = w->app_cookie;
            o->number = number;
            bytes = NULL;
        }
        pthread_mutex_unlock(&t->lock);
        pthread_mutex_unlock(&w->lock);
    }
    if (bytes) {
        explicit_bzero(bytes, cert_len + key_len);
        free(bytes);
    }
    return rc;
}

int vcl_tls_del(uint32_t id)
{
    struct vcl_tls_table *t = table();
    struct vcl_worker *w = vcl_worker_current();
    struct vcl_tls_object *o;

    if (!w)
        return -ENOMEM;
    pthread_mutex_lock(&w->lock);
    pthread_mutex_lock(&t->lock);
    o = object(id);
    if (o && o->bytes)
        forget(w, o);
    else
        o = NULL;
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_unlock(&w->lock);
    return o ? 0 : -ENOENT;
}

/* ---- of a socket ---- */
void vcl_socket_set_tls(struct vcl_socket *s, uint32_t id, bool own)
{
    if (s->tls_own)
        atomic_fetch_sub(&table()->objects[s->tls - 1].refs, 1);
    s->tls = id;
    s->tls_own = own;
}

static int use(struct vcl_socket *s, uint32_t id, bool own)
{
    bool listening;

    if (!vcl_is_tls(s))
        return -EOPNOTSUPP;
    pthread_mutex_lock(&s->w->lock);
    listening = vcl_state(s) == VCL_LISTENING;
    vcl_socket_set_tls(s, id, own);
    pthread_mutex_unlock(&s->w->lock);
    return listening ? vcl_listen(s, s->backlog) : 0; /* tells the server */
}

int vcl_tls_use(struct vcl_socket *s, uint32_t id)
{
    struct vcl_tls_table *t = table();
    bool known;

    pthread_mutex_lock(&s->w->lock);
    pthread_mutex_lock(&t->lock);
    known = object(id) != NULL;
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_unlock(&s->w->lock);
    return known ? use(s, id, false) : -ENOENT;
}

int vcl_tls_configure(struct vcl_socket *s, const struct svm_tls_config *cfg)
{
    int id = vcl_is_tls(s) ? add(cfg, NULL, 0, 0) : -EOPNOTSUPP;

    return id < 0 ? id : use(s, (uint32_t)id, true);
}
