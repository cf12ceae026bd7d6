/* app_export.c - sessions that leave their process by exec or SCM_RIGHTS: found again by who holds the kernel's descriptor of them
 *
 *   EXPORT    a program passes the descriptor that stands for a session. Its SO_COOKIE, which the kernel gives to that socket alone, is
 *             noted, and the session is held until the lifeline ends: the other end of the descriptor where it is a socket pair's (it
 *             hangs up when the last copy anywhere is closed), else a pidfd of the process that is about to exec. What the library wants
 *             to be told to who gets it (options) is kept as it was said last, by anybody who had the descriptor
 *   IDENTIFY  whoever passes a descriptor with that cookie holds it, and becomes a holder of the session
 *
 * A pledge is a client in state FORKED that nobody attaches to: what ends it is what ends a fork's child. */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

struct pledge_call {
    struct app_port_client *from, *pledge;
    struct svm_handle handle;
};

static int cookie_of(int fd, uint64_t *cookie)
{
    socklen_t len = sizeof(*cookie);

    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &len) == 0 ? 0 : -errno;
}

static void pledge_hold(struct worker *w, void *arg)
{
    struct pledge_call *h = arg;
    struct app_client *c = h->pledge->client;
    struct session *s;

    app_port_add(w, h->pledge);
    app_port_drain(h->from);
    s = session_from_handle(w, h->handle);
    if (s && !h->from->is_leaving && session_is_held_by(s, &h->from->aw))
        (void)session_hold(w, s, &h->pledge->aw, 0); /* without memory nobody will find it */
    free(h);
    app_fork_held_on(c);
}

static void set_state(struct app_client *pledge, const struct svm_att_export *m)
{
    pledge->export_state_len = m->lib_state_len;
    memcpy(pledge->export_state, m->lib_state, sizeof(pledge->export_state));
}

static int pledge_new(struct app_client *from, const struct svm_att_export *m, uint64_t cookie, int lifeline)
{
    struct app_server *as = from->as;
    struct app_client *c = app_fork_child(from, lifeline);

    if (!c)
        return -ENOMEM;
    c->export_cookie = cookie;
    c->export_handle = m->handle;
    c->export_pid = app_fork_pid_of(lifeline);
    set_state(c, m);
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        struct pledge_call *h = malloc(sizeof(*h));
        if (h)
            *h = (struct pledge_call){ &from->per[i], &c->per[i], m->handle };
        if (!h || app_server_call(as, as->stack->worker[i], pledge_hold, h) != 0) {
            free(h);
            app_client_leave(c, NULL);
            return -ENOMEM;
        }
    }
    return 0;
}

/* What the kernel serves, too, is told of each time that it is passed on, by a process that is watched while it lives: once is enough. */
static bool is_pledged(const struct app_client *c, const struct svm_att_export *m, uint64_t cookie, int lifeline)
{
    int pid = app_fork_pid_of(lifeline);

    for (const struct app_client *p = pid > 0 ? c->as->clients : NULL; p; p = p->next) {
        if (p->state == APP_CLIENT_FORKED && p->export_cookie == cookie && p->parent_id == c->client_id && p->export_pid == pid &&
            p->export_handle.index == m->handle.index && p->export_handle.gen == m->handle.gen)
            return true;
    }
    return false;
}

/* It has been passed on before; whoever comes next finds what is said now. False: it has not. */
static bool renew(struct app_client *c, const struct svm_att_export *m, uint64_t cookie)
{
    bool yes = false;

    for (struct app_client *p = c->as->clients; p; p = p->next) {
        if (p->state != APP_CLIENT_FORKED || p->export_cookie != cookie || p->ns != c->ns || p->export_handle.index != m->handle.index ||
            p->export_handle.gen != m->handle.gen)
            continue;
        set_state(p, m);
        yes = true;
    }
    return yes;
}

