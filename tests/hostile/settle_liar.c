/* settle_liar.c - a cut-through peer that writes what it likes into the words by which a connection changes hands, and its queue
 *
 * usage: settle_liar ADDRESS PORT MODE CONNECTIONS SEED
 * modes: begun     the server is at work on the victim's positions, for ever     done      it has been, and nothing counts
 *        moved     another program has the victim's end, for ever                settled   it has, and nothing counts
 *        blink     done, seen by every other look                                early     moved, before there is anything to move
 *        words     anything, anywhere in the slot                                   flood     its queue of messages is full, always
 *        deaf      it takes no message, and says of each event that it is done with it
 * It has the library within, lets that connect, and never calls it again until the victim has gone. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/splitmix.h"
#include "vcl/vcl_internal.h"

enum { LIFE_NS = 600000000, PIECE = 200, TRIES = 200 };

static uint64_t state;
static uint64_t rnd(void) { return hs_splitmix(&state); }

static void put(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static void anything(struct svm_slot_pair *slot)
{
    static const uint32_t edge[] = { 0, 1, 2, 3, 4, 8, 12, 15, 0x7fffffff, 0x80000000, 0xffffffff };
    uint32_t *word = (uint32_t *)(void *)slot + rnd() % (sizeof(*slot) / sizeof(uint32_t));

    put(word, rnd() % 2 ? edge[rnd() % HS_ARRAY_LEN(edge)] : *word + (uint32_t)(rnd() % 9) - 4);
}

static void lie(const char *mode, struct svm_slot_cli *own, struct svm_slot_cli *victim, unsigned turn)
{
    if (!strcmp(mode, "begun"))
        put(&victim->rx.settle, SVM_SETTLE_BEGUN);
    if (!strcmp(mode, "done") || (!strcmp(mode, "blink") && turn % 2)) {
        put(&victim->rx.settled_head, 0);
        put(&victim->rx.settled_tail, 0);
        put(&victim->rx.settle, SVM_SETTLE_DONE);
    } else if (!strcmp(mode, "blink")) {
        put(&victim->rx.settle, SVM_SETTLE_NONE);
    }
    if (!strcmp(mode, "moved") || !strcmp(mode, "early"))
        __atomic_fetch_or(&own->tx.flags, SVM_FIFO_MOVED, __ATOMIC_RELEASE);
    if (!strcmp(mode, "settled")) {
        put(&own->tx.space_bytes, 0);
        __atomic_fetch_or(&own->tx.flags, SVM_FIFO_MOVED | SVM_FIFO_SETTLED, __ATOMIC_RELEASE);
    }
    if (!strcmp(mode, "words"))
        for (uint64_t n = rnd() % 8; n; n--)
            anything((struct svm_slot_pair *)(void *)(own < victim ? own : victim));
}

/* With something to read all the time, and somebody who reads. */
static void talk(struct vcl_socket *s)
{
    static uint8_t bytes[PIECE];
    bool data, space = false;

    vcl_socket_lock(s);
    (void)svm_fifo_enqueue(&s->tx, bytes, 1 + (uint32_t)(rnd() % PIECE));
    data = svm_fifo_prod_event_due(&s->tx);
    if (svm_fifo_dequeue(&s->rx, bytes, sizeof(bytes)) > 0)
        space = svm_fifo_cons_space_due(&s->rx);
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, data, space);
}

/* Without a pause, so that whoever takes them one by one never comes to an end. */
static void flood(struct vcl_pair *p)
{
    for (int i = 0; i < 1000; i++) {
        p->out.head_seen = p->out.peer->head;
        p->out.tail = p->out.head_seen + p->out.mask + 1;
        put(&p->out.line->tail, p->out.tail);
    }
}

static void deaf(struct svm_slot_cli *own, const struct svm_slot_cli *victim)
{
    for (int i = 0; i < 1000; i++) {
        put(&own->rx.head, __atomic_load_n(&victim->tx.tail, __ATOMIC_ACQUIRE));
        put(&own->rx.evt_ack, __atomic_load_n(&victim->tx.evt_seq, __ATOMIC_ACQUIRE));
    }
}

/* Cut-through: where nobody accepts for some milliseconds a connection goes through the server, and is no use here. */
static int join(const struct ip_endpoint *to, struct vcl_socket **out)
{
    for (int i = 0; i < TRIES; i++) {
        struct vcl_socket *s;
        int rc = vcl_socket_new(SVM_PROTO_TCP, !ip_addr_is_v4(&to->ip), &s);

        if (rc)
            return rc;
        rc = vcl_connect(s, to);
        if (rc == 0 && s->local) {
            *out = s;
            return 0;
        }
        vcl_socket_put(s);
        if (rc)
            return rc;
    }
    fputs("this is not cut-through\n", stderr);
    return -EPROTO;
}

static int life(const struct ip_endpoint *to, const char *mode)
{
    struct vcl_socket *s;
    int rc = join(to, &s);
    int64_t end = vcl_now_ns() + LIFE_NS;

    if (rc)
        return rc;
    for (unsigned turn = 0; vcl_now_ns() < end && s->has_fifos && s->pair && !svm_fifo_prod_peer_closed(&s->tx); turn++) {
        struct svm_slot_cli *own = (void *)s->tx.line, *victim = (void *)(uintptr_t)s->rx.peer; /* another slot, when it has moved */

        if (strcmp(mode, "flood") == 0 || strcmp(mode, "deaf") == 0) {
            mode[0] == 'f' ? flood(s->pair) : deaf(own, victim);
            continue;
        }
        if (!s->rest && (strcmp(mode, "early") == 0 || rnd() % 8 == 0 || turn > 20)) /* a rest is in memory of our own */
            lie(mode, own, victim, turn);
        talk(s);
        nanosleep(&(struct timespec){ .tv_nsec = (long)(rnd() % 300000) }, NULL);
    }
    vcl_socket_put(s);
    return 0;
}

int main(int argc, char **argv)
{
    struct ip_endpoint to;
    int rc;

    if (argc != 6 || ip_addr_parse(argv[1], &to.ip) < 0)
        return 2;
    to.port = be16_of((uint16_t)atoi(argv[2]));
    state = strtoull(argv[5], NULL, 10);
    rc = vcl_process_init();
    for (int i = 0; rc >= 0 && i < atoi(argv[4]); i++)
        rc = life(&to, argv[3]);
    if (rc < 0)
        fprintf(stderr, "settle_liar: %s\n", strerror(-rc));
    vcl_detach();
    return rc < 0;
}
