/* raw_client.c - attaches, maps, and keeps what it was given; see raw_client.h */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "tests/hostile/raw_client.h"

int raw_connect(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof un.sun_path) {
        close(fd);
        return -ENAMETOOLONG;
    }
    strcpy(un.sun_path, path);
    if (connect(fd, (struct sockaddr *)&un, sizeof un) < 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

int raw_send(int sock, const void *buf, size_t len, const int *fds, unsigned n_fds)
{
    char control[CMSG_SPACE(sizeof(int) * SVM_ATT_MAX_FDS)];
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n_fds > 0) {
        mh.msg_control = control;
        mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        memset(control, 0, sizeof control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    /* Never waits: a server that does not read must not stop us from going on. */
    return sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* One message; bytes received, 0 at the end, -EAGAIN. */
static int raw_recv(int sock, void *buf, size_t len, int fds[SVM_ATT_MAX_FDS], unsigned *n_fds, int flags)
{
    char control[CMSG_SPACE(sizeof(int) * SVM_ATT_MAX_FDS)];
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | flags);

    *n_fds = 0;
    if (n < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), *n_fds * sizeof(int));
    }
    return (int)n;
}

static int raw_map(struct raw_map *m, int fd, bool writable)
{
    struct stat st;

    m->fd = fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    m->size = (uint64_t)st.st_size;
    m->base = mmap(NULL, m->size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (m->base == MAP_FAILED) {
        m->base = NULL;
        return -errno;
    }
    if (m->size >= sizeof(struct svm_seg_hdr))
        m->seg_id = ((const struct svm_seg_hdr *)m->base)->seg_id;
    return 0;
}

static void raw_unmap(struct raw_map *m)
{
    if (m->base)
        munmap(m->base, m->size);
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct raw_map){ .fd = -1 };
}

static void raw_init(struct raw_client *rc)
{
    memset(rc, 0, sizeof *rc);
    rc->sock = rc->doorbell_rd = rc->srv.fd = rc->p.fd = -1;
    for (unsigned i = 0; i < SVM_MAX_SERVER_WORKERS; i++)
        rc->doorbell_wr[i] = -1;
    for (unsigned i = 0; i < RAW_MAX_BANKS; i++)
        rc->s[i].fd = rc->c[i].fd = -1;
    for (unsigned i = 0; i < RAW_MAX_PAIRS; i++)
        rc->pair[i].fd = rc->peer_doorbell[i] = -1;
}

int raw_attach(const char *path, const struct svm_att_hello *hello, struct raw_client *rc)
{
    int sock = raw_connect(path);

    return sock < 0 ? sock : raw_attach_on(sock, hello, rc);
}

int raw_attach_on(int sock, const struct svm_att_hello *hello, struct raw_client *rc)
{
    int fds[SVM_ATT_MAX_FDS], err = -EPROTO;
    unsigned n_fds = 0;

    raw_init(rc);
    rc->sock = sock;
    if ((err = raw_send(rc->sock, hello, sizeof *hello, NULL, 0)) < 0)
        goto fail;
    struct pollfd pfd = { .fd = rc->sock, .events = POLLIN };
    err = -ETIMEDOUT;
    if (poll(&pfd, 1, 60000) != 1)
        goto fail;
    int n = raw_recv(rc->sock, &rc->welcome, sizeof rc->welcome, fds, &n_fds, 0);
    err = n <= 0 ? -EPIPE : rc->welcome.type == SVM_ATT_ERROR ? ((struct svm_att_error *)&rc->welcome)->error : -EPROTO;
    rc->n_workers = rc->welcome.n_workers;
    if (rc->welcome.type != SVM_ATT_WELCOME || rc->n_workers > SVM_MAX_SERVER_WORKERS || n_fds != 5 + rc->n_workers)
        goto fail_fds;
    rc->doorbell_rd = fds[2];
    for (unsigned i = 0; i < rc->n_workers; i++)
        rc->doorbell_wr[i] = fds[5 + i];
    int e[4] = { raw_map(&rc->srv, fds[0], false), raw_map(&rc->p, fds[1], true), raw_map(&rc->s[0], fds[3], false),
                 raw_map(&rc->c[0], fds[4], true) };
    rc->n_banks = 1;
    for (int i = 0; i < 4; i++) {
        if ((err = e[i]) < 0)
            goto fail;
    }
    for (unsigned i = 0; i < rc->n_workers; i++) {
        err = svm_msgq_prod_init(&rc->to_server[i], &rc->welcome.q[i].to_server, rc->c[0].base, rc->c[0].size,
                                 rc->s[0].base, rc->s[0].size);
        if (err == 0)
            err = svm_msgq_cons_init(&rc->to_client[i], &rc->welcome.q[i].to_client, rc->s[0].base, rc->s[0].size,
                                     rc->c[0].base, rc->c[0].size);
        if (err < 0)
            goto fail;
    }
    return 0;

fail_fds:
    for (unsigned i = 0; i < n_fds; i++)
        close(fds[i]);
fail:
    raw_detach(rc);
    return err;
}

