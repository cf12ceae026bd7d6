/* vcl_attach.c - the attach socket: hello and welcome, segments that come later, whose address, fork tokens, hang-up
 * All of it runs under the worker lock: requests are rare, and answered by the server's control thread at once. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>
#include "vcl/vcl_option_copy.h"
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sys.h"

enum { ATT_TIMEOUT_MS = 5000, ATT_BUF = 2 * SVM_ATT_MAX_MSG, NO_SPACE_NS = 1000000000 };

struct att_in {                /* one message of the attach socket */
    union {
        uint32_t type;
        struct svm_att_welcome welcome;
        struct svm_att_segment segment;
        struct svm_att_simple simple;
        struct svm_att_error error;
        struct svm_att_identified identified;
        struct svm_att_device device;
        struct svm_att_address address;
        uint8_t bytes[ATT_BUF];
    } u;
    size_t len;
    int fds[SVM_ATT_MAX_FDS];
    unsigned n_fds;
};

static void close_fds(struct att_in *in)
{
    for (unsigned i = 0; i < in->n_fds; i++)
        if (in->fds[i] >= 0)
            sys_close(in->fds[i]);
    in->n_fds = 0;
}

/* 0, -EAGAIN (nothing there), -EPIPE (hang-up), -errno. */
static int att_recv(int fd, struct att_in *in)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(SVM_ATT_MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = { &in->u, sizeof(in->u) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    ssize_t n;

    in->n_fds = 0;
    do
        n = sys_recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -EAGAIN : -EPIPE;
    if (n == 0)
        return -EPIPE;
    in->len = (size_t)n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        size_t bytes = c->cmsg_len - CMSG_LEN(0);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < bytes / sizeof(int) && in->n_fds < SVM_ATT_MAX_FDS; i++)
            memcpy(&in->fds[in->n_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    if (in->len < sizeof(in->u.type) || msg.msg_flags & MSG_TRUNC) {
        close_fds(in);
        return -EPROTO;
    }
    return 0;
}

static int att_send_fds(int fd, const void *msg, size_t len, const int *fds, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec iov = { (void *)(uintptr_t)msg, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (n_fds) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    do
        n = sys_sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? 0 : -EPIPE;
}

static int att_send(int fd, const void *msg, size_t len, int pass_fd)
{
    return att_send_fds(fd, msg, len, &pass_fd, pass_fd >= 0);
}

/* ---- segments ---- */
static uint32_t free_pair_index(struct vcl_worker *w)
{
    struct vcl_pair **grown;
    uint32_t i, size;

    for (i = 0; i < w->n_pairs && w->pairs[i]; i++)
        ;
    if (i < w->pairs_size)
        return i;
    size = w->pairs_size ? 2 * w->pairs_size : 16;
    grown = realloc(w->pairs, size * sizeof(struct vcl_pair *));
    if (!grown)
        return UINT32_MAX;
    memset(grown + w->pairs_size, 0, (size - w->pairs_size) * sizeof(struct vcl_pair *));
    w->pairs = grown;
    w->pairs_size = size;
    return i;
}

/* One that cannot be mapped stands in the table all the same, as failed: nobody shall wait for it. */
static void take_pair(struct vcl_worker *w, const struct svm_att_segment *m, struct att_in *in)
{
    uint32_t i = free_pair_index(w);
    struct vcl_pair *p = NULL;
    int rc = in->n_fds == 3 ? 0 : -EMFILE; /* the kernel leaves out those for which there is no room */

    if (!rc)
        rc = i < w->pairs_size ? vcl_segment_map_pair(m, in->fds, &p) : -ENOMEM;
    if (rc) {
        if (!vcl_process()->unmapped_said) /* whoever is near its limit of memory comes here often */
            vcl_log(0, "cannot map a segment for a cut-through peer: %s; such connections go through the server", strerror(-rc));
        vcl_process()->unmapped_said = true;
        if (i < w->pairs_size)
            p = vcl_segment_failed_pair(m);
        if (!p)
            return;
    }
    p->index = i;
    w->pairs[i] = p;
    if (i == w->n_pairs)
        w->n_pairs++;
}

static void drop_pair(struct vcl_worker *w, uint32_t i)
{
    vcl_segment_pair_free(w->pairs[i]);
    w->pairs[i] = NULL;
    while (w->n_pairs && !w->pairs[w->n_pairs - 1])
        w->n_pairs--;
}

/* What comes unasked. */
static void take_notice(struct vcl_worker *w, struct att_in *in)
{
    struct svm_att_segment m;

    if (in->len < sizeof(m) || (in->u.type != SVM_ATT_SEGMENT && in->u.type != SVM_ATT_SEGMENT_GONE))
        return;
    memcpy(&m, &in->u.segment, sizeof(m));
    if (m.type == SVM_ATT_SEGMENT_GONE) {
        for (uint32_t i = 0; i < w->n_pairs; i++)
            if (w->pairs[i] && w->pairs[i]->seg_id == m.seg_id)
                atomic_store(&w->pairs[i]->gone, true);
        vcl_worker_reap_pairs(w);
    } else if (m.kind == SVM_SEG_PAIR) {
        take_pair(w, &m, in);
    } else if (m.kind == SVM_SEG_BANK) {
        int rc = in->n_fds == 2 ? vcl_segment_add_bank(w->life, m.seg_id, m.bank, in->fds[0], in->fds[1]) : -EMFILE;
        struct svm_att_simple done = { .type = SVM_ATT_BANK_MAPPED, .value = m.seg_id };

        if (!rc) {
            att_send(w->att_fd, &done, sizeof(done), -1);
        } else {
            vcl_log(0, "cannot map more memory: %s", strerror(-rc));
            vcl_segment_failed_bank(w->life, m.seg_id, m.bank);
        }
    }
}

void vcl_worker_att_input(struct vcl_worker *w)
{
    struct att_in in;
    int rc = 0;

    if (!atomic_load(&w->attached) || w->lost)
        return;
    while ((rc = att_recv(w->att_fd, &in)) == 0) {
        take_notice(w, &in);
        close_fds(&in);
    }
    if (rc == -EPIPE)
        w->lost = true;
}

/* The answer to a request: a message of type `want`, or an error. Notices before it are taken. */
static int att_answer(struct vcl_worker *w, struct att_in *in, uint32_t want)
{
    int64_t until = vcl_now_ns() + ATT_TIMEOUT_MS * 1000000ll;

    for (;;) {
        int rc = att_recv(w->att_fd, in);

        if (rc == -EAGAIN) {
            struct pollfd pfd = { .fd = w->att_fd, .events = POLLIN };
            int64_t left = (until - vcl_now_ns()) / 1000000;

            if (left <= 0)
                return -ETIMEDOUT;
            sys_ppoll(&pfd, 1, &(struct timespec){ left / 1000, left % 1000 * 1000000 }, NULL);
            continue;
        }
        if (rc) {
            w->lost = true;
            return -ENETDOWN;
        }
        if (in->u.type == want)
            return 0;
        if (in->u.type == SVM_ATT_ERROR && in->len >= sizeof(in->u.error)) {
            in->u.error.text[sizeof(in->u.error.text) - 1] = '\0';
            vcl_log(1, "the server says: %s", in->u.error.text);
            rc = in->u.error.error < 0 ? in->u.error.error : -EPROTO;
            close_fds(in);
            return rc;
        }
        take_notice(w, in);
        if (want == SVM_ATT_SEGMENT && in->u.type == SVM_ATT_SEGMENT) {
            close_fds(in);
            return 0;
        }
        close_fds(in);
    }
}

/* A queue message may be faster than the attach socket: wait for the segment it names. */
static bool wait_for_input(struct vcl_worker *w, int64_t until)
{
    struct pollfd pfd = { .fd = w->att_fd, .events = POLLIN };

    if (w->lost || vcl_now_ns() > until)
        return false;
    sys_ppoll(&pfd, 1, &(struct timespec){ 0, 10000000 }, NULL);
    vcl_worker_att_input(w);
    return true;
}

struct vcl_pair *vcl_worker_pair(struct vcl_worker *w, uint32_t seg_id)
{
    int64_t until = 0;

    do {
        for (uint32_t i = 0; i < w->n_pairs; i++)
            if (w->pairs[i] && w->pairs[i]->seg_id == seg_id)
                return w->pairs[i];
        if (!until)
            until = vcl_now_ns() + ATT_TIMEOUT_MS * 1000000ll;
    } while (wait_for_input(w, until));
    return NULL;
}

struct vcl_bank *vcl_worker_bank(struct vcl_worker *w, uint32_t seg_id, uint16_t *index)
{
    int64_t until = 0;

    do {
        for (uint32_t i = 0; i < w->life->n_banks; i++)
            if (w->life->banks[i] && w->life->banks[i]->seg_id == seg_id) {
                *index = (uint16_t)i;
                return w->life->banks[i];
            }
        if (!until)
            until = vcl_now_ns() + ATT_TIMEOUT_MS * 1000000ll;
    } while (wait_for_input(w, until));
    return NULL;
}

void vcl_worker_reap_pairs(struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->n_pairs; i++) {
        struct vcl_pair *p = w->pairs[i];

        if (p && atomic_load(&p->gone) && p->n_sockets == 0 && !w->zero_copy) {
            drop_pair(w, i);
        }
    }
}

/* ---- hello and welcome ---- */
static int att_connect(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(sun.sun_path))
        return -ENAMETOOLONG;
    strcpy(sun.sun_path, path);
    fd = vcl_fd_keep(sys_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (fd >= 0 && sys_connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        int rc = -errno;

        vcl_fd_close(&fd);
        return rc;
    }
    return fd;
}

static void fill_hello(struct vcl_worker *w, struct svm_att_hello *h)
{
    struct vcl_process *p = vcl_process();
    const struct vcl_config *c = vcl_config();

    memset(h, 0, sizeof(*h));
    h->type = SVM_ATT_HELLO;
    h->abi_version = SVM_ABI_VERSION;
    h->flags = (c->scope_local ? SVM_HELLO_SCOPE_LOCAL : 0) | (c->scope_global ? SVM_HELLO_SCOPE_GLOBAL : 0);
    if (p->has_app) {
        h->flags |= SVM_HELLO_WORKER;
        h->app_id = p->app_id;
        h->app_cookie = p->app_cookie;
        h->fork_token = w->fork_token;
    }
    h->namespace_secret = c->ns_secret;
    h->rx_fifo_size = c->rx_fifo_size;
    h->tx_fifo_size = c->tx_fifo_size;
    h->evt_queue_len = c->event_queue_size;
    h->segment_mb = c->segment_mb;
    vcl_space_ask(h);
    memcpy(h->ns_name, c->ns_name, sizeof(h->ns_name));
    snprintf(h->app_name, sizeof(h->app_name), "%s", c->app_name[0] ? c->app_name : program_invocation_short_name);
}

/* Descriptors and queues of a welcome; what was made stands in w and is undone by vcl_worker_forget_server(). */
static int take_welcome(struct vcl_worker *w, struct att_in *in)
{
    struct vcl_process *p = vcl_process();
    struct svm_att_welcome m;
    struct vcl_bank *b;
    uint8_t *base;
    uint64_t size;
    int rc;

    memcpy(&m, &in->u.welcome, sizeof(m));
    if (in->len < sizeof(m) || m.abi_version != SVM_ABI_VERSION || m.n_workers == 0 || m.n_workers > SVM_MAX_SERVER_WORKERS ||
        in->n_fds != 5 + m.n_workers)
        return -EPROTO;
    rc = vcl_segment_map(in->fds[0], false, sizeof(struct svm_server_page), &base, &size);
    if (rc)
        return rc;
    w->srv = (const void *)base;
    rc = vcl_segment_map(in->fds[1], true, sizeof(struct svm_presence_page), &base, &size);
    if (rc)
        return rc;
    w->page = (void *)base;
    rc = vcl_segment_add_bank(w->life, m.seg_id, 0, in->fds[3], in->fds[4]);
    if (rc)
        return rc;
    b = w->life->banks[0];
    for (uint32_t i = 0; i < m.n_workers; i++) {
        rc = svm_msgq_cons_init(&w->in[i], &m.q[i].to_client, b->s_base, b->s_size, b->c_base, b->c_size);
        if (!rc)
            rc = svm_msgq_prod_init(&w->out[i], &m.q[i].to_server, b->c_base, b->c_size, b->s_base, b->s_size);
        if (rc)
            return rc;
        w->server_rung[i] = 0;
        rc = vcl_bell_take(&w->server_bell[i], in->fds[5 + i]);
        if (rc)
            return rc;
    }
    w->bell_fd = vcl_fd_dup(in->fds[2]);
    if (w->bell_fd < 0)
        return w->bell_fd;
    sys_set_nonblock(w->bell_fd);
    w->n_server_workers = m.n_workers;
    w->client_id = m.client_id;
    w->hello_flags = m.flags;
    w->rx_fifo_size = m.rx_fifo_size;
    w->tx_fifo_size = m.tx_fifo_size;
    p->app_id = w->app_id = m.app_id;
    p->app_cookie = w->app_cookie = m.app_cookie;
    p->has_app = true;
    return 0;
}

static int att_hello(struct vcl_worker *w)
{
    struct svm_att_hello hello;
    struct att_in in;
    int rc;

    fill_hello(w, &hello);
    rc = att_send(w->att_fd, &hello, sizeof(hello), -1);
    if (rc)
        return -ENETDOWN;
    rc = att_answer(w, &in, SVM_ATT_WELCOME);
    if (rc)
        return rc;
    rc = take_welcome(w, &in);
    vcl_process()->no_space = rc == -ENOMEM;
    close_fds(&in);
    return rc;
}

static int attach_locked(struct vcl_worker *w)
{
    struct vcl_process *p = vcl_process();
    uint64_t begin = (uint64_t)vcl_now_ns();
    int rc = vcl_process_init();

    if (rc)
        return rc;
    if (begin < w->ask_again_ns)
        return w->ask_again_error;
    w->last_attach_ns = begin;
    if (w->fork_token && w->lifeline_fd >= 0) { /* works also for a child that may not open the socket (nginx's workers) */
        w->att_fd = w->lifeline_fd;
        w->lifeline_fd = -1;
    } else {
        w->att_fd = att_connect(p->cfg.app_socket);
    }
    if (w->att_fd < 0) {
        rc = w->att_fd;
        w->att_fd = -1;
        if (!p->down_said)
            vcl_log(0, "no server at %s: %s", p->cfg.app_socket, strerror(-rc));
        p->down_said = true;
        return rc == -EACCES || rc == -EPERM ? -EACCES : -ENETDOWN;
    }
    w->life = calloc(1, sizeof(*w->life));
    if (!w->life) {
        vcl_fd_close(&w->att_fd);
        return -ENOMEM;
    }
    w->life->srv_regions.grows = true;
    w->lost = false;
    rc = att_hello(w);
    if (rc) {
        if (p->refused_said != rc && p->no_space)
            vcl_log(0, "no address space for the memory of the server at %s: the kernel serves", p->cfg.app_socket);
        else if (p->refused_said != rc) /* every call on a socket tries again */
            vcl_log(0, "the server at %s refuses: %s", p->cfg.app_socket, strerror(-rc));
        p->refused_said = rc;
        w->ask_again_error = rc;
        w->ask_again_ns = (uint64_t)vcl_now_ns() * 2 - begin; /* one that lets us wait: not before as long again */
        if (p->no_space)
            w->ask_again_ns += NO_SPACE_NS;
        vcl_worker_forget_server(w, false);
        return rc;
    }
    w->epoch++;
    w->fork_token = 0;
    atomic_store(&w->attached, true);
    p->down_said = false;
    p->refused_said = 0;
    if (atomic_load(&w->eager))
        vcl_worker_sleep_begin(w);
    vcl_worker_event_fd_join(w);
    vcl_worker_reattached(w);
    return 0;
}

int vcl_worker_attach(struct vcl_worker *w)
{
    int rc = 0;

    if (hs_likely(atomic_load_explicit(&w->attached, memory_order_acquire)))
        return 0;
    pthread_mutex_lock(&w->lock);
    if (!atomic_load(&w->attached))
        rc = attach_locked(w);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

bool vcl_server_is_there(void)
{
    struct vcl_worker *w = vcl_worker_current();

    if (!w || vcl_process_init() < 0)
        return false;
    if (hs_likely(atomic_load_explicit(&w->attached, memory_order_acquire)))
        return true;
    /* Looked for first: a program that needs no server shall not hear that there is none. */
    return access(vcl_config()->app_socket, F_OK) == 0 && vcl_worker_attach(w) == 0;
}

/* From a wait, when listeners hope for the server: not more often than every VCL_REATTACH_NS. Worker lock held. */
void vcl_worker_retry_attach(struct vcl_worker *w)
{
    if (!atomic_load(&w->attached) && (uint64_t)vcl_now_ns() - w->last_attach_ns > VCL_REATTACH_NS)
        attach_locked(w);
}

/* Everything that belonged to the connection to the server. In a fork's child none of the memory is mapped. */
void vcl_worker_forget_server(struct vcl_worker *w, bool in_child)
{
    atomic_store(&w->attached, false);
    vcl_fd_close(&w->att_fd);
    vcl_fd_close(&w->bell_fd);
    for (uint32_t i = 0; i < SVM_MAX_SERVER_WORKERS; i++)
        vcl_bell_drop(&w->server_bell[i]);
    if (w->srv && !in_child)
        munmap((void *)(uintptr_t)w->srv, sizeof(struct svm_server_page));
    if (w->page && !in_child)
        munmap(w->page, sizeof(*w->page));
    w->srv = NULL;
    w->page = NULL;
    w->n_server_workers = 0;
    w->n_pending = 0;
    memset(w->server_kept, 0, sizeof(w->server_kept));
    w->n_sleepers = 0;
    w->lost = false;
    memset(w->who, 0, sizeof(w->who));
    if (in_child)
        vcl_segment_forget(w);
    for (uint32_t i = 0; i < w->n_pairs; i++) {
        struct vcl_pair *p = w->pairs[i];

        if (!p)
            continue;
        if (p->n_sockets == 0 && !w->zero_copy) {
            drop_pair(w, i);
        } else {
            free(p->kept);
            p->kept = NULL;
            p->n_kept = 0;
            atomic_store(&p->gone, true);
        }
    }
    if (!in_child && !w->zero_copy)
        vcl_segment_life_free(w->life);
    w->life = NULL;
}

/* The server has died or has been stopped: open sessions are reset, listeners wait for it to come back. */
void vcl_worker_server_lost(struct vcl_worker *w)
{
    vcl_log(0, "the server has gone: connections are reset, listeners come back with it");
    vcl_process()->has_app = false;
    for (uint32_t i = 0; i < w->table_size; i++)
        if (w->table[i])
            vcl_socket_lost(w->table[i]);
    vcl_worker_forget_server(w, false);
}

/* ---- requests ---- */
int vcl_worker_more_memory(struct vcl_worker *w, uint32_t slots)
{
    struct svm_att_simple req = { .type = SVM_ATT_BANK, .value = slots };
    struct att_in in;
    uint32_t before;
    int rc = -ENETDOWN;

    pthread_mutex_lock(&w->lock);
    if (atomic_load(&w->attached) && !w->lost && vcl_now_ns() >= w->no_memory_until_ns) {
        before = w->life->n_banks;
        rc = att_send(w->att_fd, &req, sizeof(req), -1);
        while (!rc && w->life->n_banks == before) /* a PAIR segment may come first */
            rc = att_answer(w, &in, SVM_ATT_SEGMENT);
        if (!rc && w->life->banks[before] && !w->life->banks[before]->c_base)
            rc = -ENOMEM;
        if (rc)
            w->no_memory_until_ns = vcl_now_ns() + 100000000; /* do not ask for every write */
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

int vcl_worker_who(struct vcl_worker *w, const struct ip_addr *ip, uint32_t *answer)
{
    struct svm_att_who req = { .type = SVM_ATT_WHO, .ip = *ip };
    uint32_t at = (uint32_t)((ip->q[0] ^ ip->q[1] * 0x9e3779b97f4a7c15ull) >> 58) % VCL_WHO_CACHE, generation;
    struct vcl_who_entry *e = &w->who[at];
    struct att_in in;
    int rc = vcl_worker_attach(w);

    if (rc)
        return rc;
    pthread_mutex_lock(&w->lock);
    rc = -ENETDOWN;
    if (!atomic_load(&w->attached) || w->lost)
        goto out;
    generation = __atomic_load_n(&w->srv->net_generation, __ATOMIC_ACQUIRE);
    if (!e->used || e->generation != generation || !ip_addr_eq(&e->ip, ip)) {
        rc = att_send(w->att_fd, &req, sizeof(req), -1);
        if (!rc)
            rc = att_answer(w, &in, SVM_ATT_OK);
        if (rc)
            goto out;
        *e = (struct vcl_who_entry){ *ip, generation, (uint32_t)in.u.simple.value, true };
        close_fds(&in);
    }
    *answer = e->answer;
    rc = 0;
out:
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* Asks with a message of its own kind and size; the answer's type is `is`. */
static int att_ask(struct vcl_worker *w, const void *req, size_t len, uint32_t is, struct att_in *in)
{
    int rc = vcl_worker_attach(w);

    if (rc)
        return rc;
    pthread_mutex_lock(&w->lock);
    rc = !atomic_load(&w->attached) || w->lost ? -ENETDOWN : att_send(w->att_fd, req, len, -1);
    if (!rc)
        rc = att_answer(w, in, is);
    pthread_mutex_unlock(&w->lock);
    if (!rc)
        close_fds(in);
    return rc;
}

int vcl_worker_device(struct vcl_worker *w, struct svm_att_device *d)
{
    struct att_in in;
    int rc = att_ask(w, d, sizeof(*d), SVM_ATT_DEVICE_IS, &in);

    if (rc)
        return rc;
    *d = in.u.device;
    d->name[sizeof(d->name) - 1] = '\0';
    if (in.len < sizeof(*d))
        d->index = 0;
    d->type = SVM_ATT_DEVICE;
    return 0;
}

int vcl_worker_address(struct vcl_worker *w, uint32_t number, struct svm_att_address *a)
{
    struct att_in in;
    int rc;

    *a = (struct svm_att_address){ .type = SVM_ATT_ADDRESS, .number = number };
    rc = att_ask(w, a, sizeof(*a), SVM_ATT_ADDRESS_IS, &in);
    if (rc)
        return rc;
    *a = in.u.address;
    a->device.name[sizeof(a->device.name) - 1] = '\0';
    return in.len < sizeof(*a) || a->device.index == 0 || a->prefix_len > (ip_addr_is_v4(&a->ip) ? 32 : 128) ? -ENOENT : 0;
}

/* Worker lock held (fork has taken it). The child's end of the lifeline stays with the caller. */
int vcl_worker_fork_token(struct vcl_worker *w, uint64_t *token, int *lifeline)
{
    struct svm_att_simple req = { .type = SVM_ATT_FORK };
    struct att_in in;
    int sv[2], rc;

    if (sys_socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
        return -errno;
    rc = att_send(w->att_fd, &req, sizeof(req), sv[1]);
    sys_close(sv[1]);
    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (rc) {
        sys_close(sv[0]);
        return rc;
    }
    close_fds(&in);
    *token = in.u.simple.value;
    *lifeline = vcl_fd_keep(sv[0]);
    return *lifeline < 0 ? *lifeline : 0;
}

/* ---- TLS ---- */
int vcl_worker_tls_put(struct vcl_worker *w, const char *bytes, uint32_t cert_len, uint32_t key_len, uint32_t replace, uint32_t *number)
{
    struct svm_att_tls m = { .type = SVM_ATT_TLS_PAIR, .cert_len = cert_len, .key_len = key_len, .replace = replace };
    struct att_in in;
    int rc = 0;

    do {
        m.len = hs_min_u32(SVM_TLS_CHUNK, cert_len + key_len - m.offset);
        memcpy(m.bytes, bytes + m.offset, m.len);
        rc = att_send(w->att_fd, &m, sizeof(m), -1);
        m.offset += m.len;
    } while (rc == 0 && m.offset < cert_len + key_len);
    explicit_bzero(&m, sizeof(m));
    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (!rc)
        *number = (uint32_t)in.u.simple.value;
    return rc;
}

int vcl_worker_tls_config(struct vcl_worker *w, const struct svm_tls_config *cfg, uint32_t *number)
{
    struct svm_att_tls_config m = { .type = SVM_ATT_TLS_CONFIG, .config = *cfg };
    struct att_in in;
    int rc = att_send(w->att_fd, &m, sizeof(m), -1);

    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (!rc)
        *number = (uint32_t)in.u.simple.value;
    return rc;
}

int vcl_worker_tls_del(struct vcl_worker *w, uint32_t number)
{
    struct svm_att_simple m = { .type = SVM_ATT_TLS_DEL, .value = number };
    struct att_in in;
    int rc = att_send(w->att_fd, &m, sizeof(m), -1);

    return rc ? rc : att_answer(w, &in, SVM_ATT_OK);
}

/* ---- keys for TCP's peers ---- */
int vcl_worker_tcp_key(struct vcl_worker *w, const struct svm_tcp_key *k, uint32_t *number)
{
    struct svm_att_tcp_key m = { .type = SVM_ATT_TCP_KEY, .number = *number, .key = *k };
    struct att_in in;
    int rc = att_send(w->att_fd, &m, sizeof(m), -1);

    explicit_bzero(&m, sizeof(m));
    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (!rc)
        *number = (uint32_t)in.u.simple.value;
    return rc;
}

/* ---- sessions that leave the process, and those that come (server/app/app_export.c) ---- */
static int export_state(struct vcl_socket *s, struct svm_att_export *req)
{
    int rc = vcl_socket_adopt(s);

    if (rc)
        return rc;
    vcl_options_look(s);
    *req = (struct svm_att_export){ .type = SVM_ATT_EXPORT };
    req->lib_state_len = vcl_options_export(s, req->lib_state);
    return s->sctp ? vcl_sctp_export(s, req->lib_state + req->lib_state_len, &req->lib_state_len) : 0;
}

/* Worker lock held. */
static int export_to(struct vcl_socket *s, struct svm_att_export *req, const int *fds, unsigned n_fds)
{
    struct vcl_worker *w = s->w;
    struct att_in in;
    int rc;

    req->handle = s->handle;
    rc = vcl_handle_is_none(s->handle) || !atomic_load(&w->attached) || w->lost ? -ENOTCONN : 0;
    if (!rc && n_fds == 2)
        rc = vcl_rest_share(s);
    if (!rc)
        rc = att_send_fds(w->att_fd, req, sizeof(*req), fds, n_fds);
    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (!rc)
        close_fds(&in);
    return rc;
}

int vcl_export(struct vcl_socket *s, int placeholder, int lifeline)
{
    struct vcl_worker *w = s->w;
    struct svm_att_export req;
    int fds[2] = { placeholder, lifeline }, rc = export_state(s, &req);

    if (rc)
        return rc;
    pthread_mutex_lock(&w->lock);
    rc = export_to(s, &req, fds, 2);
    if (!rc) {
        vcl_claim_shared_anew(s);
        if (vcl_state(s) == VCL_LISTENING)
            vcl_accept_rest(s);
        if (s->local && s->wr_shut) { /* told when it was shared only */
            struct svm_msg m = vcl_socket_msg(s, SVM_MSG_SHUTDOWN);

            m.u.value = SHUT_WR;
            vcl_socket_post(s, &m);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void vcl_export_again(struct vcl_socket *s, int placeholder)
{
    struct svm_att_export req;

    if (export_state(s, &req) != 0)
        return;
    pthread_mutex_lock(&s->w->lock);
    (void)export_to(s, &req, &placeholder, 1); /* a server that knows nothing of it has nothing to tell */
    pthread_mutex_unlock(&s->w->lock);
}

int vcl_worker_rest_put(struct vcl_worker *w, struct svm_handle h, int fd, uint32_t *id)
{
    struct svm_att_export req = { .type = SVM_ATT_REST, .handle = h };
    struct att_in in;
    int rc = !atomic_load(&w->attached) || w->lost ? -ENETDOWN : att_send(w->att_fd, &req, sizeof(req), fd);

    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (rc)
        return rc;
    *id = (uint32_t)in.u.simple.value;
    close_fds(&in);
    return 0;
}

int vcl_worker_rest_get(struct vcl_worker *w, struct svm_handle h, int *fd, uint32_t *id)
{
    struct svm_att_export req = { .type = SVM_ATT_REST_GET, .handle = h };
    struct att_in in;
    int rc = !atomic_load(&w->attached) || w->lost ? -ENETDOWN : att_send(w->att_fd, &req, sizeof(req), -1);

    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_OK);
    if (rc)
        return rc;
    *id = (uint32_t)in.u.simple.value;
    *fd = *id && in.n_fds == 1 ? in.fds[0] : -1;
    if (*fd >= 0)
        in.n_fds = 0;
    else if (*id) /* it came without: no descriptor is free here */
        rc = -EMFILE;
    close_fds(&in);
    return rc;
}

static int identify(struct vcl_worker *w, int fd, uint32_t ctx, struct svm_att_identified *out)
{
    struct svm_att_simple req = { .type = SVM_ATT_IDENTIFY, .value = ctx };
    struct att_in in;
    int rc = !atomic_load(&w->attached) || w->lost ? -ENETDOWN : att_send(w->att_fd, &req, sizeof(req), fd);

    if (!rc)
        rc = att_answer(w, &in, SVM_ATT_IDENTIFIED);
    if (rc)
        return rc;
    *out = in.u.identified;
    if (in.len < sizeof(*out) || out->error > 0 || out->worker >= w->n_server_workers)
        out->error = -EPROTO;
    close_fds(&in);
    return out->error;
}

/* Another process's word: vcl_option_copy.c, vcl_sctp_export.c. */
static int import_state(struct vcl_socket *s, const struct svm_att_identified *id)
{
    uint32_t len = hs_min_u32(id->lib_state_len, sizeof(id->lib_state));
    int n = vcl_options_import(s, id->lib_state, len);

    if (n < 0)
        return n;
    if (id->proto == SVM_PROTO_SCTP)
        return vcl_sctp_import(s, id->lib_state + n, len - (uint32_t)n);
    return (uint32_t)n == len ? 0 : -EPROTO;
}

static int take_identified(struct vcl_socket *s, const struct svm_att_identified *id)
{
    int bad = import_state(s, id);

    s->proto = id->proto;
    s->is_v6 = id->flags & SVM_CONN_V6;
    s->is_dgram = id->proto == SVM_PROTO_UDP;
    s->is_records = id->proto == SVM_PROTO_DTLS;
    s->epoch = s->w->epoch;
    s->server_worker = (uint8_t)id->worker;
    vcl_socket_set_handle(s, id->handle);
    s->lcl = (struct ip_endpoint){ id->lcl_ip, id->lcl_port };
    s->rmt = (struct ip_endpoint){ id->rmt_ip, id->rmt_port };
    s->has_lcl = true;
    s->has_rmt = id->rmt_port.raw != 0;
    vcl_socket_set_shared(s);
    if (s->sctp)
        s->sctp->is_carried = id->state & SVM_CLAIM_CARRIED;
    s->unclaimed = id->state & (SVM_CLAIM_FIFOS | SVM_CLAIM_CONNECTS);
    vcl_socket_set_state(s, id->state & SVM_CLAIM_LISTENS    ? VCL_LISTENING
                            : id->state & SVM_CLAIM_CONNECTS ? VCL_CONNECTING
                            : s->unclaimed && !s->is_dgram   ? VCL_CONNECTED
                                                             : VCL_BOUND);
    return bad;
}

/* -EEXIST: it is held here by what is about to be closed. */
static int identify_once(struct vcl_worker *w, int fd, struct vcl_socket **out)
{
    struct svm_att_identified id;
    struct vcl_socket *s = vcl_socket_alloc(w, SVM_PROTO_TCP, false);
    int rc, bad = 0;

    if (!s)
        return -ENOMEM;
    pthread_mutex_lock(&w->lock);
    rc = vcl_socket_number(s);
    if (!rc)
        rc = identify(w, fd, s->ctx, &id);
    if (!rc) {
        bad = take_identified(s, &id);
        *out = s;
    } else {
        vcl_socket_unnumber(s);
    }
    if (rc == -EEXIST && (*out = vcl_socket_by_handle(w, id.handle)))
        rc = 1;
    pthread_mutex_unlock(&w->lock);
    if (rc)
        vcl_socket_free(s);
    else if (bad)
        vcl_socket_put(s); /* the server counts this process as a holder */
    return rc ? rc : bad;
}

int vcl_identify(int fd, struct vcl_socket **out)
{
    enum { TRIES = 200, PAUSE_NS = 1000000 };
    struct vcl_worker *w = vcl_worker_current();
    int rc = w ? vcl_worker_attach(w) : -ENOMEM;

    if (rc)
        return rc;
    rc = identify_once(w, fd, out);
    for (int i = 0; rc == -EEXIST && i < TRIES; i++) {
        sys_ppoll(NULL, 0, &(struct timespec){ 0, PAUSE_NS }, NULL);
        rc = identify_once(w, fd, out);
    }
    return rc;
}
