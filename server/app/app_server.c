/* app_server.c - the control thread's side of programs: one epoll set over attach socket, clients and the workers' requests */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/clock.h"
#include "server/session/session_run.h"

int app_server_watch(struct app_server *as, int fd, struct app_src *src, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = src };

    if (epoll_ctl(as->epfd, EPOLL_CTL_ADD, fd, &ev) == 0)
        return 0;
    if (errno == EEXIST && epoll_ctl(as->epfd, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    return -errno;
}

uint32_t app_server_seg_id(struct app_server *as)
{
    return ++as->next_seg_id;
}

/* Calls keep their order: while one waits for room in a ring, all later ones wait behind it. */
int app_server_call(struct app_server *as, struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
    struct app_call *c;

    if (!as->calls && worker_call(w, fn, arg) == 0)
        return 0;
    c = malloc(sizeof(*c));
    if (!c)
        return -ENOMEM;
    *c = (struct app_call){ NULL, w, fn, arg };
    *as->calls_tail = c;
    as->calls_tail = &c->next;
    return 0;
}

static void calls_retry(struct app_server *as)
{
    while (as->calls) {
        struct app_call *c = as->calls;
        if (worker_call(c->w, c->fn, c->arg) != 0)
            return;
        as->calls = c->next;
        if (!as->calls)
            as->calls_tail = &as->calls;
        free(c);
    }
}

static int listen_on(struct app_server *as)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd, err;

    if (strlen(as->socket_path) >= sizeof(sun.sun_path))
        return -ENAMETOOLONG;
    strcpy(sun.sun_path, as->socket_path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0) {
        close(fd);
        return -EADDRINUSE;
    }
    (void)unlink(as->socket_path); /* nobody serves it */
    close(fd);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
        goto undo_socket;
    if (chmod(as->socket_path, as->opt.socket_mode ? (mode_t)as->opt.socket_mode : 0660) != 0 ||
        (as->opt.socket_gid >= 0 && chown(as->socket_path, (uid_t)-1, (gid_t)as->opt.socket_gid) != 0) || listen(fd, 1024) != 0)
        goto undo_bind;
    as->listen_fd = fd;
    return 0;
undo_bind:
    err = -errno;
    (void)unlink(as->socket_path);
    close(fd);
    return err;
undo_socket:
    err = -errno;
    close(fd);
    return err;
}

static void options_fill(struct app_server_options *o)
{
    if (!o->segment_mb)
        o->segment_mb = 256;
    if (!o->add_segment_mb)
        o->add_segment_mb = 128;
    if (!o->evt_queue_len)
        o->evt_queue_len = 16384;
    if (!o->max_fifo_size)
        o->max_fifo_size = 16u << 20;
    if (!o->max_clients)
        o->max_clients = 1024;
    if (!o->max_sessions)
        o->max_sessions = 1u << 20;
    if (!o->max_listeners)
        o->max_listeners = 65536;
    if (!o->max_banks || o->max_banks > SVM_MAX_BANKS)
        o->max_banks = 16;
}

int app_server_create(struct stack *s, const struct app_server_options *opt, struct app_server **out)
{
    struct app_server *as = calloc(1, sizeof(*as));
    int err = -ENOMEM;

    if (!as)
        return -ENOMEM;
    as->stack = s;
    as->opt = *opt;
    options_fill(&as->opt);
    as->epfd = as->event_fd = as->listen_fd = as->srv.fd = -1;
    as->events_tail = &as->events;
    as->calls_tail = &as->calls;
    as->listen_src.kind = APP_SRC_LISTEN;
    as->event_src.kind = APP_SRC_EVENT;
    pthread_mutex_init(&as->event_lock, NULL);
    as->socket_path = strdup(opt->socket_path);
    as->ns = calloc(opt->n_namespaces ? opt->n_namespaces : 1, sizeof(*as->ns));
    if (!as->socket_path || !as->ns)
        goto undo;
    if (opt->n_namespaces)
        memcpy(as->ns, opt->namespaces, opt->n_namespaces * sizeof(*as->ns));
    as->epfd = epoll_create1(EPOLL_CLOEXEC);
    as->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (as->epfd < 0 || as->event_fd < 0) {
        err = -errno;
        goto undo;
    }
    err = svm_segment_create(&as->srv, "hoststack-srv", sizeof(struct svm_server_page), sizeof(struct svm_server_page), true);
    if (err == 0)
        err = listen_on(as);
    if (err == 0)
        err = app_server_watch(as, as->listen_fd, &as->listen_src, EPOLLIN);
    if (err == 0)
        err = app_server_watch(as, as->event_fd, &as->event_src, EPOLLIN);
    s->apps = as;
    for (unsigned i = 0; i < s->n_workers && err == 0; i++)
        err = app_port_create(s->worker[i]);
    if (err != 0)
        goto undo;
    *out = as;
    return 0;
undo:
    app_server_destroy(as);
    return err;
}

