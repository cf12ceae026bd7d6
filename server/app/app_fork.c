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
#include <unistd.h>

struct hold_call {
    struct app_port_client *parent, *child;
};

/* On each worker. The parent sent FORK after all its requests that matter to the child were answered, and before it forks. */
static void hold(struct worker *w, void *arg)
{
    struct hold_call *h = arg;

    app_port_add(w, h->child);
    if (!h->parent->is_leaving && session_hold_all(w, &h->parent->aw, &h->child->aw) != 0)
        hs_log(w->stack->log, HS_LOG_ERROR, "no memory for a forked child to hold the sessions of client %u", h->parent->aw.client_id);
    free(h);
}

int app_fork_note(struct app_client *parent, int lifeline, uint64_t *token)
{
    struct app_server *as = parent->as;
    struct app_client *c;

    if (parent->state != APP_CLIENT_ATTACHED || as->n_clients >= as->opt.max_clients) {
        close(lifeline);
        return -EUSERS;
    }
    c = app_client_new(as, -1);
    if (!c) {
        close(lifeline);
        return -ENOMEM;
    }
    c->lifeline = lifeline;
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
        return -ENOMEM;
    }
    c->fork_token |= 1; /* 0 means none */
    c->state = APP_CLIENT_FORKED;
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        struct hold_call *h = malloc(sizeof(*h));
        c->per[i].aw.app_id = c->app_id;
        c->per[i].aw.ns = c->ns;
        c->per[i].aw.fib = parent->per[i].aw.fib;
        c->per[i].aw.scope = c->scope;
        if (h)
            *h = (struct hold_call){ &parent->per[i], &c->per[i] };
        if (!h || app_server_call(as, as->stack->worker[i], hold, h) != 0) {
            free(h);
            app_client_leave(c, NULL);
            return -ENOMEM;
        }
    }
    *token = c->fork_token;
    return 0;
}

/* The child attaches by its lifeline, or ends without having done so. */
void app_fork_lifeline(struct app_client *c, uint32_t events)
{
    c->sock = c->lifeline;
    c->lifeline = -1;
    if (app_server_watch(c->as, c->sock, &c->sock_src, EPOLLIN | EPOLLRDHUP) != 0) {
        app_client_leave(c, "its socket cannot be watched");
        return;
    }
    app_attach_input(c, events);
}
