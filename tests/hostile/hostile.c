/* hostile.c - a client that writes random values over every byte it can write, for a number of rounds
 *
 * Each life: attach (or send nonsense instead of it), make real sessions so that the server's code has something to trip
 * over, then mischief, one act a round, until the server drops us; then the next life. A seed replays the same acts (their
 * timing against the server's turns is not replayed).
 *
 * Exit 0: all rounds done. 1: the server could not be reached any more, or allows what its seals must forbid. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "tests/hostile/raw_client.h"

enum { MAX_HANDLES = 64, ACTS_PER_LIFE = 400 };

struct hostile {
    uint64_t rng[2];
    const char *path;
    struct ip_endpoint target[2];     /* an honest listener of the stack; a peer behind the port */
    unsigned n_targets;
    struct raw_client rc, kid;        /* kid: a "forked child" that holds the same sessions */
    bool has_kid;
    int pledged[2];                   /* a socket pair that stands for an exported session */
    struct { struct svm_handle h; uint32_t slot; uint32_t seg_id; uint16_t bank_worker; } held[MAX_HANDLES];
    unsigned n_held;
    struct svm_ring_desc last_ring;
    long rounds, lives, drops, refusals, sessions, claims, rests, odd_rests;
};

static uint64_t rnd(struct hostile *h)   /* xorshift128+ */
{
    uint64_t a = h->rng[0], b = h->rng[1];
    h->rng[0] = b;
    a ^= a << 23;
    h->rng[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return h->rng[1] + b;
}
static uint64_t below(struct hostile *h, uint64_t n) { return n ? rnd(h) % n : 0; }
static bool one_in(struct hostile *h, unsigned n) { return below(h, n) == 0; }

/* Values near the edges find more than evenly spread ones. */
static uint32_t nasty(struct hostile *h, uint32_t now)
{
    static const uint32_t edge[] = { 0, 1, 63, 64, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0xfffffffe, 0x10000, 1u << 28 };
    switch (below(h, 6)) {
    case 0: return edge[below(h, HS_ARRAY_LEN(edge))];
    case 1: return now + 1 + (uint32_t)below(h, 64);
    case 2: return now - 1 - (uint32_t)below(h, 64);
    case 3: return now ^ (1u << below(h, 32));
    case 4: return now + (1u << below(h, 32));
    default: return (uint32_t)rnd(h);
    }
}

static void fill(struct hostile *h, void *buf, size_t len)
{
    uint8_t *b = buf;
    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)rnd(h);
}

/* The server must be able to serve others meanwhile even on a machine with few cores. */
static void breathe(void)
{
    struct timespec ts = { .tv_nsec = 20000 };
    nanosleep(&ts, NULL);
}

/* ---- attach messages ---- */

static void good_hello(struct hostile *h, struct svm_att_hello *m)
{
    memset(m, 0, sizeof *m);
    m->type = SVM_ATT_HELLO;
    m->abi_version = SVM_ABI_VERSION;
    m->flags = SVM_HELLO_SCOPE_LOCAL | (one_in(h, 2) ? SVM_HELLO_SCOPE_GLOBAL : 0);
    m->rx_fifo_size = m->tx_fifo_size = 65536u << below(h, 4);
    m->evt_queue_len = 64u << below(h, 5);
    m->segment_mb = 4;
    strcpy(m->app_name, "hostile");
}

/* Any message with random content; sometimes with descriptors that nobody asked for. */
static int send_nonsense(struct hostile *h, int sock)
{
    union {
        uint32_t type;
        struct svm_att_hello hello;
        uint8_t b[2 * SVM_ATT_MAX_MSG];
    } m;
    size_t len = 1 + below(h, one_in(h, 8) ? sizeof m : 300);
    int fds[SVM_ATT_MAX_FDS], p[2] = { -1, -1 };
    unsigned n_fds = 0;

    fill(h, &m, sizeof m);
    if (!one_in(h, 4)) {
        good_hello(h, &m.hello);
        ((uint8_t *)&m)[below(h, sizeof m.hello)] ^= (uint8_t)rnd(h);
        uint32_t *field = (uint32_t *)&m + below(h, 14);
        *field = nasty(h, *field);
        len = one_in(h, 4) ? below(h, sizeof m.hello + 1) : sizeof m.hello;
    }
    if (!one_in(h, 3))
        m.type = (uint32_t)(one_in(h, 3) ? below(h, 72) : 1 + below(h, 5));
    if (one_in(h, 3) && pipe2(p, O_CLOEXEC) == 0) {
        n_fds = 1 + (unsigned)below(h, one_in(h, 4) ? SVM_ATT_MAX_FDS : 3);
        for (unsigned i = 0; i < n_fds; i++)
            fds[i] = p[i & 1];
    }
    if (one_in(h, 16))
        len = 0;
    int rc = raw_send(sock, &m, len, fds, n_fds);
    if (p[0] >= 0) {
        close(p[0]);
        close(p[1]);
    }
    return rc;
}

