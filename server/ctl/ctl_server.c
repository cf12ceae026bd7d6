/* ctl_server.c - the control socket: clients, requests, gathering from workers, answers */
#include "server/ctl/ctl_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "server/ctl/ctl_command.h"

enum {
    CTL_MAX_CLIENTS = 32,
    CTL_REQUEST_MAX = 65536,     /* a capture's filter may be long */
    CTL_RETRY_NS = 1000000,      /* a worker's command ring was full */
};

/* A request on its way through the workers. Lives until its last piece is back, even if the client has gone. */
struct ctl_gather {
    struct ctl_server *server;
    struct ctl_client *client;   /* NULL: has gone */
    struct ctl_gather *next;
    const struct ctl_command *cmd;
    bool with_argument;
    json_t *result;
    unsigned worker;             /* the one asked now */
    uint32_t from;               /* of the next piece; written by the worker while a piece is out */
    enum { GATHER_READY, GATHER_OUT, GATHER_BACK } state; /* OUT -> BACK: by the worker, atomically */
};

struct ctl_client {
    struct ctl_client *next;
    int fd;
    int file;                    /* came with the bytes, -1 = none: for the next command that wants one */
    struct ctl_gather *gather;   /* NULL = none under way */
    char in[CTL_REQUEST_MAX];
    size_t in_len;
    char *out;
    size_t out_len, out_done;
    bool has_hung_up;
};

struct ctl_server {
    struct stack *stack;
    int epoll_fd, listen_fd, event_fd, retry_fd;
    struct ctl_client *clients;
    unsigned n_clients;
    struct ctl_gather *gathers;
};

/* ---------------------------------------------------------------- socket */

static int listen_on(const char *path, gid_t gid, int *out)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd, rc;

    if (strlen(path) >= sizeof(sun.sun_path))
        return -ENAMETOOLONG;
    strcpy(sun.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* The runtime directory is locked by us, so whatever stands there belongs to a server that has died. */
    if (unlink(path) != 0 && errno != ENOENT)
        goto undo_socket;
    mode_t mask = umask(0177);
    rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
    umask(mask);
    if (rc != 0)
        goto undo_socket;
    if ((gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) != 0) || chmod(path, 0660) != 0 || listen(fd, CTL_MAX_CLIENTS) != 0)
        goto undo_bind;
    *out = fd;
    return 0;

undo_bind:
    rc = errno;
    unlink(path);
    errno = rc;
undo_socket:
    rc = -errno;
    close(fd);
    return rc;
}

static int watch(struct ctl_server *cs, int fd, void *ptr, uint32_t events, int op)
{
    struct epoll_event ev = { .events = events, .data.ptr = ptr };

    return epoll_ctl(cs->epoll_fd, op, fd, &ev) == 0 ? 0 : -errno;
}

int ctl_server_create(struct stack *s, const char *socket_path, gid_t socket_gid, struct ctl_server **out)
{
    struct ctl_server *cs = calloc(1, sizeof(*cs));
    int rc;

    if (!cs)
        return -ENOMEM;
    cs->stack = s;
    cs->listen_fd = -1;
    cs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    cs->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cs->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    rc = cs->epoll_fd < 0 || cs->event_fd < 0 || cs->retry_fd < 0 ? -errno : listen_on(socket_path, socket_gid, &cs->listen_fd);
    if (rc == 0)
        rc = watch(cs, cs->listen_fd, &cs->listen_fd, EPOLLIN, EPOLL_CTL_ADD);
    if (rc == 0)
        rc = watch(cs, cs->event_fd, &cs->event_fd, EPOLLIN, EPOLL_CTL_ADD);
    if (rc == 0)
        rc = watch(cs, cs->retry_fd, &cs->retry_fd, EPOLLIN, EPOLL_CTL_ADD);
    if (rc != 0) {
        ctl_server_destroy(cs);
        return rc;
    }
    json_object_seed(0); /* now, so that workers that make objects do not race for it */
    *out = cs;
    return 0;
}

int ctl_server_fd(const struct ctl_server *cs)
{
    return cs->epoll_fd;
}

static void client_free(struct ctl_server *cs, struct ctl_client *c)
{
    struct ctl_client **at = &cs->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    cs->n_clients--;
    if (c->gather)
        c->gather->client = NULL;
    close(c->fd);
    if (c->file >= 0)
        close(c->file);
    free(c->out);
    free(c);
}

