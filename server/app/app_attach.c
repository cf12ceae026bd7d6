/* app_attach.c - the attach socket: who connects, and what it asks (svm_proto.h) */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "server/ip/ip.h"
#include "server/mcast/mcast.h"
#include "server/route/route.h"

static void refuse(struct app_client *c, int error, const char *text)
{
    struct svm_att_error m = { .type = SVM_ATT_ERROR, .error = error };

    snprintf(m.text, sizeof(m.text), "%s", text);
    if (c->sock >= 0) /* best effort: the hang-up says the rest */
        (void)svm_sock_send(c->sock, &m, sizeof(m), NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
    hs_log_limited(c->as->stack->log, &c->as->log_limit, c->as->now_us, HS_LOG_NOTICE, "client %u (%s) refused: %s", c->client_id,
                   c->peer, text);
    app_client_leave(c, NULL);
}

static void set_process(struct app_client *c, const struct ucred *cred)
{
    c->pid = cred->pid;
    c->uid = cred->uid;
    snprintf(c->peer, sizeof(c->peer), "pid %d uid %u", (int)cred->pid, (unsigned)cred->uid);
}

void app_attach_accept(struct app_server *as)
{
    for (int n = 0; n < 64; n++) {
        struct ucred cred = { 0 };
        socklen_t len = sizeof(cred);
        struct app_client *c;
        int fd = accept4(as->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        c = app_client_new(as, fd);
        if (!c) {
            close(fd);
            return;
        }
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
        set_process(c, &cred);
        if (app_server_watch(as, fd, &c->sock_src, EPOLLIN | EPOLLRDHUP) != 0)
            app_client_leave(c, NULL);
        else if (as->n_clients > as->opt.max_clients)
            refuse(c, -EUSERS, "the server has as many clients as it may");
    }
}

static int find_namespace(struct app_server *as, const struct svm_att_hello *h, uint32_t *ns)
{
    if (h->ns_name[0] == '\0') {
        *ns = 0;
        return 0;
    }
    for (unsigned i = 0; i < as->opt.n_namespaces; i++) {
        if (strncmp(as->ns[i].name, h->ns_name, sizeof(h->ns_name)) != 0)
            continue;
        if (as->ns[i].secret != h->namespace_secret)
            return -EACCES;
        *ns = i + 1;
        return 0;
    }
    return -ENOENT;
}

/* A further worker of an app, or a new app. */
static int join_app(struct app_client *c, const struct svm_att_hello *h)
{
    if (!(h->flags & SVM_HELLO_WORKER)) {
        c->app_id = ++c->as->next_app_id;
        return getrandom(&c->app_cookie, sizeof(c->app_cookie), 0) == sizeof(c->app_cookie) ? 0 : -errno;
    }
    for (const struct app_client *o = c->as->clients; o; o = o->next) {
        if (o != c && o->app_id == h->app_id && o->app_cookie == h->app_cookie && o->app_cookie != 0 && o->uid == c->uid) {
            c->app_id = o->app_id;
            c->app_cookie = o->app_cookie;
            return 0;
        }
    }
    return -EACCES;
}

static void watch_process(struct app_client *c)
{
    /* Its socket may have been inherited by somebody who outlives it. Not available for a process in another pid namespace. */
    c->pidfd = c->pid > 0 ? (int)syscall(SYS_pidfd_open, c->pid, 0) : -1;
    if (c->pidfd >= 0)
        (void)app_server_watch(c->as, c->pidfd, &c->pidfd_src, EPOLLIN);
}

static void do_hello(struct app_client *c, const struct svm_att_hello *m)
{
    struct svm_att_hello h = *m;
    uint32_t scope = h.flags & (SVM_HELLO_SCOPE_LOCAL | SVM_HELLO_SCOPE_GLOBAL);
    int err;

    h.ns_name[sizeof(h.ns_name) - 1] = h.app_name[sizeof(h.app_name) - 1] = '\0';
    if (c->state != APP_CLIENT_NEW && c->state != APP_CLIENT_FORKED) {
        refuse(c, -EPROTO, "a second HELLO");
        return;
    }
    if (c->state == APP_CLIENT_FORKED && h.fork_token != c->fork_token) {
        refuse(c, -EACCES, "wrong fork token");
        return;
    }
    if (h.abi_version != SVM_ABI_VERSION) {
        refuse(c, -EPROTO, "client library and server are of different versions");
        return;
    }
    memcpy(c->name, h.app_name, sizeof(c->name));
    if (c->state == APP_CLIENT_NEW) {
        c->scope = scope ? scope : SVM_HELLO_SCOPE_LOCAL | SVM_HELLO_SCOPE_GLOBAL;
        err = find_namespace(c->as, &h, &c->ns);
        if (err != 0) {
            refuse(c, err, err == -EACCES ? "wrong namespace secret" : "no such namespace");
            return;
        }
        err = join_app(c, &h);
        if (err != 0) {
            refuse(c, err, "it is no worker of the application that it names");
            return;
        }
    }
    err = app_client_attach(c, &h);
    if (err != 0) {
        refuse(c, err, "no memory or descriptors for its segments");
        return;
    }
    watch_process(c);
}

static void do_who(struct app_client *c, const struct svm_att_who *q)
{
    struct stack *s = c->as->stack;
    struct svm_att_simple m = { .type = SVM_ATT_OK };
    uint16_t fib = c->ns ? c->as->ns[c->ns - 1].fib : 0;

    const struct route *r = s->routes ? route_lookup(s->routes, fib, &q->ip) : NULL;

    if (interfaces_find_addr(s, fib, &q->ip))
        m.value |= SVM_WHO_INTERFACE;
    else if (r)
        m.value |= SVM_WHO_ROUTED | (uint64_t)r->prefix.len << SVM_WHO_PREFIX_SHIFT;
    else if (ip_addr_is_multicast(&q->ip) && mcast_default_ifc(s, fib, &q->ip))
        m.value |= SVM_WHO_ROUTED | (uint64_t)(ip_addr_is_v4(&q->ip) ? 32 : 128) << SVM_WHO_PREFIX_SHIFT;
    if (s->n_ports)
        m.value |= SVM_WHO_HAS_PORTS;
    app_client_send(c, &m, sizeof(m), NULL, 0);
}

static void do_device(struct app_client *c, struct svm_att_device *d)
{
    uint16_t fib = c->ns ? c->as->ns[c->ns - 1].fib : 0;

    d->type = SVM_ATT_DEVICE_IS;
    if (!memchr(d->name, 0, sizeof(d->name)) || interface_find_device(c->as->stack, fib, d->name, &d->index) != 0)
        memset(d->name, 0, sizeof(d->name)), d->index = 0;
    app_client_send(c, d, sizeof(*d), NULL, 0);
}

static void do_address(struct app_client *c, uint32_t number)
{
    struct svm_att_address m = { .type = SVM_ATT_ADDRESS_IS, .number = number };

    if (interface_nth_address(c->as->stack, c->ns ? c->as->ns[c->ns - 1].fib : 0, number, &m) != 0)
        m.device.index = 0;
    app_client_send(c, &m, sizeof(m), NULL, 0);
}

static void do_error(struct app_client *c, int error, const char *text)
{
    struct svm_att_error m = { .type = SVM_ATT_ERROR, .error = error };

    snprintf(m.text, sizeof(m.text), "%s", text);
    app_client_send(c, &m, sizeof(m), NULL, 0);
}

static void do_fork(struct app_client *c, int *fds, int n_fds)
{
    int err = -EINVAL;

    if (n_fds == 1) {
        err = app_fork_note(c, fds[0]);
        fds[0] = -1; /* taken */
    }
    if (err != 0)
        do_error(c, err, "the child cannot be noted");
}

static void dispatch(struct app_client *c, const uint8_t *buf, size_t len, int *fds, int n_fds)
{
    uint32_t type = 0;
    struct svm_att_hello hello;
    struct svm_att_who who;
    struct svm_att_device device;
    struct svm_att_address address;
    struct svm_att_tls tls;
    struct svm_att_tls_config tls_config;
    struct svm_att_tcp_key tcp_key;
    struct svm_att_export exported;
    struct svm_att_simple simple;

    if (len >= sizeof(type))
        memcpy(&type, buf, sizeof(type));
    if ((c->state == APP_CLIENT_NEW || c->state == APP_CLIENT_FORKED) && type != SVM_ATT_HELLO) {
        refuse(c, -EPROTO, "its first message is no HELLO");
    } else if (type == SVM_ATT_HELLO && len == sizeof(hello)) {
        memcpy(&hello, buf, sizeof(hello));
        do_hello(c, &hello);
    } else if (type == SVM_ATT_WHO && len == sizeof(who)) {
        memcpy(&who, buf, sizeof(who));
        do_who(c, &who);
    } else if (type == SVM_ATT_DEVICE && len == sizeof(device)) {
        memcpy(&device, buf, sizeof(device));
        do_device(c, &device);
    } else if (type == SVM_ATT_ADDRESS && len == sizeof(address)) {
        memcpy(&address, buf, sizeof(address));
        do_address(c, address.number);
    } else if (type == SVM_ATT_FORK && len == sizeof(simple)) {
        do_fork(c, fds, n_fds);
    } else if (type == SVM_ATT_BANK && len == sizeof(struct svm_att_simple)) {
        int err = app_client_add_bank(c);
        if (err != 0)
            do_error(c, err, "no further bank");
    } else if (type == SVM_ATT_BANK_MAPPED && len == sizeof(simple)) {
        memcpy(&simple, buf, sizeof(simple));
        app_client_bank_mapped(c, (uint32_t)simple.value);
    } else if (type == SVM_ATT_TLS_PAIR && len == sizeof(tls)) {
        memcpy(&tls, buf, sizeof(tls));
        app_tls_pair(c, &tls);
        explicit_bzero(&tls, sizeof(tls));
    } else if (type == SVM_ATT_TLS_CONFIG && len == sizeof(tls_config)) {
        memcpy(&tls_config, buf, sizeof(tls_config));
        app_tls_config(c, &tls_config);
    } else if (type == SVM_ATT_TLS_DEL && len == sizeof(simple)) {
        memcpy(&simple, buf, sizeof(simple));
        app_tls_del(c, simple.value);
    } else if (type == SVM_ATT_TCP_KEY && len == sizeof(tcp_key)) {
        memcpy(&tcp_key, buf, sizeof(tcp_key));
        app_tcp_key(c, &tcp_key);
        explicit_bzero(&tcp_key, sizeof(tcp_key));
    } else if (type == SVM_ATT_EXPORT && len == sizeof(exported)) {
        memcpy(&exported, buf, sizeof(exported));
        int err = app_export(c, &exported, fds, n_fds);
        if (err != 0)
            do_error(c, err, "the session cannot be noted");
    } else if ((type == SVM_ATT_REST || type == SVM_ATT_REST_GET) && len == sizeof(exported)) {
        memcpy(&exported, buf, sizeof(exported));
        int err = n_fds == (type == SVM_ATT_REST) ? app_rest(c, &exported, n_fds ? &fds[0] : NULL) : -EINVAL;
        if (err != 0)
            do_error(c, err, "no such bytes of a former peer");
    } else if (type == SVM_ATT_IDENTIFY && len == sizeof(simple)) {
        memcpy(&simple, buf, sizeof(simple));
        int err = n_fds == 1 ? app_identify(c, (uint32_t)simple.value, fds[0]) : -EINVAL;
        if (err != 0)
            do_error(c, err, "nothing stands behind this descriptor");
    } else {
        app_client_leave(c, "it sent an attach message that is none");
    }
}

void app_attach_input(struct app_client *c, uint32_t events)
{
    uint8_t buf[SVM_ATT_MAX_MSG];

    if (events & EPOLLOUT)
        app_client_flush(c);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
        return;
    for (int n = 0; n < 16 && c->sock >= 0; n++) {
        int fds[SVM_ATT_MAX_FDS], n_fds = 0;
        struct ucred cred = { .pid = 0 };
        ssize_t len = svm_sock_recv_cred(c->sock, buf, sizeof(buf), fds, SVM_ATT_MAX_FDS, &n_fds, MSG_DONTWAIT, &cred);
        if (len == -EAGAIN || len == -EINTR)
            return;
        if (len <= 0) {
            app_client_leave(c, len == 0 || len == -ECONNRESET ? NULL : "it sent an attach message that cannot be received");
            return;
        }
        if (c->state == APP_CLIENT_FORKED && cred.pid > 0) /* now it is known who the child is */
            set_process(c, &cred);
        dispatch(c, buf, (size_t)len, fds, n_fds);
        explicit_bzero(buf, (size_t)len); /* it may have been a key */
        for (int i = 0; i < n_fds; i++) {
            if (fds[i] >= 0)
                svm_sock_close_passed(fds[i]);
        }
    }
}