static void life_of_nonsense(struct hostile *h)
{
    int sock = raw_connect(h->path);
    if (sock < 0)
        return;
    for (unsigned n = 1 + (unsigned)below(h, 6); n > 0; n--) {
        h->rounds++;
        if (send_nonsense(h, sock) < 0)
            break;
        if (one_in(h, 2))
            breathe();
    }
    if (one_in(h, 2)) {
        struct pollfd pfd = { .fd = sock, .events = POLLIN };
        uint8_t buf[256];
        if (poll(&pfd, 1, 2) == 1 && recv(sock, buf, sizeof buf, MSG_DONTWAIT) > 0)
            h->refusals++;
    }
    close(sock);
}

/* ---- queue messages ---- */

static void hold(struct hostile *h, const struct svm_msg *m, unsigned worker)
{
    unsigned i = h->n_held < MAX_HANDLES ? h->n_held++ : (unsigned)below(h, MAX_HANDLES);
    h->held[i].h = m->handle;
    h->held[i].slot = m->u.conn.slot.slot;
    h->held[i].seg_id = m->u.conn.slot.seg_id;
    h->held[i].bank_worker = (uint16_t)worker;
    h->sessions++;
}

static void take_answers_of(struct hostile *h, struct raw_client *rc)
{
    struct svm_msg m[16];
    for (unsigned w = 0; w < rc->n_workers; w++) {
        int n = svm_msgq_take(&rc->to_client[w], m, 16);
        for (int i = 0; i < n; i++) {
            if ((m[i].type == SVM_MSG_CONNECTED || m[i].type == SVM_MSG_BOUND || m[i].type == SVM_MSG_ACCEPT ||
                 m[i].type == SVM_MSG_CLAIMED) && m[i].u.conn.error == 0)
                hold(h, &m[i], w);
            h->claims += m[i].type == SVM_MSG_CLAIMED && m[i].u.conn.error == 0;
        }
    }
}

static void take_answers(struct hostile *h)
{
    take_answers_of(h, &h->rc);
    if (h->has_kid)
        take_answers_of(h, &h->kid);
}

static void post(struct hostile *h, unsigned w, const struct svm_msg *m)
{
    struct raw_client *rc = h->has_kid && one_in(h, 3) ? &h->kid : &h->rc;

    if (w >= rc->n_workers)
        return;
    svm_msgq_post(&rc->to_server[w], m);
    raw_ring(rc, w, false);
}

static struct svm_handle some_handle(struct hostile *h)
{
    struct svm_handle r = { (uint32_t)below(h, 100), (uint32_t)below(h, 4) };
    if (h->n_held > 0 && !one_in(h, 4))
        r = h->held[below(h, h->n_held)].h;
    if (one_in(h, 8))
        r.index = nasty(h, r.index);
    if (one_in(h, 8))
        r.gen = nasty(h, r.gen);
    return r;
}

static void post_connect(struct hostile *h)
{
    struct svm_msg m = { .type = SVM_MSG_CONNECT, .proto = one_in(h, 4) ? SVM_PROTO_UDP : SVM_PROTO_TCP, .ctx = (uint32_t)rnd(h) };
    const struct ip_endpoint *t = &h->target[below(h, h->n_targets)];
    m.flags = (one_in(h, 2) ? SVM_CONN_SCOPE_LOCAL : 0) | SVM_CONN_SCOPE_GLOBAL;
    m.u.conn.lcl_ip = ip_addr_any(ip_addr_is_v4(&t->ip));
    m.u.conn.rmt_ip = t->ip;
    m.u.conn.rmt_port = t->port;
    post(h, (unsigned)below(h, h->rc.n_workers), &m);
}

