/* capture.c - start and stop of looking at packets, and the packets of a worker's turn */
#include "server/capture/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/capture/capture_internal.h"

enum { ID_WORKER_BITS = 4 };  /* a record's number on a packet: sequence, worker */
enum { MACS_LEN = 12 };       /* of a frame's two addresses, before its type or tag */
static_assert(WORKER_MAX <= 1 << ID_WORKER_BITS, "workers fit a record's number");

static int fail(char *err, size_t err_len, int rc, const char *text)
{
    snprintf(err, err_len, "%s", text);
    return rc;
}

/* ---------------------------------------------------------------- control thread */

static int make(struct stack *s)
{
    struct capture *c = s->capture ? s->capture : calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    if (!s->capture)
        c->fd = -1;
    c->stack = s;
    s->capture = c;
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (c->w[i])
            continue;
        c->w[i] = aligned_alloc(HS_CACHE_LINE, (sizeof(*c->w[i]) + HS_CACHE_LINE - 1) & ~(size_t)(HS_CACHE_LINE - 1));
        if (!c->w[i])
            return -ENOMEM;
        memset(c->w[i], 0, sizeof(*c->w[i]));
        c->w[i]->owner = c;
    }
    return 0;
}

/* Workers look from now on, or do no more. They are held. */
static void switch_workers(struct stack *s)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct capture_worker *cw = s->capture->w[i];
        s->worker[i]->capture = cw->is_capturing || cw->stop ? cw : NULL;
    }
}

static void free_rings(struct capture *c)
{
    for (unsigned i = 0; i < c->stack->n_workers; i++) {
        free(c->w[i]->ring.bytes);
        free(c->w[i]->pending);
        c->w[i]->ring.bytes = c->w[i]->pending = NULL;
        c->w[i]->n_pending = c->w[i]->used = 0;
    }
    free(c->filter);
    c->filter = NULL;
}

static int make_rings(struct capture *c, uint8_t *ring[WORKER_MAX], uint8_t *pending[WORKER_MAX])
{
    for (unsigned i = 0; i < c->stack->n_workers; i++) {
        ring[i] = malloc(CAPTURE_RING);
        pending[i] = malloc(CAPTURE_PENDING);
        if (!ring[i] || !pending[i])
            return -ENOMEM;
    }
    return 0;
}

static int check_file(int fd, char *err, size_t err_len)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (fd < 0 || fstat(fd, &st) != 0 || flags < 0)
        return fail(err, err_len, -EINVAL, "no file came with the command");
    /* What may block for ever (a pipe that nobody reads) would keep the capture from ending. */
    if (!S_ISREG(st.st_mode) || (flags & O_ACCMODE) == O_RDONLY)
        return fail(err, err_len, -EINVAL, "not a regular file that can be written");
    return 0;
}

static int take_filter(struct capture *c, const struct bpf_insn *filter, unsigned n)
{
    c->filter = NULL;
    c->n_insns = n;
    if (n == 0)
        return 0;
    if (n > CAPTURE_FILTER_MAX || !bpf_validate(filter, (int)n))
        return -EINVAL;
    c->filter = malloc(n * sizeof(*filter));
    if (!c->filter)
        return -ENOMEM;
    memcpy(c->filter, filter, n * sizeof(*filter));
    return 0;
}

