/* endpoint_stress.c - threads bind and release ports of one bucket while others ask which are taken: what one has been told is true for it
 * A plain TAP program, because criterion does not run under ThreadSanitizer. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/session/session_internal.h"

enum { THREADS = 4, ROUNDS = 20000, FIRST_PORT = 33333, FIB = 3, OTHER_FIB = 4 };
enum steps { NOT_BOUND, BINDING, BOUND, RELEASING, STEPS }; /* of each round */

struct binder {
    struct worker w;
    struct ip_endpoint at;
    unsigned step;      /* counts on, enum steps modulo STEPS: as its thread has told the others */
    unsigned long seen; /* how often another one's answer was known beforehand */
    const char *error;
} HS_ALIGNED_LINE;

static struct stack stack;
static struct binder binder[THREADS];

static struct ip_endpoint endpoint(unsigned i)
{
    struct ip_endpoint e = { .port = be16_of((uint16_t)(FIRST_PORT + i * SESSION_PORT_BUCKETS)) }; /* all in one bucket */

    if (ip_addr_parse(i & 1 ? "fd00::7" : "192.0.2.7", &e.ip) != 0)
        abort();
    return e;
}

static void next_step(struct binder *b) { __atomic_store_n(&b->step, b->step + 1, __ATOMIC_RELEASE); }

/* The answer must be right if nothing has changed from before the question until after it. */
static void ask_about(struct binder *me, struct binder *other)
{
    unsigned before = __atomic_load_n(&other->step, __ATOMIC_ACQUIRE), is = before % STEPS;
    bool taken = session_endpoint_is_taken(&me->w, SVM_PROTO_TCP, &other->at, FIB);

    if (is == BINDING || is == RELEASING || before != __atomic_load_n(&other->step, __ATOMIC_ACQUIRE))
        return;
    me->seen++;
    if (taken != (is == BOUND))
        me->error = taken ? "a port that nobody has is taken" : "a port that somebody has is free";
}

static void *bind_and_ask(void *arg)
{
    struct binder *me = arg;
    struct session_bind_args args = { .proto = SVM_PROTO_TCP, .lcl = me->at };
    struct ip_endpoint nobodys = endpoint(THREADS);

    for (unsigned i = 0; i < ROUNDS && !me->error; i++) {
        struct session_endpoint *e;

        next_step(me);
        if (session_endpoint_reserve(&me->w, &args, 0, FIB, 0, &e) != 0) {
            me->error = "a free port cannot be bound";
            break;
        }
        next_step(me);
        if (!session_endpoint_is_taken(&me->w, SVM_PROTO_TCP, &me->at, FIB))
            me->error = "what was bound is free";
        ask_about(me, &binder[i % THREADS]);
        next_step(me);
        session_endpoint_release(&me->w, e);
        next_step(me);
        if (session_endpoint_is_taken(&me->w, SVM_PROTO_TCP, &me->at, FIB))
            me->error = "what was released is taken";
        if (session_endpoint_is_taken(&me->w, SVM_PROTO_TCP, &nobodys, FIB) || session_endpoint_is_taken(&me->w, SVM_PROTO_UDP, &me->at, FIB) ||
            session_endpoint_is_taken(&me->w, SVM_PROTO_TCP, &me->at, OTHER_FIB))
            me->error = "what nobody binds is taken";
        ask_about(me, &binder[(i / THREADS) % THREADS]);
    }
    return NULL;
}

/* --tap=FILE: where tests/run-criterion.sh wants the report. */
int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    unsigned long seen = 0;
    int failed = 0;

    if (argc > 1 && (strncmp(argv[1], "--tap=", 6) != 0 || !freopen(argv[1] + 6, "w", stdout))) {
        fprintf(stderr, "usage: %s [--tap=FILE]\n", argv[0]);
        return 2;
    }
    if (session_stack_create(&stack) != 0)
        return 1;
    for (unsigned i = 0; i < THREADS; i++) {
        binder[i].w = (struct worker){ .stack = &stack, .index = i };
        binder[i].at = endpoint(i);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (pthread_create(&thread[i], NULL, bind_and_ask, &binder[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        seen += binder[i].seen;
        failed |= binder[i].error != NULL;
        printf("%sok %u - thread %u, IPv%c%s%s\n", binder[i].error ? "not " : "", i + 1, i, ip_addr_is_v4(&binder[i].at.ip) ? '4' : '6',
               binder[i].error ? ": " : "", binder[i].error ? binder[i].error : "");
    }
    failed |= seen == 0;
    printf("%sok %u - answers that were known beforehand: %lu\n1..%u\n", seen ? "" : "not ", THREADS + 1, seen, THREADS + 1);
    session_stack_destroy(&stack);
    return failed;
}