int app_export(struct app_client *c, const struct svm_att_export *m, int *fds, int n_fds)
{
    struct svm_att_simple ok = { .type = SVM_ATT_OK };
    uint64_t cookie;
    int err;

    if (n_fds < 1 || n_fds > 2 || m->lib_state_len > sizeof(m->lib_state) || c->state != APP_CLIENT_ATTACHED ||
        (n_fds == 2 && !app_fork_is_lifeline(c, fds[1], true)))
        return -EINVAL;
    err = cookie_of(fds[0], &cookie);
    if (err != 0)
        return err;
    bool is_known = renew(c, m, cookie);
    if (n_fds == 1 && !is_known)
        return -ENOENT;
    if (n_fds == 1 || is_pledged(c, m, cookie, fds[1])) {
        app_client_send(c, &ok, sizeof(ok), NULL, 0);
        return 0;
    }
    err = pledge_new(c, m, cookie, fds[1]);
    fds[1] = -1; /* taken, or closed */
    return err;
}

/* ---- the one who comes with a descriptor ---- */

struct identify_call {
    struct app_event event;
    struct app_server *as;
    struct app_port_client *to, *pledge;
    struct svm_handle handle;
    uint32_t client_id, ctx;
    struct svm_att_identified answer;
};

static void identify_hold(struct worker *w, void *arg)
{
    struct identify_call *id = arg;
    struct svm_att_identified *m = &id->answer;
    struct session *s;

    app_port_drain(id->to); /* it may have closed it just now, and holds it no more */
    s = session_from_handle(w, id->handle);
    m->error = -EBADF;
    if (s && !id->to->is_leaving && !id->pledge->is_leaving && session_is_held_by(s, &id->pledge->aw)) {
        m->error = session_is_held_by(s, &id->to->aw) ? -EEXIST : session_hold(w, s, &id->to->aw, id->ctx);
        m->handle = s->handle;
    }
    if (m->error == 0) {
        m->worker = w->index;
        m->proto = s->proto;
        m->flags = s->flags;
        m->state = s->state == SESSION_LISTENING ? SVM_CLAIM_LISTENS : s->state == SESSION_BOUND ? 0
                   : s->state == SESSION_CONNECTING ? SVM_CLAIM_CONNECTS : SVM_CLAIM_FIFOS;
        m->state |= session_is_carried(s) ? SVM_CLAIM_CARRIED : 0;
        m->lcl_ip = s->lcl.ip;
        m->lcl_port = s->lcl.port;
        m->rmt_ip = s->rmt.ip;
        m->rmt_port = s->rmt.port;
    }
    id->event.type = APP_EVENT_IDENTIFIED;
    app_event_post(id->as, &id->event);
}

void app_identified(struct app_event *e)
{
    struct identify_call *id = hs_container_of(e, struct identify_call, event);
    struct app_client *c = app_client_by_id(id->as, id->client_id);

    if (c)
        app_client_send(c, &id->answer, sizeof(id->answer), NULL, 0);
    free(id);
}

int app_identify(struct app_client *c, uint32_t ctx, int fd)
{
    struct app_server *as = c->as;
    struct app_client *p = as->clients;
    struct identify_call *id;
    uint64_t cookie;

    if (c->state != APP_CLIENT_ATTACHED || cookie_of(fd, &cookie) != 0)
        return -EINVAL;
    while (p && !(p->state == APP_CLIENT_FORKED && p->export_cookie == cookie && p->ns == c->ns))
        p = p->next;
    if (!p)
        return -ENOENT;
    id = calloc(1, sizeof(*id));
    if (!id)
        return -ENOMEM;
    unsigned w = p->export_handle.index % WORKER_MAX;
    id->as = as;
    id->to = &c->per[w];
    id->pledge = &p->per[w];
    id->handle = p->export_handle;
    id->client_id = c->client_id;
    id->ctx = ctx;
    id->answer.type = SVM_ATT_IDENTIFIED;
    id->answer.lib_state_len = p->export_state_len;
    memcpy(id->answer.lib_state, p->export_state, sizeof(id->answer.lib_state));
    if (w < as->stack->n_workers && app_server_call(as, as->stack->worker[w], identify_hold, id) == 0)
        return 0;
    free(id);
    return -ENOMEM;
}