int capture_start(struct stack *s, int fd, const char *name, const struct bpf_insn *filter, unsigned n_insns, char *err, size_t err_len)
{
    uint8_t *ring[WORKER_MAX] = { 0 }, *pending[WORKER_MAX] = { 0 };
    int rc = check_file(fd, err, err_len);

    if (rc != 0)
        return rc;
    if ((rc = make(s)) != 0)
        return fail(err, err_len, rc, "no memory");
    struct capture *c = s->capture;
    if (c->fd >= 0)
        return fail(err, err_len, -EALREADY, "a capture runs; capture stop ends it");
    if ((rc = take_filter(c, filter, n_insns)) != 0)
        return fail(err, err_len, rc, rc == -ENOMEM ? "no memory" : "the filter is not a valid program");
    if ((rc = make_rings(c, ring, pending)) != 0) {
        fail(err, err_len, rc, "no memory");
        goto undo_rings;
    }
    snprintf(c->name, sizeof(c->name), "%s", name);
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct capture_worker *cw = c->w[i]; /* bytes is not set: the worker does not look yet */
        cw->ring.head = cw->ring.tail = 0;
        cw->packets = cw->missed = 0;
    }
    c->fd = fd;
    if ((rc = capture_writer_start(c)) != 0) {
        fail(err, err_len, rc, strerror(-rc));
        goto undo_fd;
    }
    if ((rc = stack_pause(s)) != 0) {
        fail(err, err_len, rc, "a worker has too much to do, try again");
        goto undo_writer;
    }
    for (unsigned i = 0; i < s->n_workers; i++) {
        c->w[i]->ring.bytes = ring[i];
        c->w[i]->pending = pending[i];
        c->w[i]->is_capturing = true;
    }
    switch_workers(s);
    stack_resume(s);
    return 0;

undo_writer:
    c->fd = dup(fd); /* the caller keeps his */
    capture_writer_stop(c);
undo_fd:
    c->fd = -1;
undo_rings:
    for (unsigned i = 0; i < s->n_workers; i++) {
        free(ring[i]);
        free(pending[i]);
    }
    free(c->filter);
    c->filter = NULL;
    return rc;
}

/* Workers look no more, or have ended. */
static int end_capture(struct capture *c)
{
    capture_writer_stop(c);
    free_rings(c);
    return -c->error;
}

int capture_stop(struct stack *s, char *err, size_t err_len)
{
    if (!s->capture || s->capture->fd < 0)
        return fail(err, err_len, -ENOENT, "no capture runs");
    int rc = stack_pause(s); /* between two turns nothing is pending */
    if (rc != 0)
        return fail(err, err_len, rc, "a worker has too much to do, try again");
    for (unsigned i = 0; i < s->n_workers; i++)
        s->capture->w[i]->is_capturing = false;
    switch_workers(s);
    stack_resume(s);
    rc = end_capture(s->capture);
    return rc ? fail(err, err_len, rc, strerror(-rc)) : 0;
}

void capture_show(struct stack *s, json_t *obj)
{
    struct capture *c = s->capture;
    uint64_t packets = 0, missed = 0;

    json_object_set_new(obj, "running", json_boolean(c && c->fd >= 0));
    if (!c || !c->name[0])
        return;
    for (unsigned i = 0; i < s->n_workers; i++) {
        packets += __atomic_load_n(&c->w[i]->packets, __ATOMIC_RELAXED);
        missed += __atomic_load_n(&c->w[i]->missed, __ATOMIC_RELAXED);
    }
    int error = __atomic_load_n(&c->error, __ATOMIC_RELAXED);
    json_object_set_new(obj, "file", json_string(c->name));
    json_object_set_new(obj, "packets", json_integer((json_int_t)packets));
    json_object_set_new(obj, "missed", json_integer((json_int_t)missed));
    json_object_set_new(obj, "bytes", json_integer((json_int_t)__atomic_load_n(&c->bytes, __ATOMIC_RELAXED)));
    if (error)
        json_object_set_new(obj, "error", json_string(strerror(error)));
}

static void forget_trace(struct capture *c)
{
    for (unsigned i = 0; i < c->stack->n_workers; i++) {
        free(c->w[i]->stop);
        c->w[i]->stop = NULL;
        c->w[i]->n_stops = 0;
    }
    c->first = (uint16_t)(c->first + hs_min_u32(c->given, c->wanted)); /* packets that still carry an old number are nobody's */
    c->wanted = c->given = 0;
}