void raw_detach(struct raw_client *rc)
{
    if (rc->sock >= 0)
        close(rc->sock);
    if (rc->doorbell_rd >= 0)
        close(rc->doorbell_rd);
    for (unsigned i = 0; i < SVM_MAX_SERVER_WORKERS; i++) {
        if (rc->doorbell_wr[i] >= 0)
            close(rc->doorbell_wr[i]);
    }
    raw_unmap(&rc->srv);
    raw_unmap(&rc->p);
    for (unsigned i = 0; i < RAW_MAX_BANKS; i++) {
        raw_unmap(&rc->s[i]);
        raw_unmap(&rc->c[i]);
    }
    for (unsigned i = 0; i < RAW_MAX_PAIRS; i++) {
        raw_unmap(&rc->pair[i]);
        if (rc->peer_doorbell[i] >= 0)
            close(rc->peer_doorbell[i]);
    }
    raw_init(rc);
}

/* True: the descriptors are kept. */
static bool raw_take_segment(struct raw_client *rc, const struct svm_att_segment *seg, const int *fds, unsigned n_fds)
{
    if (seg->kind == SVM_SEG_BANK && n_fds == 2 && rc->n_banks < RAW_MAX_BANKS) {
        raw_map(&rc->s[rc->n_banks], fds[0], false);
        raw_map(&rc->c[rc->n_banks++], fds[1], true);
        return true;
    }
    if (seg->kind == SVM_SEG_PAIR && n_fds == 3 && rc->n_pairs < RAW_MAX_PAIRS) {
        raw_map(&rc->pair[rc->n_pairs], fds[0], true);
        close(fds[1]);
        rc->peer_doorbell[rc->n_pairs++] = fds[2];
        return true;
    }
    return false;
}

int raw_poll(struct raw_client *rc)
{
    union {
        uint32_t type;
        struct svm_att_segment seg;
        struct svm_att_simple simple;
        uint8_t b[2 * SVM_ATT_MAX_MSG];
    } m;
    int fds[SVM_ATT_MAX_FDS];
    unsigned n_fds;

    for (;;) {
        int n = raw_recv(rc->sock, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0)
            return -EPIPE;
        if (n == (int)sizeof m.simple && m.type == SVM_ATT_OK)
            rc->last_ok = m.simple.value;
        if (n >= (int)sizeof m.seg && m.type == SVM_ATT_SEGMENT && raw_take_segment(rc, &m.seg, fds, n_fds))
            continue;
        for (unsigned i = 0; i < n_fds; i++)
            close(fds[i]);
    }
}

