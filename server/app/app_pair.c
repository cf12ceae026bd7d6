/* app_pair.c - PAIR segments: shared by two client workers for their cut-through sessions, one per server worker
 *
 * Found or asked for on the worker; made, sent to both clients and freed on the control thread. */
#include "server/app/app_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct app_port_client *port_client_of(struct app_worker *a) { return hs_container_of(a, struct app_port_client, aw); }

/* ---- worker ---- */

static int slot_take(struct app_pair *p)
{
    uint32_t slot;

    if (p->free_head) {
        slot = p->free_head - 1;
        p->free_head = p->slot_next[slot];
    } else if (p->high < p->n_slots) {
        uint64_t off = p->slots_off + (uint64_t)p->high * sizeof(struct svm_slot_pair);
        if (p->high % APP_SLOT_CHUNK == 0 &&
            svm_segment_reserve(&p->seg, off, APP_SLOT_CHUNK * sizeof(struct svm_slot_pair)) != 0)
            return -ENOMEM;
        slot = p->high++;
    } else {
        return -ENOBUFS;
    }
    p->n_used++;
    p->slot_next[slot] = 1; /* while it is in use: who counts on it */
    svm_slot_pair_clear(svm_slot_pair_at(&p->seg, p->slots_off, slot));
    return (int)slot;
}

/* Identities count up, so that those of many peers of one program fall into different buckets. */
static struct app_pair **bucket(struct app_port *port, uint32_t id_a, uint32_t id_b)
{
    return &port->pair_hash[(id_a ^ id_b) % APP_PAIR_BUCKETS];
}

static void unhash_pair(struct app_port *port, struct app_pair *p)
{
    struct app_pair **at = bucket(port, p->client_id[0], p->client_id[1]);

    while (*at && *at != p)
        at = &(*at)->hash_next;
    if (*at)
        *at = p->hash_next;
}

static void unlink_pair(struct app_port *port, struct app_pair *p)
{
    unhash_pair(port, p);
    if (p->prev)
        p->prev->next = p->next;
    else
        port->pairs = p->next;
    if (p->next)
        p->next->prev = p->prev;
}

/* A side has gone, or cannot map it, and no slot is in use: the segment goes, too. */
static void check_gone(struct worker *w, struct app_pair *p)
{
    if ((p->side[0] && p->side[1] && !p->unmapped[0] && !p->unmapped[1]) || p->n_used || !p->is_ready)
        return;
    unlink_pair(w->app, p);
    p->event.type = APP_EVENT_PAIR_GONE;
    app_event_post(p->as, &p->event);
}

/* One with room. has_full: there are others without. */
static struct app_pair *pair_find(struct app_port *port, const struct app_client *a, const struct app_client *b, bool *has_full)
{
    *has_full = false;
    for (struct app_pair *p = *bucket(port, a->client_id, b->client_id); p; p = p->hash_next) {
        if ((p->side[0] != a || p->side[1] != b) && (p->side[0] != b || p->side[1] != a))
            continue;
        if (p->n_used + p->n_waits < p->n_slots)
            return p;
        *has_full = true;
    }
    return NULL;
}

/* Address space is what it costs the programs, who may have little. */
static void pair_size(struct app_pair *p, const struct app_client *a, const struct app_client *b, bool is_further)
{
    uint32_t mb = hs_min_u32(hs_min_u32(a->room_mb, b->room_mb), APP_PAIR_FIRST_MB);
    bool is_large = is_further && mb == APP_PAIR_FIRST_MB;

    p->arena_mb = is_large ? APP_PAIR_ARENA_MB : mb;
    p->n_slots = is_large ? APP_PAIR_SLOTS : mb * APP_PAIR_SLOTS_A_MB;
}