int trace_add(struct stack *s, unsigned n, char *err, size_t err_len)
{
    int rc = n < 1 || n > TRACE_MAX_PACKETS ? -EINVAL : make(s);
    struct trace_stop *stop[WORKER_MAX] = { 0 };

    if (rc != 0)
        return fail(err, err_len, rc, rc == -EINVAL ? "between 1 and 1000 packets can be followed" : "no memory");
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (!(stop[i] = malloc((size_t)n * TRACE_STOPS * sizeof(*stop[i]))))
            rc = fail(err, err_len, -ENOMEM, "no memory");
    }
    if (rc == 0 && (rc = stack_pause(s)) != 0)
        fail(err, err_len, rc, "a worker has too much to do, try again");
    if (rc != 0) {
        for (unsigned i = 0; i < s->n_workers; i++)
            free(stop[i]);
        return rc;
    }
    forget_trace(s->capture);
    s->capture->wanted = n;
    for (unsigned i = 0; i < s->n_workers; i++) {
        s->capture->w[i]->stop = stop[i];
        s->capture->w[i]->max_stops = n * TRACE_STOPS;
    }
    switch_workers(s);
    stack_resume(s);
    return 0;
}

int trace_clear(struct stack *s, char *err, size_t err_len)
{
    if (!s->capture)
        return 0;
    int rc = stack_pause(s);
    if (rc != 0)
        return fail(err, err_len, rc, "a worker has too much to do, try again");
    forget_trace(s->capture);
    switch_workers(s);
    stack_resume(s);
    return 0;
}

void capture_destroy(struct stack *s)
{
    struct capture *c = s->capture;

    if (!c)
        return;
    if (c->fd >= 0)
        end_capture(c);
    forget_trace(c);
    for (unsigned i = 0; i < s->n_workers; i++) {
        s->worker[i]->capture = NULL;
        free(c->w[i]);
    }
    free(c);
    s->capture = NULL;
}

/* ---------------------------------------------------------------- the worker's turn */

static uint64_t wall_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED); /* one writer */
}

void capture_turn_end(struct worker *w)
{
    struct capture_worker *cw = w->capture;

    for (unsigned i = 0; i < cw->n_pending; i++) {
        const struct capture_record *r = &cw->rec[i];
        count(pcapng_packet(&cw->ring, r, cw->pending + r->off) ? &cw->packets : &cw->missed);
    }
    cw->n_pending = cw->used = 0;
}

/* The packet of this turn with room for cap_len bytes, or NULL. */
static struct capture_record *new_record(struct worker *w, uint32_t cap_len)
{
    struct capture_worker *cw = w->capture;

    if (cw->n_pending == CAPTURE_RECORDS || cw->used + cap_len > CAPTURE_PENDING)
        capture_turn_end(w); /* a verdict that comes later is lost */
    return &cw->rec[cw->n_pending];
}

static bool matches(const struct capture *c, const uint8_t *data, uint32_t len, uint32_t cap_len)
{
    return !c->filter || bpf_filter(c->filter, data, len, cap_len) != 0;
}

struct front { uint8_t b[16]; uint32_t len, from; }; /* bytes in place of the packet's first `from` ones */

/* What stands on the wire where the port handles the tag. */
static struct front frame_front(struct pkt *p)
{
    struct front f = { .len = 0 };
    uint16_t tci = pkt_vlan_tci(p);

    if (hs_unlikely(pkt_meta(p)->flags & PKT_VLAN) && pkt_len(p) >= MACS_LEN) {
        pkt_copy_out(p, 0, f.b, MACS_LEN);
        memcpy(f.b + MACS_LEN, (const uint8_t[4]){ 0x81, 0, (uint8_t)(tci >> 8), (uint8_t)tci }, 4);
        f.len = MACS_LEN + 4;
        f.from = MACS_LEN;
    }
    return f;
}