static void gather_free(struct ctl_gather *g)
{
    struct ctl_gather **at = &g->server->gathers;

    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    if (g->client)
        g->client->gather = NULL;
    json_decref(g->result);
    free(g);
}

void ctl_server_destroy(struct ctl_server *cs)
{
    int fds[] = { cs->listen_fd, cs->event_fd, cs->retry_fd, cs->epoll_fd };

    while (cs->gathers) /* no worker runs: a piece that is out will never come back */
        gather_free(cs->gathers);
    while (cs->clients)
        client_free(cs, cs->clients);
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(cs);
}

/* ---------------------------------------------------------------- answers */

static void client_flush(struct ctl_server *cs, struct ctl_client *c)
{
    while (c->out_done < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_len - c->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            c->has_hung_up = true;
            return;
        }
        if (n < 0)
            break;
        c->out_done += (size_t)n;
    }
    bool more = c->out_done < c->out_len;
    if (!more) {
        free(c->out);
        c->out = NULL;
        c->out_len = c->out_done = 0;
    }
    /* While an answer is unread no further request is taken: what a client can make us hold is one answer. */
    watch(cs, c->fd, c, more ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

/* Takes `value`. */
static void client_answer(struct ctl_server *cs, struct ctl_client *c, const char *key, json_t *value)
{
    json_t *o = json_object();
    char *text;

    json_object_set_new(o, key, value);
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text) {
        c->has_hung_up = true;
        return;
    }
    c->out_len = strlen(text) + 1;
    c->out_done = 0;
    c->out = text;
    c->out[c->out_len - 1] = '\n'; /* in place of the NUL: one line is one answer */
    client_flush(cs, c);
}

/* ---------------------------------------------------------------- gathering */

/* On the worker. */
static void gather_piece(struct worker *w, void *arg)
{
    struct ctl_gather *g = arg;
    uint64_t one = 1;
    int fd = g->server->event_fd; /* g may be freed as soon as it is BACK */

    g->from = g->cmd->piece(w, g->from, g->result, g->with_argument);
    __atomic_store_n(&g->state, GATHER_BACK, __ATOMIC_RELEASE); /* pairs with the load in gather_advance() */
    if (write(fd, &one, sizeof(one)) < 0) {
        /* the counter is full, so it is readable */
    }
}

/* Sends the next piece, or the answer. True: the gather is finished and freed. */
static bool gather_advance(struct ctl_server *cs, struct ctl_gather *g)
{
    unsigned state = __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);

    if (state == GATHER_OUT)
        return false;
    if (state == GATHER_BACK && g->from == CTL_DONE) {
        g->worker++;
        g->from = 0;
    }
    g->state = GATHER_READY;
    if (!g->cmd->piece || g->worker >= cs->stack->n_workers || !g->client) {
        struct ctl_client *c = g->client;
        json_t *result = json_incref(g->result);
        gather_free(g);
        if (c)
            client_answer(cs, c, "result", result);
        else
            json_decref(result);
        return true;
    }
    g->state = GATHER_OUT;
    if (worker_call(cs->stack->worker[g->worker], gather_piece, g) != 0) {
        struct itimerspec soon = { .it_value.tv_nsec = CTL_RETRY_NS };
        g->state = GATHER_READY;
        timerfd_settime(cs->retry_fd, 0, &soon, NULL);
    }
    return false;
}

static void advance_all(struct ctl_server *cs)
{
    struct ctl_gather *g = cs->gathers;

    while (g) {
        struct ctl_gather *next = g->next;
        gather_advance(cs, g);
        g = next;
    }
}

static void request_begin(struct ctl_server *cs, struct ctl_client *c, const char *line, size_t len)
{
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *words = json_object_get(request, "command"), *error = NULL;
    const struct ctl_command *cmd;
    struct ctl_gather *g;
    bool with_argument = false;
    size_t first = 0;
    char err[256] = "";

    if (!json_is_array(words)) {
        json_decref(request);
        client_answer(cs, c, "error", json_string("a request is one line such as {\"command\":[\"show\",\"session\"]}"));
        return;
    }
    cmd = ctl_command_find(words, &with_argument, &first, &error);
    if (cmd && cmd->run) {
        int rc = cmd->run(cs->stack, words, first, err, sizeof(err));
        json_decref(request);
        client_answer(cs, c, rc == 0 ? "result" : "error", rc == 0 ? json_object() : json_string(err));
        return;
    }
    if (cmd && cmd->run_file) {
        int rc = cmd->run_file(cs->stack, words, first, json_object_get(request, "filter"), c->file, err, sizeof(err));
        if (rc == 0)
            c->file = -1;
        json_decref(request);
        client_answer(cs, c, rc == 0 ? "result" : "error", rc == 0 ? json_object() : json_string(err));
        return;
    }
    json_decref(request);
    if (!cmd) {
        client_answer(cs, c, "error", error);
        return;
    }
    g = calloc(1, sizeof(*g));
    if (!g) {
        client_answer(cs, c, "error", json_string("no memory"));
        return;
    }
    g->server = cs;
    g->client = c;
    g->cmd = cmd;
    g->with_argument = with_argument;
    g->result = cmd->is_array ? json_array() : json_object();
    g->next = cs->gathers;
    cs->gathers = g;
    c->gather = g;
    if (cmd->begin)
        cmd->begin(cs->stack, g->result, with_argument);
    gather_advance(cs, g);
}