static struct app_pair *pair_new(struct worker *w, struct app_client *a, struct app_client *b, bool is_further)
{
    struct app_port *port = w->app;
    struct app_pair *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    pair_size(p, a, b, is_further);
    p->slot_next = malloc(p->n_slots * sizeof(*p->slot_next));
    if (!p->slot_next) {
        free(p);
        return NULL;
    }
    p->w = w;
    p->as = port->as;
    p->seg.fd = -1;
    p->side[0] = a;
    p->side[1] = b;
    p->client_id[0] = a->client_id;
    p->client_id[1] = b->client_id;
    p->next = port->pairs;
    if (p->next)
        p->next->prev = p;
    port->pairs = p;
    p->hash_next = *bucket(port, a->client_id, b->client_id);
    *bucket(port, a->client_id, b->client_id) = p;
    p->event.type = APP_EVENT_PAIR;
    app_event_post(p->as, &p->event);
    return p;
}

void app_pair_get(struct worker *w, struct app_worker *side0, struct app_worker *side1, bool insist,
                  void (*done)(struct worker *w, void *arg, struct app_pair *pair, int slot), void *arg)
{
    struct app_port_client *pc0 = port_client_of(side0), *pc1 = port_client_of(side1);
    struct app_client *a = pc0->client, *b = pc1->client;
    bool has_full, is_blocked = !insist && (pc0->no_pairs_until_us > w->now_us || pc1->no_pairs_until_us > w->now_us);
    struct app_pair *p = pair_find(w->app, a, b, &has_full);
    struct app_pair_wait *wait, **tail;

    app_port_nap(w);
    if (p && p->is_ready) {
        int slot = slot_take(p);
        done(w, arg, slot >= 0 ? p : NULL, slot);
        return;
    }
    wait = p || !is_blocked ? malloc(sizeof(*wait)) : NULL;
    if (wait && !p)
        p = pair_new(w, a, b, has_full);
    if (!wait || !p) {
        free(wait);
        done(w, arg, NULL, -ENOMEM);
        return;
    }
    *wait = (struct app_pair_wait){ NULL, done, arg };
    for (tail = &p->waits; *tail; tail = &(*tail)->next)
        ;
    *tail = wait;
    p->n_waits++;
}

void app_pair_unmapped(struct worker *w, struct app_pair *p, struct app_worker *a)
{
    if (p->client_id[0] != a->client_id && p->client_id[1] != a->client_id) /* a fork's child says what its parent knew */
        return;
    for (int i = 0; i < 2; i++)
        p->unmapped[i] |= p->client_id[i] == a->client_id;
    port_client_of(a)->no_pairs_until_us = w->now_us + APP_UNMAPPED_US;
    unhash_pair(w->app, p);
}

bool app_pair_is_unmapped(const struct app_pair *p, const struct app_worker *a)
{
    return (p->unmapped[0] && p->client_id[0] == a->client_id) || (p->unmapped[1] && p->client_id[1] == a->client_id);
}

void app_pair_hold(struct app_pair *p, uint32_t slot)
{
    p->slot_next[slot]++;
}

void app_pair_put(struct worker *w, struct app_pair *p, int slot)
{
    if (--p->slot_next[slot] > 0)
        return;
    p->slot_next[slot] = p->free_head;
    p->free_head = (uint32_t)slot + 1;
    p->n_used--;
    check_gone(w, p);
}

uint32_t app_pair_seg_id(const struct app_pair *p)
{
    return p->seg_id;
}

struct svm_slot_pair *app_pair_slot(const struct app_pair *p, uint32_t slot)
{
    return svm_slot_pair_at(&p->seg, p->slots_off, slot);
}

struct svm_region app_pair_region(const struct app_pair *p)
{
    return (struct svm_region){ p->seg.base, p->seg.size };
}

int app_pair_side(const struct app_pair *p, const struct app_worker *a)
{
    return p->client_id[0] == a->client_id ? 0 : 1;
}

static void answer_waits(struct worker *w, struct app_pair *p)
{
    struct app_pair_wait *wait = p->waits;

    p->waits = NULL;
    p->n_waits = 0;
    while (wait) {
        struct app_pair_wait *next = wait->next;
        bool gone = !p->side[0] || !p->side[1];
        int slot = p->error ? p->error : gone ? -ECONNREFUSED : slot_take(p);
        wait->done(w, wait->arg, slot >= 0 ? p : NULL, slot);
        free(wait);
        wait = next;
    }
}

