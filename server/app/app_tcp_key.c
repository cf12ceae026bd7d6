/* app_tcp_key.c - keys for TCP's peers that programs send over their attach sockets (svm_tcp_key.h) */
#include "server/app/app_internal.h"

#include <stdio.h>
#include <string.h>
#include "server/tcp/tcp.h"

void app_tcp_key(struct app_client *c, const struct svm_att_tcp_key *m)
{
    struct svm_att_error bad = { .type = SVM_ATT_ERROR };
    uint32_t number = m->number;
    int rc = tcp_keys_change(c->as->stack, c->app_id, &m->key, &number);

    if (rc == 0) {
        app_client_send(c, &(struct svm_att_simple){ .type = SVM_ATT_OK, .value = number }, sizeof(struct svm_att_simple), NULL, 0);
        return;
    }
    bad.error = rc;
    snprintf(bad.text, sizeof(bad.text), "the key for a peer is not taken: %s", strerror(-rc));
    app_client_send(c, &bad, sizeof(bad), NULL, 0);
}

/* With the last client of a program go the keys that no session uses. */
void app_tcp_key_client_free(struct app_client *c)
{
    for (const struct app_client *o = c->as->clients; o; o = o->next)
        if (o != c && o->app_id == c->app_id)
            return;
    if (c->app_id)
        tcp_keys_app_gone(c->as->stack, c->app_id);
}
