/* vppcom_app.c - the application: create, destroy, the table of handles, texts */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"
#include "vcl/vppcom_internal.h"

enum { CHUNK = 4096, CHUNKS = (VPPCOM_INDEX_MASK + 1) / CHUNK };

/* Handles name entries of the process, as descriptors do: one table, no context that a caller could pass. Chunks never move. */
static struct {
    pthread_mutex_t lock;
    struct vppcom_entry **chunk[CHUNKS];
    uint32_t limit;
    uint32_t *free_list;
    uint32_t n_free, free_size;
    bool created;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int take_index(uint32_t *index)
{
    if (table.n_free) {
        *index = table.free_list[--table.n_free];
        return 0;
    }
    if (table.limit > VPPCOM_INDEX_MASK)
        return -EMFILE;
    if (!table.chunk[table.limit / CHUNK]) {
        struct vppcom_entry **c = calloc(CHUNK, sizeof(*c));

        if (!c)
            return -ENOMEM;
        __atomic_store_n(&table.chunk[table.limit / CHUNK], c, __ATOMIC_RELEASE);
    }
    *index = table.limit;
    __atomic_store_n(&table.limit, table.limit + 1, __ATOMIC_RELEASE);
    return 0;
}

int vppcom_entry_new(struct vppcom_entry **out)
{
    struct vppcom_entry *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return -ENOMEM;
    e->epfd = -1;
    e->listener = INVALID_SESSION_ID;
    e->worker = vcl_worker_index();
    pthread_mutex_lock(&table.lock);
    rc = take_index(&e->index);
    if (!rc)
        __atomic_store_n(&table.chunk[e->index / CHUNK][e->index % CHUNK], e, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&table.lock);
    if (rc)
        free(e);
    else
        *out = e;
    return rc;
}

void vppcom_entry_free(struct vppcom_entry *e)
{
    pthread_mutex_lock(&table.lock);
    __atomic_store_n(&table.chunk[e->index / CHUNK][e->index % CHUNK], NULL, __ATOMIC_RELEASE);
    if (table.n_free == table.free_size) {
        uint32_t n = table.free_size ? 2 * table.free_size : 256;
        uint32_t *grown = realloc(table.free_list, n * sizeof(*grown));

        if (grown) {
            table.free_list = grown;
            table.free_size = n;
        }
    }
    if (table.n_free < table.free_size) /* without memory the number is lost, nothing else */
        table.free_list[table.n_free++] = e->index;
    pthread_mutex_unlock(&table.lock);
    free(e);
}

struct vppcom_entry *vppcom_entry_get(uint32_t handle)
{
    uint32_t index = handle & VPPCOM_INDEX_MASK;
    struct vppcom_entry *e;

    if (handle == INVALID_SESSION_ID || index >= __atomic_load_n(&table.limit, __ATOMIC_ACQUIRE))
        return NULL;
    e = __atomic_load_n(&table.chunk[index / CHUNK][index % CHUNK], __ATOMIC_ACQUIRE);
    return e && e->worker == handle >> VPPCOM_INDEX_BITS ? e : NULL;
}

uint32_t vppcom_entry_handle(const struct vppcom_entry *e) { return e->worker << VPPCOM_INDEX_BITS | e->index; }
uint32_t vppcom_entry_limit(void) { return __atomic_load_n(&table.limit, __ATOMIC_ACQUIRE); }

struct vcl_socket *vppcom_socket(uint32_t handle)
{
    struct vppcom_entry *e = vppcom_entry_get(handle);

