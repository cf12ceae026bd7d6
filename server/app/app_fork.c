/* app_fork.c - a client forks: its child holds all its sessions from that moment on, whether it ever attaches or not
 *
 * The child is a client of its own right in state FORKED. Its lifeline, one end of a socketpair whose other end only the child keeps,
 * hangs up when the child dies or execs. When the child uses a socket it says HELLO on it, with the token, and becomes ATTACHED: also
 * a child that has given up the user id that could open the attach socket. */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct hold_call {
    struct app_port_client *parent, *child;
};

void app_fork_held_on(struct app_client *child)
{
    if (__atomic_sub_fetch(&child->n_unheld, 1, __ATOMIC_ACQ_REL) == 0) {
        child->held_event.type = APP_EVENT_HELD;
        app_event_post(child->as, &child->held_event);
    }
}

/* On each worker. */
static void hold(struct worker *w, void *arg)
{
    struct hold_call *h = arg;
    struct app_client *child = h->child->client;

    app_port_add(w, h->child);
    app_port_drain(h->parent); /* what it has accepted before it forked, the child has */
    h->parent->heard_us = 0;   /* it may leave its listeners to the child */
    if (!h->parent->is_leaving && session_hold_all(w, &h->parent->aw, &h->child->aw) != 0)
        hs_log(w->stack->log, HS_LOG_ERROR, "no memory for a forked child to hold the sessions of client %u", h->parent->aw.client_id);
    free(h);
    app_fork_held_on(child);
}

/* Only now: whatever the parent does next, closing what the child goes on with, comes after the child's holds. */
void app_fork_held(struct app_client *child)
{
    struct svm_att_simple m = { .type = SVM_ATT_OK, .value = child->export_cookie ? 0 : child->fork_token };
    struct app_client *parent = app_client_by_id(child->as, child->parent_id);

    if (parent)
        app_client_send(parent, &m, sizeof(m), NULL, 0);
}

int app_fork_pid_of(int fd)
{
    char path[64], line[128];
    FILE *f;
    int pid = -1;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    f = fopen(path, "re");
    while (f && pid < 0 && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "Pid: %d", &pid) != 1)
            pid = -1;
    }
    if (f)
        fclose(f);
    return pid;
}

static bool is_pidfd_of(const struct app_client *c, int fd)
{
    char path[64];
    struct stat st;
    int pid = app_fork_pid_of(fd);

    snprintf(path, sizeof(path), "/proc/%d", pid);
    return pid > 0 && (pid == c->pid || (stat(path, &st) == 0 && st.st_uid == c->uid));
}

/* It must end with a process of this user's: with something that lives for ever a program could make the server keep sessions for ever. */
bool app_fork_is_lifeline(const struct app_client *c, int fd, bool may_be_pidfd)
{
    int domain = 0, listens = 1;
    struct ucred cred = { .pid = -1, .uid = (uid_t)-1 };
    socklen_t len = sizeof(int), cred_len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0)
        return may_be_pidfd && errno == ENOTSOCK && is_pidfd_of(c, fd);
    len = sizeof(int);
    return domain == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && !listens &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0 && (cred.pid == c->pid || cred.uid == c->uid);
}

struct app_client *app_fork_child(struct app_client *parent, int lifeline)
{
    struct app_server *as = parent->as;
    struct app_client *c = as->n_clients < as->opt.max_clients ? app_client_new(as, -1) : NULL;

    if (!c) {
        close(lifeline);
        return NULL;
    }
    c->lifeline = lifeline;
    (void)setsockopt(lifeline, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)); /* its HELLO tells who it is */
    c->app_id = parent->app_id;
    c->app_cookie = parent->app_cookie;
    c->ns = parent->ns;
    c->scope = parent->scope;
    c->uid = parent->uid;
    memcpy(c->name, parent->name, sizeof(c->name));
    snprintf(c->peer, sizeof(c->peer), "forked by pid %d", (int)parent->pid);
    if (getrandom(&c->fork_token, sizeof(c->fork_token), 0) != sizeof(c->fork_token) ||
        app_server_watch(as, lifeline, &c->lifeline_src, EPOLLIN | EPOLLRDHUP) != 0) {
        app_client_leave(c, NULL);
        return NULL;
    }
    c->fork_token |= 1; /* 0 means none */
    c->state = APP_CLIENT_FORKED;
    c->parent_id = parent->client_id;
    c->n_unheld = as->stack->n_workers;
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        c->per[i].aw.app_id = c->app_id;
        c->per[i].aw.ns = c->ns;
        c->per[i].aw.fib = parent->per[i].aw.fib;
        c->per[i].aw.scope = c->scope;
    }
    return c;
}

int app_fork_note(struct app_client *parent, int lifeline)
{
    struct app_server *as = parent->as;
    struct app_client *c;

    if (parent->state != APP_CLIENT_ATTACHED || !app_fork_is_lifeline(parent, lifeline, false)) {
        close(lifeline);
        return -EINVAL;
    }
    c = app_fork_child(parent, lifeline);
    if (!c)
        return -EUSERS;
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        struct hold_call *h = malloc(sizeof(*h));
        if (h)
            *h = (struct hold_call){ &parent->per[i], &c->per[i] };
        if (!h || app_server_call(as, as->stack->worker[i], hold, h) != 0) {
            free(h);
            app_client_leave(c, NULL);
            return -ENOMEM;
        }
    }
    return 0;
}

/* The child attaches by its lifeline, or ends without having done so. */
void app_fork_lifeline(struct app_client *c, uint32_t events)
{
    if (c->export_cookie) { /* a pledge: nobody attaches to it */
        app_client_leave(c, NULL);
        return;
    }
    c->sock = c->lifeline;
    c->lifeline = -1;
    if (app_server_watch(c->as, c->sock, &c->sock_src, EPOLLIN | EPOLLRDHUP) != 0) {
        app_client_leave(c, "its socket cannot be watched");
        return;
    }
    app_attach_input(c, events);
}