static void post_listen(struct hostile *h)
{
    struct svm_msg m = { .type = SVM_MSG_BIND, .proto = one_in(h, 3) ? SVM_PROTO_UDP : SVM_PROTO_TCP,
                         .flags = SVM_CONN_SCOPE_LOCAL | SVM_CONN_SCOPE_GLOBAL, .ctx = (uint32_t)rnd(h) };
    m.u.conn.lcl_ip = one_in(h, 2) ? ip_addr_any(true) : h->target[0].ip;
    m.u.conn.lcl_port = be16_of((uint16_t)(20000 + below(h, 500)));
    post(h, 0, &m);
    if (h->n_held > 0) {
        struct svm_msg l = { .type = SVM_MSG_LISTEN, .ctx = m.ctx, .handle = some_handle(h), .u.value = (int64_t)below(h, 1000) };
        post(h, 0, &l);
        l.type = SVM_MSG_ARM;
        l.u.value = (int64_t)below(h, 4);
        post(h, 0, &l);
    }
}

static void post_random(struct hostile *h)
{
    struct svm_msg m;
    fill(h, &m, sizeof m);
    m.type = (uint8_t)(one_in(h, 8) ? rnd(h) : one_in(h, 3) ? SVM_MSG_DATA + below(h, 3) : 1 + below(h, SVM_MSG_UNLINK));
    if (!one_in(h, 4)) {
        m.handle = some_handle(h);
        m.flags = (uint8_t)below(h, 128);
        m.proto = (uint8_t)below(h, SVM_PROTO_MAX + 1);
        m.attr = (uint8_t)below(h, 22);
    }
    if (one_in(h, 2))
        m.u.value = (int32_t)nasty(h, 0);
    if (one_in(h, 3)) {
        m.u.conn.rmt_ip = h->target[0].ip;
        m.u.conn.rmt_port = h->target[0].port;
    }
    post(h, (unsigned)below(h, h->rc.n_workers), &m);
}

/* ---- sessions of several clients ---- */

static void kid_end(struct hostile *h)
{
    if (h->has_kid)
        raw_detach(&h->kid);
    h->has_kid = false;
}

static void kid_begin(struct hostile *h)
{
    struct svm_att_simple m;
    struct svm_att_hello hello;
    int sv[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
        return;
    fill(h, &m, sizeof m);
    m.type = SVM_ATT_FORK;
    h->rc.last_ok = 0;
    raw_send(h->rc.sock, &m, sizeof m, &sv[1], 1);
    close(sv[1]);
    for (int i = 0; i < 20 && !h->rc.last_ok && raw_poll(&h->rc) == 0; i++)
        breathe();
    good_hello(h, &hello);
    hello.fork_token = one_in(h, 8) ? rnd(h) : h->rc.last_ok;
    h->has_kid = h->rc.last_ok && raw_attach_on(sv[0], &hello, &h->kid) == 0;
    if (!h->rc.last_ok)
        close(sv[0]);
}

static void post_claim(struct hostile *h)
{
    struct svm_msg m = { .type = one_in(h, 3) ? SVM_MSG_UNLINK : one_in(h, 12) ? SVM_MSG_CLOSE : SVM_MSG_CLAIM, .ctx = (uint32_t)rnd(h),
                         .handle = some_handle(h), .u.value = -1 };
    if (m.type == SVM_MSG_UNLINK) {
        unsigned i = (unsigned)below(h, h->n_held ? h->n_held : 1);
        m.u.conn.slot = (struct svm_msg_slot){ one_in(h, 8) ? nasty(h, 1) : h->held[i].seg_id, one_in(h, 8) ? nasty(h, 0) : h->held[i].slot };
    }
    post(h, (unsigned)below(h, h->rc.n_workers), &m);
}

/* Lifelines that end, that never do, and that are nothing of the kind. */
static void export_some(struct hostile *h)
{
    struct svm_att_export m = { .type = SVM_ATT_EXPORT, .handle = some_handle(h) };
    int fds[2], odd = one_in(h, 2) ? eventfd(0, EFD_CLOEXEC) : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (int i = 0; i < 2; i++) {
        if (h->pledged[i] >= 0)
            close(h->pledged[i]);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, h->pledged) != 0)
        h->pledged[0] = h->pledged[1] = -1;
    fds[0] = one_in(h, 8) || h->pledged[0] < 0 ? odd : h->pledged[0];
    fds[1] = one_in(h, 4) || h->pledged[1] < 0 ? odd : h->pledged[1];
    m.lib_state_len = one_in(h, 2) ? (uint32_t)below(h, sizeof m.lib_state + 2) : nasty(h, sizeof m.lib_state);
    fill(h, m.lib_state, sizeof m.lib_state);
    if (odd >= 0)
        raw_send(h->rc.sock, &m, sizeof m, fds, one_in(h, 8) ? 1 : 2);
    close(odd);
}