/* Workers do not run any more: what they would do at a client's leaving is done here, on their behalf. */
void app_server_destroy(struct app_server *as)
{
    if (!as)
        return;
    for (unsigned i = 0; i < as->stack->n_workers; i++) /* they are about clients, which are freed here */
        worker_finish_calls(as->stack->worker[i]);
    /* Programs are told nothing but by the hang-up: their listeners come back with the next server. */
    for (struct app_client *c = as->clients; c; c = c->next) {
        for (unsigned i = 0; i < as->stack->n_workers; i++)
            c->per[i].is_leaving = true;
    }
    for (struct app_client *c = as->clients; c; c = c->next) {
        for (unsigned i = 0; i < as->stack->n_workers; i++) {
            if (as->stack->worker[i]->app)
                app_worker_detach(as->stack->worker[i], &c->per[i].aw);
        }
    }
    for (unsigned i = 0; i < as->stack->n_workers; i++) /* what would still be sent is in the memory that goes now */
        session_abort_all(as->stack->worker[i]);
    for (struct app_event *e = app_event_take_all(as), *next; e; e = next) {
        next = e->next;
        if (e->type == APP_EVENT_PAIR_GONE) /* no worker knows it any more */
            app_pair_free(as, hs_container_of(e, struct app_pair, event));
        else if (e->type == APP_EVENT_IDENTIFIED)
            app_identified(e);
        else if (e->type == APP_EVENT_REST)
            app_rest_done(e);
    }
    if (as->listen_fd >= 0) {
        close(as->listen_fd);
        (void)unlink(as->socket_path);
    }
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        struct worker *w = as->stack->worker[i];
        app_pair_free_all(w);
        app_port_destroy(w);
    }
    while (as->clients)
        app_client_free(as->clients);
    while (as->calls) {
        struct app_call *c = as->calls;
        as->calls = c->next;
        free(c);
    }
    svm_segment_unmap(&as->srv);
    if (as->event_fd >= 0)
        close(as->event_fd);
    if (as->epfd >= 0)
        close(as->epfd);
    pthread_mutex_destroy(&as->event_lock);
    as->stack->apps = NULL;
    free(as->socket_path);
    free(as->ns);
    free(as);
}

int app_server_fd(const struct app_server *as)
{
    return as->epfd;
}

static void event_handle(struct app_server *as, struct app_event *e)
{
    switch (e->type) {
    case APP_EVENT_DONE:
        app_client_worker_done(hs_container_of(e, struct app_port_client, done_event)->client);
        return;
    case APP_EVENT_FAILED: {
        struct app_port_client *pc = hs_container_of(e, struct app_port_client, fail_event);
        app_client_leave(pc->client, pc->fail_text);
        return;
    }
    case APP_EVENT_DETACH:
        app_client_leave(hs_container_of(e, struct app_port_client, fail_event)->client, NULL);
        return;
    case APP_EVENT_BANK: {
        struct app_client *c = hs_container_of(e, struct app_client, bank_event);
        /* Without it, sessions beyond the last slot are refused. Asked for again when the client has mapped it. */
        if (c->state == APP_CLIENT_ATTACHED && app_client_add_bank(c) != 0)
            __atomic_store_n(&c->bank_requested, false, __ATOMIC_RELEASE);
        return;
    }
    case APP_EVENT_HELD:
        app_fork_held(hs_container_of(e, struct app_client, held_event));
        return;
    case APP_EVENT_IDENTIFIED:
        app_identified(e);
        return;
    case APP_EVENT_REST:
        app_rest_done(e);
        return;
    case APP_EVENT_PAIR:
        app_pair_make(as, hs_container_of(e, struct app_pair, event));
        return;
    case APP_EVENT_PAIR_GONE:
        app_pair_free(as, hs_container_of(e, struct app_pair, event));
        return;
    }
}

static void events_handle(struct app_server *as)
{
    uint64_t n;
    ssize_t got = read(as->event_fd, &n, sizeof(n));

    (void)got;
    for (struct app_event *e = app_event_take_all(as), *next; e; e = next) {
        next = e->next; /* handling may free what it is embedded in */
        event_handle(as, e);
    }
}

static void src_handle(struct app_server *as, struct app_src *src, uint32_t events)
{
    switch (src->kind) {
    case APP_SRC_LISTEN:
        app_attach_accept(as);
        return;
    case APP_SRC_EVENT:
        events_handle(as);
        return;
    case APP_SRC_SOCK:
        if (src->client->sock >= 0)
            app_attach_input(src->client, events);
        return;
    case APP_SRC_LIFELINE:
        if (src->client->state == APP_CLIENT_FORKED && src->client->lifeline >= 0)
            app_fork_lifeline(src->client, events);
        return;
    case APP_SRC_PIDFD:
        app_client_leave(src->client, NULL);
        return;
    }
}

void app_server_poll(struct app_server *as)
{
    struct epoll_event ev[64];
    int n;

    as->now_us = clock_now_us();
    calls_retry(as);
    n = epoll_wait(as->epfd, ev, (int)HS_ARRAY_LEN(ev), 0);
    for (int i = 0; i < n; i++)
        src_handle(as, ev[i].data.ptr, ev[i].events);
    /* Only now: an event of the same batch may have named a client that an earlier one let go. */
    for (struct app_client *c = as->clients, *next; c; c = next) {
        next = c->next;
        if (c->state == APP_CLIENT_LEAVING && c->n_workers_done >= as->stack->n_workers)
            app_client_free(c);
    }
}

void app_server_net_changed(struct app_server *as)
{
    struct svm_server_page *p = (struct svm_server_page *)(void *)as->srv.base;

    __atomic_add_fetch(&p->net_generation, 1, __ATOMIC_RELEASE);
}