    return e ? e->s : NULL;
}

void vppcom_close_all(void)
{
    for (uint32_t i = 0; i < table.limit; i++) {
        struct vppcom_entry *e = table.chunk[i / CHUNK][i % CHUNK];

        if (e)
            vppcom_session_close((int)vppcom_entry_handle(e));
    }
}

/* ---- application ---- */
static void copy_text(char *to, size_t size, const char *from)
{
    if (from && *from)
        snprintf(to, size, "%s", from);
}

/* What the caller gave instead of a file; zero is the default. */
static int take_config(struct vcl_config *c, const vppcom_cfg_t *in)
{
    if (in->vpp_app_socket_api && strlen(in->vpp_app_socket_api) >= sizeof(c->app_socket))
        return -EINVAL;
    if (in->namespace_id && strlen(in->namespace_id) >= sizeof(c->ns_name))
        return -EINVAL;
    copy_text(c->app_socket, sizeof(c->app_socket), in->vpp_app_socket_api);
    copy_text(c->app_name, sizeof(c->app_name), in->app_name);
    copy_text(c->ns_name, sizeof(c->ns_name), in->namespace_id);
    c->ns_secret = in->namespace_secret ? in->namespace_secret : c->ns_secret;
    c->rx_fifo_size = in->rx_fifo_size ? in->rx_fifo_size : c->rx_fifo_size;
    c->tx_fifo_size = in->tx_fifo_size ? in->tx_fifo_size : c->tx_fifo_size;
    c->event_queue_size = in->event_queue_size ? in->event_queue_size : c->event_queue_size;
    c->segment_mb = in->segment_size ? (uint32_t)((in->segment_size + (1 << 20) - 1) >> 20) : c->segment_mb;
    c->add_segment_mb = in->add_segment_size ? (uint32_t)((in->add_segment_size + (1 << 20) - 1) >> 20) : c->add_segment_mb;
    c->max_workers = in->max_workers ? in->max_workers : c->max_workers;
    if (in->app_scope_local || in->app_scope_global) {
        c->scope_local = in->app_scope_local;
        c->scope_global = in->app_scope_global;
    }
    c->use_mq_eventfd = in->use_mq_eventfd;
    c->debug = in->debug_level > c->debug ? in->debug_level : c->debug;
    return 0;
}

static int app_create(const char *name, const vppcom_cfg_t *cfg)
{
    struct vcl_process *p = vcl_process();
    int rc = vcl_process_init();

    if (rc)
        return rc;
    pthread_mutex_lock(&table.lock);
    if (table.created)
        rc = -EEXIST;
    if (!rc && cfg)
        rc = take_config(&p->cfg, cfg);
    if (!rc && !p->cfg.app_name[0])
        copy_text(p->cfg.app_name, sizeof(p->cfg.app_name), name);
    if (!rc)
        rc = vcl_attach();
    if (!rc)
        table.created = true;
    pthread_mutex_unlock(&table.lock);
    return rc;
}

int vppcom_app_create(const char *app_name) { return app_create(app_name, NULL); }

int vppcom_app_create_with_config(const vppcom_cfg_t *cfg)
{
    return cfg ? app_create(cfg->app_name, cfg) : VPPCOM_EFAULT;
}

void vppcom_app_destroy(void)
{
    vppcom_close_all();
    vcl_detach();
    pthread_mutex_lock(&table.lock);
    table.created = false;
    pthread_mutex_unlock(&table.lock);
}

/* Programs of the native API fork, too. */
__attribute__((constructor)) static void watch_fork(void)
{
    pthread_atfork(vcl_fork_prepare, vcl_fork_parent, vcl_fork_child);
}

/* ---- certificates ---- */
int vppcom_add_cert_key_pair(vppcom_cert_key_pair_t *ckpair)
{
    if (!ckpair || !ckpair->cert || !ckpair->key)
        return VPPCOM_EFAULT;
    return vcl_tls_add_pair(ckpair->cert, ckpair->cert_len, ckpair->key, ckpair->key_len);
}

int vppcom_del_cert_key_pair(uint32_t index)
{
    int rc = vcl_tls_del(index);

    return rc == -ENOENT ? VPPCOM_EINVAL : rc;
}

/* ---- texts ---- */
static const char *const proto_names[] = { "TCP", "UDP", "NONE", "TLS", "QUIC", "DTLS", "SRTP", "HTTP", "SCTP" };

char *vppcom_proto_str(vppcom_proto_t proto)
{
    return (char *)(uintptr_t)((unsigned)proto < HS_ARRAY_LEN(proto_names) ? proto_names[proto] : "UNKNOWN");
}

int vppcom_unformat_proto(uint8_t *proto, char *text)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(proto_names); i++)
        if (i != VPPCOM_PROTO_NONE && !strcasecmp(text, proto_names[i])) {
            *proto = (uint8_t)i;
            return 0;
        }
    return 1;
}

const char *vppcom_retval_str(int retval)
{
    static const struct {
        int value;
        const char *name;
    } names[] = {
#define N(x) { VPPCOM_##x, "VPPCOM_" #x }
        N(OK), N(EAGAIN), N(EINPROGRESS), N(EFAULT), N(ENOMEM), N(EINVAL), N(EBADFD), N(EAFNOSUPPORT), N(ECONNABORTED),
        N(ECONNRESET), N(ENOTCONN), N(ECONNREFUSED), N(ETIMEDOUT), N(EEXIST), N(ENOPROTOOPT), N(EPIPE), N(ENOENT),
        N(EADDRINUSE), N(ENOTSUP),
#undef N
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(names); i++)
        if (names[i].value == retval)
            return names[i].name;
    return "UNKNOWN_STATE";
}