static void identify_some(struct hostile *h)
{
    struct svm_att_simple m = { .type = SVM_ATT_IDENTIFY, .value = rnd(h) };

    if (h->pledged[0] >= 0)
        raw_send(h->has_kid && one_in(h, 2) ? h->kid.sock : h->rc.sock, &m, sizeof m, h->pledged, one_in(h, 8) ? 2 : 1);
}

/* "Bytes of a former peer": memory that is as it must be, can still shrink, is too large or is none; what it says of itself is changed
 * after the server has looked. */
static void rest_some(struct hostile *h)
{
    struct svm_att_export m = { .type = one_in(h, 3) ? SVM_ATT_REST_GET : SVM_ATT_REST, .handle = some_handle(h) };
    bool puts = (m.type == SVM_ATT_REST) != one_in(h, 8);
    int fds[2] = { one_in(h, 8) ? eventfd(0, EFD_CLOEXEC) : memfd_create("rest", MFD_CLOEXEC | MFD_ALLOW_SEALING), -1 };
    struct svm_rest head = { .head = nasty(h, 0), .len = nasty(h, 4096) };
    off_t size = one_in(h, 8) ? (off_t)SVM_REST_MAX + (off_t)below(h, 2) : (off_t)below(h, 65536);

    if (fds[0] < 0 || (fds[1] = dup(fds[0])) < 0)
        goto out;
    /* None of these has to succeed: what comes of it is what the server gets. */
    if (ftruncate(fds[0], size) != 0 || pwrite(fds[0], &head, sizeof head, 0) < 0 ||
        fcntl(fds[0], F_ADD_SEALS, one_in(h, 4) ? (int)below(h, 8) : F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        h->odd_rests++;
    fill(h, m.lib_state, sizeof m.lib_state);
    raw_send(h->has_kid && one_in(h, 3) ? h->kid.sock : h->rc.sock, &m, sizeof m, fds, puts ? 1 + one_in(h, 16) : 0);
    head = (struct svm_rest){ .head = nasty(h, 0), .len = nasty(h, 0) };
    if (pwrite(fds[1], &head, sizeof head, 0) < 0)
        h->odd_rests++;
    if (one_in(h, 2))
        post(h, (unsigned)below(h, h->rc.n_workers),
             &(struct svm_msg){ .type = SVM_MSG_REST_READ, .handle = some_handle(h), .u.value = (int64_t)(one_in(h, 2) ? below(h, 8) : rnd(h)) });
out:
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
    h->rests++;
}

static void share(struct hostile *h)
{
    switch (below(h, 9)) {
    case 0:
        if (h->has_kid && one_in(h, 2))
            kid_end(h);
        else if (!h->has_kid)
            kid_begin(h);
        break;
    case 1: export_some(h); break;
    case 2: identify_some(h); break;
    case 3: rest_some(h); break;
    default: post_claim(h);
    }
    if (h->has_kid && raw_poll(&h->kid) < 0)
        kid_end(h);
}

/* ---- shared memory ---- */

static void scribble(struct hostile *h, const struct raw_map *m, uint64_t from, uint64_t len)
{
    if (m->base == NULL || from >= m->size || len == 0)
        return;
    if (len > m->size - from)
        len = m->size - from;
    if (one_in(h, 2) && len >= 4) {
        uint32_t *p = (uint32_t *)(m->base + from + below(h, len / 4) * 4);
        __atomic_store_n(p, nasty(h, __atomic_load_n(p, __ATOMIC_RELAXED)), __ATOMIC_RELEASE);
        return;
    }
    uint64_t at = from + below(h, len), n = 1 + below(h, 128);
    fill(h, m->base + at, n < m->size - at ? n : m->size - at);
}

/* The lines of one session's slot: where the server reads what we produce and consume. */
static void scribble_slot(struct hostile *h)
{
    struct raw_client *rc = &h->rc;
    if (h->n_held == 0)
        return;
    unsigned i = (unsigned)below(h, h->n_held);
    for (unsigned b = 0; b < rc->n_banks; b++) {
        if (rc->c[b].base == NULL || rc->c[b].seg_id != h->held[i].seg_id)
            continue;
        const struct svm_seg_hdr *sh = (const void *)rc->s[b].base;  /* the server's own copy of the geometry */
        uint64_t off = sh->slots_off + (uint64_t)h->held[i].slot * sizeof(struct svm_slot_cli);
        if (off + sizeof(struct svm_slot_cli) > rc->c[b].size)
            return;
        struct svm_slot_cli *slot = (void *)(rc->c[b].base + off);
        switch (below(h, 4)) {
        case 0:   /* a ring that is right, with bytes in it, so that the server sends */
            slot->tx.ring[slot->tx.gen & 1] = (struct svm_ring_desc){ .start = 0, .region = (uint16_t)b, .log2 = 12,
                                                                      .offset64 = (uint32_t)(sh->ring_off[0] / 64) };
            __atomic_store_n(&slot->tx.tail, slot->tx.tail + (uint32_t)below(h, 2000), __ATOMIC_RELEASE);
            break;
        case 1:   /* almost right */
            slot->tx.ring[below(h, 2)] = (struct svm_ring_desc){ .start = nasty(h, 0), .region = (uint16_t)below(h, 3),
                .log2 = (uint8_t)below(h, 40), .offset64 = nasty(h, (uint32_t)(rc->c[b].size / 64)) };
            __atomic_store_n(&slot->tx.gen, slot->tx.gen + (uint32_t)below(h, 3), __ATOMIC_RELEASE);
            break;
        default:
            scribble(h, &rc->c[b], off, sizeof *slot);
        }
        struct svm_msg m = { .type = one_in(h, 2) ? SVM_MSG_DATA : SVM_MSG_SPACE, .handle = h->held[i].h };
        m.u.value = slot->tx.evt_seq;
        post(h, h->held[i].bank_worker, &m);
        return;
    }
    if (rc->n_pairs > 0) {
        const struct raw_map *pm = &rc->pair[below(h, rc->n_pairs)];
        scribble(h, pm, 0, 64 * 1024);
    }
}

static void scribble_queue(struct hostile *h)
{
    const struct svm_att_welcome *w = &h->rc.welcome;
    unsigned i = (unsigned)below(h, h->rc.n_workers);
    const struct raw_map *c = &h->rc.c[0];
    switch (below(h, 3)) {
    case 0: scribble(h, c, w->q[i].to_server.prod_off, 4); break;
    case 1: scribble(h, c, w->q[i].to_client.cons_off, 4); break;
    default: scribble(h, c, w->q[i].to_server.entries_off, (uint64_t)SVM_MSG_SIZE << w->q[i].to_server.log2);
    }
}

static void play_doorbells(struct hostile *h)
{
    struct raw_client *rc = &h->rc;
    unsigned w = (unsigned)below(h, rc->n_workers);
    static uint8_t buf[4096];
    ssize_t n = 0;

    switch (below(h, 8)) {
    case 0:
        if (rc->doorbell_wr[w] >= 0)
            close(rc->doorbell_wr[w]);
        rc->doorbell_wr[w] = -1;
        break;
    case 1:
        if (rc->doorbell_rd >= 0)
            close(rc->doorbell_rd);
        rc->doorbell_rd = -1;
        break;
    case 2:   /* as full as it gets, without waiting */
        if (rc->doorbell_wr[w] >= 0 && fcntl(rc->doorbell_wr[w], F_SETFL, O_NONBLOCK) == 0)
            while ((n = write(rc->doorbell_wr[w], buf, sizeof buf)) > 0)
                ;
        break;
    case 3:
        if (rc->n_pairs > 0 && rc->peer_doorbell[rc->n_pairs - 1] >= 0 &&
            fcntl(rc->peer_doorbell[rc->n_pairs - 1], F_SETFL, O_NONBLOCK) == 0)
            n = write(rc->peer_doorbell[rc->n_pairs - 1], buf, sizeof buf);
        break;
    default:
        raw_ring(rc, w, true);
    }
    (void)n;
}

static void act(struct hostile *h)
{
    struct raw_client *rc = &h->rc;
    h->rounds++;
    switch (below(h, 20)) {
    case 0: case 1: post_random(h); break;
    case 2: post_connect(h); break;
    case 3: post_listen(h); break;
    case 4: case 5: case 6: scribble_slot(h); break;
    case 7:   /* a few of them end this life; so not too often */
        if (one_in(h, 4))
            scribble_queue(h);
        break;
    case 8: play_doorbells(h); break;
    case 9: scribble(h, &rc->p, 0, rc->p.size); break;
    case 10:
        if (one_in(h, 8))
            send_nonsense(h, rc->sock);
        break;
    case 11: scribble(h, &rc->c[below(h, rc->n_banks)], 0, UINT64_MAX); break;
    case 12:
        if (rc->n_pairs > 0)
            scribble(h, &rc->pair[below(h, rc->n_pairs)], 0, UINT64_MAX);
        break;
    case 13: {
        struct svm_att_simple m = { .type = SVM_ATT_BANK, .value = nasty(h, 16) };
        if (one_in(h, 16))
            raw_send(rc->sock, &m, sizeof m, NULL, 0);
        break;
    }
    case 14: scribble(h, &rc->c[0], 0, 65536); break;
    case 15: case 16: case 17: case 18: share(h); break;
    default: take_answers(h);
    }
}

/* Two real sessions first, then mischief until the server drops us. */
static int life_inside(struct hostile *h)
{
    struct svm_att_hello hello;
    good_hello(h, &hello);
    int rc = raw_attach(h->path, &hello, &h->rc);
    if (rc < 0)
        return rc;
    if (h->lives == 0 && raw_check_seals(&h->rc) > 0)
        exit(1);
    h->n_held = 0;
    for (int i = 0; i < 4; i++)
        post_connect(h);
    post_listen(h);
    for (int i = 0; i < 20 && h->n_held == 0; i++) {
        breathe();
        take_answers(h);
        raw_poll(&h->rc);
    }
    for (unsigned i = (unsigned)below(h, ACTS_PER_LIFE); i > 0; i--) {
        act(h);
        if (one_in(h, 4))
            breathe();
        if (raw_poll(&h->rc) < 0) {
            h->drops++;
            break;
        }
    }
    raw_detach(&h->rc);
    for (unsigned i = h->has_kid ? (unsigned)below(h, 8) : 0; i > 0; i--) {
        take_answers_of(h, &h->kid);
        post_claim(h);
        breathe();
    }
    kid_end(h);
    return 0;
}

static int run(struct hostile *h, long rounds)
{
    time_t last_good = time(NULL);
    while (h->rounds < rounds) {
        if (one_in(h, 8)) {
            life_of_nonsense(h);
            h->lives++;
            continue;
        }
        int rc = life_inside(h);
        if (rc == 0) {
            h->lives++;
            last_good = time(NULL);
        } else if (time(NULL) - last_good > 15) {
            fprintf(stderr, "hostile: after %ld rounds the server lets nobody in any more: %s\n", h->rounds, strerror(-rc));
            return 1;
        } else {
            breathe();
        }
    }
    printf("rounds %ld, lives %ld, dropped %ld, refused %ld, sessions %ld, claims %ld, rests %ld (%ld odd)\n", h->rounds, h->lives, h->drops,
           h->refusals, h->sessions, h->claims, h->rests, h->odd_rests);
    return 0;
}

static void usage(void)
{
    fputs("usage: hostile -s APP-SOCKET [-n ROUNDS] [-S SEED] ADDRESS PORT [ADDRESS PORT]\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    struct hostile h = { .pledged = { -1, -1 } };
    long rounds = 3000;
    unsigned long long seed = (unsigned long long)time(NULL) ^ ((unsigned long long)getpid() << 20);
    int c;

    signal(SIGPIPE, SIG_IGN); /* a doorbell of which the server has let go when it dropped us */
    while ((c = getopt(argc, argv, "s:n:S:")) != -1) {
        switch (c) {
        case 's': h.path = optarg; break;
        case 'n': rounds = atol(optarg); break;
        case 'S': seed = strtoull(optarg, NULL, 0); break;
        default: usage();
        }
    }
    for (; optind + 1 < argc && h.n_targets < 2; optind += 2, h.n_targets++) {
        if (ip_addr_parse(argv[optind], &h.target[h.n_targets].ip) < 0)
            usage();
        h.target[h.n_targets].port = be16_of((uint16_t)atoi(argv[optind + 1]));
    }
    if (h.path == NULL || h.n_targets == 0 || optind != argc)
        usage();
    h.rng[0] = seed * 0x9e3779b97f4a7c15u + 1;
    h.rng[1] = seed ^ 0xbf58476d1ce4e5b9u;
    for (int i = 0; i < 16; i++)
        rnd(&h);
    printf("seed %llu\n", seed);
    fflush(stdout);
    return run(&h, rounds);
}