/* By worker_call(): the segment has been made and sent, or could not be. */
static void pair_ready(struct worker *w, void *arg)
{
    struct app_pair *p = arg;

    p->is_ready = true;
    answer_waits(w, p);
    if (p->error) /* the next connect tries again */
        p->side[0] = p->side[1] = NULL;
    check_gone(w, p);
}

void app_pair_client_gone(struct worker *w, struct app_client *c)
{
    struct app_port *port = w->app;

    for (struct app_pair *p = port->pairs, *next; p; p = next) {
        next = p->next;
        if (p->side[0] != c && p->side[1] != c)
            continue;
        for (int i = 0; i < 2; i++) {
            if (p->side[i] == c)
                p->side[i] = NULL;
        }
        check_gone(w, p);
    }
}

/* ---- control thread ---- */

/* An open file description of its own, so that nobody can make another's writing block. */
static int bell_reopen(int fd)
{
    char path[32];
    int r;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    r = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return r < 0 ? -errno : r;
}

static int pair_send(struct app_pair *p, struct app_client *to, const struct app_client *peer, uint32_t side)
{
    struct svm_att_segment m = { .type = SVM_ATT_SEGMENT, .kind = SVM_SEG_PAIR, .seg_id = p->seg_id, .side = side,
                                 .peer_client_id = peer->client_id };
    int fds[3];

    fds[0] = fcntl(p->seg.fd, F_DUPFD_CLOEXEC, 0);
    fds[1] = svm_segment_reopen_readonly(&peer->p);
    fds[2] = bell_reopen(peer->bell_wr);
    if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0) {
        for (int i = 0; i < 3; i++) {
            if (fds[i] >= 0)
                close(fds[i]);
        }
        return -EMFILE;
    }
    app_client_send(to, &m, sizeof(m), fds, 3);
    return 0;
}

void app_pair_make(struct app_server *as, struct app_pair *p)
{
    struct app_client *a = app_client_by_id(as, p->client_id[0]), *b = app_client_by_id(as, p->client_id[1]);
    struct svm_pair_layout l = { .n_slots = p->n_slots, .queue_log2 = APP_PAIR_QUEUE_LOG2,
                                 .arena_size = (uint64_t)p->arena_mb << 20 };
    int err = a && b ? svm_pair_layout(&l) : -ECONNREFUSED;

    as->n_pairs++;
    if (err == 0)
        err = svm_segment_create(&p->seg, "hoststack-pair", l.size, l.slots_off, false);
    if (err == 0) {
        p->seg_id = app_server_seg_id(as);
        p->slots_off = l.slots_off;
        svm_pair_format(&l, p->seg_id, p->seg.base);
        err = pair_send(p, a, b, 0);
    }
    if (err == 0 && a != b)
        err = pair_send(p, b, a, 1);
    p->error = err;
    (void)app_server_call(as, p->w, pair_ready, p);
}

void app_pair_free(struct app_server *as, struct app_pair *p)
{
    struct svm_att_segment m = { .type = SVM_ATT_SEGMENT_GONE, .kind = SVM_SEG_PAIR, .seg_id = p->seg_id };

    for (int i = 0; i < 2; i++) {
        struct app_client *c = app_client_by_id(as, p->client_id[i]);
        if (c && p->seg_id)
            app_client_send(c, &m, sizeof(m), NULL, 0);
    }
    svm_segment_unmap(&p->seg);
    free(p->slot_next);
    free(p);
    as->n_pairs--;
}

void app_pair_free_all(struct worker *w)
{
    while (w->app && w->app->pairs) {
        struct app_pair *p = w->app->pairs;

        p->error = -ECONNREFUSED; /* who waits for it has gone, and frees what it keeps for the answer */
        answer_waits(w, p);
        unlink_pair(w->app, p);
        svm_segment_unmap(&p->seg);
        free(p->slot_next);
        free(p);
    }
}
