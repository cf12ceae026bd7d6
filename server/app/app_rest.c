/* app_rest.c - what a former cut-through peer wrote to a session, kept while several programs hold it (SVM_ATT_REST)
 *
 * The server never looks into the memory: it keeps the descriptor with the session, for whoever claims it next. */
#include "server/app/app_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct rest_call {
    struct app_event event;
    struct app_server *as;
    struct app_port_client *from;
    struct svm_handle handle;
    uint32_t client_id, id;
    int fd;                  /* -1: asked for; then the answer's */
    int error;
};

/* Sealed memory of a bounded size: a worker that closes it must not wait long, and no reader shall fault on it. */
static bool is_rest(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    return seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_GROW) && fstat(fd, &st) == 0 && st.st_size <= SVM_REST_MAX;
}

static void rest_on_worker(struct worker *w, void *arg)
{
    struct rest_call *r = arg;
    struct session *s;

    app_port_drain(r->from);
    s = session_from_handle(w, r->handle);
    if (!s || r->from->is_leaving || !session_is_held_by(s, &r->from->aw)) {
        r->error = -EBADF;
    } else if (r->fd >= 0) {
        r->error = session_rest_put(s, &r->from->aw, r->fd, &r->id);
        if (r->error == 0)
            r->fd = -1;
    } else {
        r->fd = session_rest_get(s, &r->id);
        r->error = r->fd >= 0 || r->fd == -ENOENT ? 0 : r->fd;
        if (r->fd < 0)
            r->id = 0;
    }
    r->event.type = APP_EVENT_REST;
    app_event_post(r->as, &r->event);
}

static void rest_free(struct rest_call *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

void app_rest_done(struct app_event *e)
{
    struct rest_call *r = hs_container_of(e, struct rest_call, event);
    struct app_client *c = app_client_by_id(r->as, r->client_id);
    struct svm_att_simple ok = { .type = SVM_ATT_OK, .value = r->id };
    struct svm_att_error no = { .type = SVM_ATT_ERROR, .error = r->error, .text = "the bytes of a former peer cannot be kept" };

    if (c && r->error != 0) {
        app_client_send(c, &no, sizeof(no), NULL, 0);
    } else if (c) {
        app_client_send(c, &ok, sizeof(ok), r->fd >= 0 ? &r->fd : NULL, r->fd >= 0);
        r->fd = -1;
    }
    rest_free(r);
}

int app_rest(struct app_client *c, const struct svm_att_export *m, int *fd)
{
    struct app_server *as = c->as;
    unsigned w = m->handle.index % WORKER_MAX;
    struct rest_call *r;

    if (c->state != APP_CLIENT_ATTACHED || w >= as->stack->n_workers || (fd && !is_rest(*fd)))
        return -EINVAL;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (struct rest_call){ .as = as, .from = &c->per[w], .handle = m->handle, .client_id = c->client_id, .fd = fd ? *fd : -1 };
    if (fd)
        *fd = -1; /* taken */
    if (app_server_call(as, as->stack->worker[w], rest_on_worker, r) == 0)
        return 0;
    rest_free(r);
    return -ENOMEM;
}