void raw_ring(struct raw_client *rc, unsigned w, bool always)
{
    const struct svm_server_page *page = (const void *)rc->srv.base;

    if (rc->doorbell_wr[w] < 0)
        return;
    if (svm_sleep_must_ring(&page->sleep[w], &rc->last_rung[w]) || always) {
        /* A full pipe means that the server has enough to wake up for. */
        if (write(rc->doorbell_wr[w], "", 1) < 0)
            return;
    }
}

static int is_writable(const struct raw_map *m, const char *what)
{
    void *p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);

    if (p != MAP_FAILED) {
        munmap(p, m->size);
        fprintf(stderr, "hostile: the server lets a client map %s writable\n", what);
        return 1;
    }
    if (mprotect(m->base, m->size, PROT_READ | PROT_WRITE) == 0) {
        fprintf(stderr, "hostile: the server lets a client make %s writable\n", what);
        return 1;
    }
    if (pwrite(m->fd, "x", 1, 0) >= 0) {
        fprintf(stderr, "hostile: the server lets a client write() to %s\n", what);
        return 1;
    }
    return 0;
}

static int is_resizable(const struct raw_map *m, const char *what)
{
    if (ftruncate(m->fd, 0) == 0 || ftruncate(m->fd, (off_t)m->size * 2) == 0 ||
        fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)m->size) == 0) {
        fprintf(stderr, "hostile: the server lets a client change the size or the pages of %s\n", what);
        return 1;
    }
    return 0;
}

int raw_check_seals(const struct raw_client *rc)
{
    const struct { const struct raw_map *m; const char *what; bool read_only; } segs[] = {
        { &rc->srv, "SRV", true }, { &rc->s[0], "S", true }, { &rc->p, "P", false }, { &rc->c[0], "C", false },
    };
    int bad = 0;

    for (unsigned i = 0; i < HS_ARRAY_LEN(segs); i++) {
        if (segs[i].read_only)
            bad += is_writable(segs[i].m, segs[i].what) + is_resizable(segs[i].m, segs[i].what);
        else if (ftruncate(segs[i].m->fd, 0) == 0 || ftruncate(segs[i].m->fd, (off_t)segs[i].m->size * 2) == 0) {
            fprintf(stderr, "hostile: the server lets a client change the size of %s\n", segs[i].what);
            bad++;
        }
    }
    return bad;
}

/* ---- talking ---- */

enum { ANSWER_MS = 60000 };

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void nap(void) { nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL); }

int raw_post(struct raw_client *rc, const struct svm_msg *m)
{
    int err = svm_msgq_post(&rc->to_server[0], m);

    raw_ring(rc, 0, true);
    return err;
}

int raw_await(struct raw_client *rc, uint8_t type, struct svm_msg *out)
{
    for (int64_t until = now_ms() + ANSWER_MS; now_ms() < until; nap()) {
        for (unsigned w = 0; w < rc->n_workers; w++) {
            while (svm_msgq_take(&rc->to_client[w], out, 1) == 1) {
                if (!type || out->type == type)
                    return raw_poll(rc) < 0 ? -EPIPE : 0; /* a segment that it names */
            }
        }
        if (raw_poll(rc) < 0)
            return -EPIPE;
    }
    return -ETIMEDOUT;
}

int raw_fork(struct raw_client *rc, struct svm_att_hello *hello, struct raw_client *child)
{
    struct svm_att_simple m = { .type = SVM_ATT_FORK };
    int sv[2], err;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
        return -errno;
    rc->last_ok = 0;
    err = raw_send(rc->sock, &m, sizeof(m), &sv[1], 1);
    close(sv[1]);
    for (int64_t until = now_ms() + ANSWER_MS; err >= 0 && !rc->last_ok && now_ms() < until; nap())
        err = raw_poll(rc);
    if (!rc->last_ok) {
        close(sv[0]);
        return err < 0 ? err : -ETIMEDOUT;
    }
    hello->fork_token = rc->last_ok;
    err = raw_attach_on(sv[0], hello, child);
    hello->fork_token = 0;
    return err;
}
