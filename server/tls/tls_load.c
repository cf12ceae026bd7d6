/* tls_load.c - which engine: the one that is built in, or one of a shared object */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "server/tls/tls_engine.h"

/* What a connection is not possible without; functions for datagrams are all there or none. */
static bool is_complete(const struct tls_engine *e)
{
    bool has_all_dtls = e->greet && e->has_random && e->set_io_arg && e->timeout_us && e->on_timeout && e->data_mtu;
    bool has_no_dtls = !e->greet && !e->has_random && !e->set_io_arg && !e->timeout_us && !e->on_timeout && !e->data_mtu;

    return e->name && e->open && e->close && e->aead && e->pair_new && e->pair_get && e->pair_put && e->conn_new && e->conn_free &&
           e->handshake_bytes && e->handshake && e->read && e->write && e->in_place && e->readv && e->writev && e->pending && e->key_is_old &&
           e->close_notify && e->info && e->error && e->error_code && (has_all_dtls || has_no_dtls);
}

static int load(const char *path, const struct tls_engine **out, void **object, char *err, size_t err_len)
{
    void *o = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct tls_engine *e = o ? dlsym(o, TLS_ENGINE_SYMBOL) : NULL;

    if (!e) { /* dlerror() names the file in most cases */
        const char *why = dlerror();
        snprintf(err, err_len, "tls { engine %s }: %s", path, why ? why : "cannot be loaded");
    } else if (e->abi != TLS_ENGINE_ABI || e->size != sizeof(*e)) {
        snprintf(err, err_len, "tls { engine %s }: made for another version of the server", path);
    } else if (!is_complete(e)) {
        snprintf(err, err_len, "tls { engine %s }: functions are missing", path);
    } else {
        *out = e;
        *object = o;
        return 0;
    }
    tls_engine_unload(o);
    return -EINVAL;
}

int tls_engine_load(const char *name, const struct tls_engine **out, void **object, char *err, size_t err_len)
{
    *object = NULL;
    if (name[0] == '/') /* no search: what is loaded into the server is named in full */
        return load(name, out, object, err, err_len);
    if (name[0] && strcmp(name, tls_openssl_engine.name) != 0) {
        snprintf(err, err_len, "tls { engine %s }: neither 'openssl' nor the full path of a shared object", name);
        return -EINVAL;
    }
    *out = &tls_openssl_engine;
    return 0;
}

void tls_engine_unload(void *object)
{
    if (object)
        dlclose(object);
}