/* ---------------------------------------------------------------- requests */

static void accept_clients(struct ctl_server *cs)
{
    for (;;) {
        int fd = accept4(cs->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct ctl_client *c = cs->n_clients < CTL_MAX_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
        if (!c || watch(cs, fd, c, EPOLLIN, EPOLL_CTL_ADD) != 0) {
            free(c);
            close(fd);
            continue;
        }
        c->fd = fd;
        c->file = -1;
        c->next = cs->clients;
        cs->clients = c;
        cs->n_clients++;
    }
}

static bool is_busy(const struct ctl_client *c)
{
    return c->gather || c->out;
}

/* Requests in the buffer, one after the other. */
static void take_requests(struct ctl_server *cs, struct ctl_client *c)
{
    while (!is_busy(c) && !c->has_hung_up) {
        char *end = memchr(c->in, '\n', c->in_len);
        if (!end) {
            if (c->in_len == sizeof(c->in))
                c->has_hung_up = true; /* longer than any request */
            return;
        }
        size_t len = (size_t)(end - c->in);
        char line[CTL_REQUEST_MAX];
        memcpy(line, c->in, len);
        c->in_len -= len + 1;
        memmove(c->in, end + 1, c->in_len);
        request_begin(cs, c, line, len);
    }
}

/* Bytes, and with them perhaps a descriptor: one is kept, the last. */
static ssize_t receive(struct ctl_client *c)
{
    union { struct cmsghdr align; char room[CMSG_SPACE(sizeof(int))]; } u;
    struct iovec iov = { c->in + c->in_len, sizeof(c->in) - c->in_len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
    ssize_t n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *h = n >= 0 ? CMSG_FIRSTHDR(&mh) : NULL;

    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int))) {
        if (c->file >= 0)
            close(c->file);
        memcpy(&c->file, CMSG_DATA(h), sizeof(int));
    }
    return n;
}

static void client_input(struct ctl_server *cs, struct ctl_client *c)
{
    while (c->in_len < sizeof(c->in)) {
        ssize_t n = receive(c);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            c->has_hung_up = true;
            return;
        }
        c->in_len += (size_t)n;
    }
    take_requests(cs, c);
    if (is_busy(c) && !c->out) /* a gather is under way: hear of nothing but the end of the connection */
        watch(cs, c->fd, c, 0, EPOLL_CTL_MOD);
}

void ctl_server_poll(struct ctl_server *cs)
{
    struct epoll_event ev[CTL_MAX_CLIENTS + 3];
    int n = epoll_wait(cs->epoll_fd, ev, HS_ARRAY_LEN(ev), 0);
    uint64_t counter;

    for (int i = 0; i < n; i++) {
        void *p = ev[i].data.ptr;
        if (p == &cs->listen_fd) {
            accept_clients(cs);
        } else if (p == &cs->event_fd || p == &cs->retry_fd) {
            if (read(*(int *)p, &counter, sizeof(counter)) == (ssize_t)sizeof(counter))
                advance_all(cs);
        } else {
            struct ctl_client *c = p;
            if (ev[i].events & (EPOLLHUP | EPOLLERR))
                c->has_hung_up = true;
            else if (ev[i].events & EPOLLOUT)
                client_flush(cs, c);
            else
                client_input(cs, c);
        }
    }
    /* Freed here and nowhere else, so that no event of this round points to one that has gone. */
    for (struct ctl_client *c = cs->clients, *next; c; c = next) {
        next = c->next;
        if (!c->has_hung_up)
            take_requests(cs, c);
        if (c->has_hung_up)
            client_free(cs, c);
    }
}