/* The frame at p's data with that front; returns its number, 0 = the filter does not want it. */
static uint32_t record(struct worker *w, unsigned port, bool is_out, struct pkt *p, const struct front *front, uint64_t now_us)
{
    struct capture_worker *cw = w->capture;
    uint32_t len = pkt_len(p) - front->from + front->len, cap_len = hs_min_u32(len, CAPTURE_SNAP_LEN);
    bool is_flat = front->len == 0 && pkt_first_len(p) == pkt_len(p);

    if (is_flat && !matches(cw->owner, pkt_data(p), len, cap_len))
        return 0;
    struct capture_record *r = new_record(w, cap_len);
    uint8_t *to = cw->pending + cw->used;
    memcpy(to, front->b, front->len);
    pkt_copy_out(p, front->from, to + front->len, cap_len - front->len);
    if (!is_flat && !matches(cw->owner, to, len, cap_len))
        return 0;
    *r = (struct capture_record){ .time_us = now_us, .off = cw->used, .cap_len = cap_len, .len = len, .port = (uint16_t)port,
                                  .is_out = is_out };
    cw->used += cap_len;
    cw->n_pending++;
    cw->seq++;
    return cw->seq << ID_WORKER_BITS | w->index;
}

void capture_rx(struct worker *w, unsigned port, struct pkt **pkts, unsigned n)
{
    uint64_t now_us = wall_us();

    for (unsigned i = 0; i < n; i++) {
        struct pkt_meta *m = pkt_meta(pkts[i]);
        m->capture = 0;
        m->trace = 0;
        if (m->flags & PKT_CLONED) /* its original was seen */
            continue;
        if (w->capture->is_capturing) {
            struct front front = frame_front(pkts[i]);
            m->capture = record(w, port, false, pkts[i], &front, now_us);
        }
        m->trace = trace_number(w);
        if (m->trace)
            capture_stop_at(w, pkts[i], "rx", "port %s, %u bytes", w->stack->port[port]->name, pkt_len(pkts[i]));
    }
}

void capture_out(struct worker *w, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);

    if (m->trace == 0) /* an echo goes on with the number of its request */
        m->trace = trace_number(w);
    m->capture = 0;
}

void capture_tx(struct worker *w, unsigned port, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    struct front front = frame_front(p);

    m->capture = w->capture->is_capturing ? record(w, port, true, p, &front, wall_us()) : 0;
    capture_stop_at(w, p, "tx", "port %s, %u bytes%s", w->stack->port[port]->name, pkt_len(p), m->flags & PKT_GSO ? ", to be cut" : "");
}

void capture_drop(struct worker *w, struct pkt *p, const char *layer, const char *why)
{
    struct capture_worker *cw = w->capture;
    uint32_t id = pkt_meta(p)->capture, age = (cw->seq - (id >> ID_WORKER_BITS)) & (UINT32_MAX >> ID_WORKER_BITS);

    capture_stop_at(w, p, layer, "dropped: %s", why);
    if (id == 0 || (id & (WORKER_MAX - 1)) != w->index || age >= cw->n_pending)
        return;
    struct capture_record *r = &cw->rec[cw->n_pending - 1 - age];
    r->layer = layer;
    r->why = why;
}

void capture_drop_held(struct worker *w, struct pkt *p, unsigned port, unsigned back, bool is_frame, const char *layer, const char *why)
{
    struct front eth = { .len = 14 };

    capture_stop_at(w, p, layer, "dropped: %s", why);
    if (!w->capture->is_capturing || !pkt_push(p, (uint16_t)back))
        return;
    /* An IP packet that never got its link header: no destination, our source. */
    memcpy(eth.b + 6, w->stack->port[port]->mac, 6);
    memcpy(eth.b + 12, pkt_data(p)[0] >> 4 == 4 ? "\x08\x00" : "\x86\xdd", 2);
    struct front front = is_frame ? frame_front(p) : eth;
    if (record(w, port, !is_frame, p, &front, wall_us()) != 0) {
        struct capture_record *r = &w->capture->rec[w->capture->n_pending - 1];
        r->layer = layer;
        r->why = why;
    }
    pkt_pull(p, (uint16_t)back);
}
