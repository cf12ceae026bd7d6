/* app_tls.c - certificates, keys and configurations for TLS that programs send over their attach sockets (svm_proto.h)
 *
 * They never pass through shared memory. A key's text is wiped as soon as it has been read. */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/tls/tls.h"

struct app_tls_put {
    uint32_t cert_len, key_len, got, replace;
    char bytes[];
};

static void put_free(struct app_client *c)
{
    if (!c->tls_put)
        return;
    explicit_bzero(c->tls_put->bytes, c->tls_put->cert_len + c->tls_put->key_len);
    free(c->tls_put);
    c->tls_put = NULL;
}

static void answer(struct app_client *c, int error, const char *text, uint64_t value)
{
    struct svm_att_simple ok = { .type = SVM_ATT_OK, .value = value };
    struct svm_att_error bad = { .type = SVM_ATT_ERROR, .error = error };

    if (error == 0) {
        app_client_send(c, &ok, sizeof(ok), NULL, 0);
        return;
    }
    snprintf(bad.text, sizeof(bad.text), "%s", text);
    app_client_send(c, &bad, sizeof(bad), NULL, 0);
}

/* True: the first piece, or the one that is due. */
static bool begin_or_go_on(struct app_client *c, const struct svm_att_tls *m)
{
    struct app_tls_put *p = c->tls_put;

    if (m->offset == 0) {
        put_free(c);
        if (m->cert_len > SVM_TLS_PEM_MAX || m->key_len > SVM_TLS_PEM_MAX - m->cert_len)
            return false;
        p = calloc(1, sizeof(*p) + m->cert_len + m->key_len);
        if (!p)
            return false;
        p->cert_len = m->cert_len;
        p->key_len = m->key_len;
        p->replace = m->replace;
        c->tls_put = p;
    }
    return p && p->got == m->offset && m->len <= SVM_TLS_CHUNK && m->len <= p->cert_len + p->key_len - p->got;
}

void app_tls_pair(struct app_client *c, const struct svm_att_tls *m)
{
    struct app_tls_put *p;
    char err[SVM_ATT_MAX_MSG / 8] = "";
    uint32_t id = 0;
    int rc;

    if (!begin_or_go_on(c, m)) {
        put_free(c);
        answer(c, -EINVAL, "certificate and key are too long, or come in pieces that do not fit together", 0);
        return;
    }
    p = c->tls_put;
    memcpy(p->bytes + p->got, m->bytes, m->len);
    p->got += m->len;
    if (p->got < p->cert_len + p->key_len && m->len > 0)
        return;
    rc = p->got < p->cert_len + p->key_len ? -EINVAL
                                           : tls_store_put_pair(c->as->stack, c->app_id, p->bytes, p->cert_len, p->bytes + p->cert_len,
                                                                p->key_len, p->replace, &id, err, sizeof(err));
    put_free(c);
    if (rc != 0)
        hs_log_limited(c->as->stack->log, &c->as->log_limit, c->as->now_us, HS_LOG_NOTICE, "client %u (%s): certificate refused: %s",
                       c->client_id, c->peer, err);
    answer(c, rc, err, id);
}

void app_tls_config(struct app_client *c, const struct svm_att_tls_config *m)
{
    char err[SVM_ATT_MAX_MSG / 8] = "";
    uint32_t id = 0;
    int rc = tls_store_put_config(c->as->stack, c->app_id, &m->config, &id, err, sizeof(err));

    answer(c, rc, err, id);
}

void app_tls_del(struct app_client *c, uint64_t id)
{
    int rc = id > UINT32_MAX ? -ENOENT : tls_store_del(c->as->stack, c->app_id, (uint32_t)id);

    answer(c, rc, "there is no such certificate or configuration", 0);
}

/* With the last client of a program go its certificates. */
void app_tls_client_free(struct app_client *c)
{
    put_free(c);
    for (const struct app_client *o = c->as->clients; o; o = o->next)
        if (o != c && o->app_id == c->app_id)
            return;
    if (c->app_id)
        tls_store_app_gone(c->as->stack, c->app_id);
}
