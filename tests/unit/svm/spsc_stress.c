/* spsc_stress.c - two threads, one FIFO and two queues, sleeping on condition of the protocol alone: a lost wake-up hangs and
 * is caught by the bounded wait. A plain TAP program, because criterion does not run under ThreadSanitizer. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "svm/svm_msgq.h"
#include "tests/unit/svm/svm_test.h"

enum { MAX = 1 << 14, TOTAL = 24 << 20, QUEUE = 16, WAIT_MS = 60000 };

struct side {
    struct svm_sleep_line sleep;      /* own */
    struct svm_msgq_prod out;
    struct svm_msgq_cons in;
    int bell[2];                      /* own doorbell, a pipe */
    uint32_t last_rung;
    struct side *peer;
    unsigned long sleeps;
    const char *error;
} HS_ALIGNED_LINE;

struct world {
    struct pair t;
    struct side a, b;                 /* producer, consumer */
    uint8_t q[2][64 + 64 * QUEUE + 64] HS_ALIGNED_LINE;
    int edge;
};

static void post(struct side *s, uint8_t type, int64_t value)
{
    struct svm_msg m = { .type = type, .u.value = value };

    if (svm_msgq_post(&s->out, &m) < 0)
        s->error = "queue full: more than one event of a kind outstanding";
    if (svm_sleep_must_ring(&s->peer->sleep, &s->last_rung) && write(s->peer->bell[1], "", 1) != 1)
        s->error = "doorbell";
}

/* Sleeps until there is a message. False: none came in WAIT_MS. */
static bool wait_message(struct side *s, struct svm_msg *m)
{
    for (;;) {
        int n = svm_msgq_take(&s->in, m, 1);
        char c;

        if (n == 1)
            return true;
        if (n < 0)
            return false;
        svm_sleep_begin(&s->sleep);
        if (svm_msgq_is_empty(&s->in)) {
            struct pollfd p = { .fd = s->bell[0], .events = POLLIN };

            s->sleeps++;
            if (poll(&p, 1, WAIT_MS) != 1 || read(s->bell[0], &c, 1) != 1) {
                s->error = "lost wake-up";
                return false;
            }
        }
        svm_sleep_end(&s->sleep);
    }
}

static void *produce(void *arg)
{
    struct world *w = arg;
    struct svm_fifo_prod *p = &w->t.p;
    static uint8_t b[MAX];
    uint64_t seed = 3, pos = 0;
    struct svm_msg m;

    while (pos < TOTAL && !w->a.error) {
        uint32_t n = 1 + rnd(&seed) % (1u << (rnd(&seed) % 14)), done = 0;

        n = TOTAL - pos < n ? (uint32_t)(TOTAL - pos) : n;
        for (uint32_t i = 0; i < n; i++)
            b[i] = stream_byte(pos + i);
        while (done < n && !w->a.error) {
            int64_t got = svm_fifo_enqueue(p, b + done, n - done);

            if (got < 0) {
                w->a.error = "enqueue";
                break;
            }
            done += (uint32_t)got;
            if (got && svm_fifo_prod_event_due(p))
                post(&w->a, SVM_MSG_DATA, p->evt_seq);
            if (done < n && !svm_fifo_prod_want_space(p, 1 + rnd(&seed) % (n - done)) && !wait_message(&w->a, &m))
                break;
        }
        pos += n;
        if (rnd(&seed) % 64 == 0)
            svm_fifo_prod_give_back(p);
    }
    svm_fifo_prod_set_fin(p);
    if (svm_fifo_prod_event_due(p))
        post(&w->a, SVM_MSG_DATA, p->evt_seq);
    return NULL;
}

static void *consume(void *arg)
{
    struct world *w = arg;
    struct svm_fifo_cons *c = &w->t.c;
    static uint8_t b[MAX];
    uint64_t seed = 11, pos = 0;

    while (!w->b.error) {
        struct svm_msg m;
        int64_t got;
        bool more;

        if (!wait_message(&w->b, &m))
            break;
        svm_fifo_cons_event_taken(c, (uint32_t)m.u.value);
        if (w->edge)
            svm_fifo_cons_arm(c);
        do {
            bool fin = svm_fifo_cons_is_fin(c);

            while ((got = svm_fifo_dequeue(c, b, 1 + rnd(&seed) % MAX)) > 0) {
                for (int64_t i = 0; i < got; i++) {
                    if (b[i] != stream_byte(pos + (uint64_t)i))
                        w->b.error = "wrong byte";
                }
                pos += (uint64_t)got;
                if (svm_fifo_cons_space_due(c))
                    post(&w->b, SVM_MSG_SPACE, 0);
            }
            if (got < 0)
                w->b.error = "dequeue";
            if (fin || w->b.error) {
                if (pos != TOTAL && !w->b.error)
                    w->b.error = "FIN before the last byte";
                return NULL;
            }
            more = w->edge ? false : svm_fifo_cons_arm(c);
        } while (more);
    }
    return NULL;
}

static void side_open(struct side *s, struct side *peer, uint8_t *out, uint8_t *in)
{
    struct svm_msgq_desc d = { .prod_off = 0, .entries_off = 64, .cons_off = 64 + 64 * QUEUE, .log2 = 4 };
    uint64_t size = 128 + 64 * QUEUE;

    s->peer = peer;
    if (pipe(s->bell) < 0 || svm_msgq_prod_init(&s->out, &d, out, size, out, size) < 0 ||
        svm_msgq_cons_init(&s->in, &d, in, size, in, size) < 0)
        s->error = "setup";
}

static int run(int number, int edge, uint32_t first_pos)
{
    struct world *w = aligned_alloc(64, sizeof(*w));
    pthread_t a, b;
    const char *error;

    memset(w, 0, sizeof(*w));
    w->edge = edge;
    pair_open(&w->t, MAX, 1 << 18, first_pos);
    side_open(&w->a, &w->b, w->q[0], w->q[1]);
    side_open(&w->b, &w->a, w->q[1], w->q[0]);
    pthread_create(&a, NULL, produce, w);
    pthread_create(&b, NULL, consume, w);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    error = w->a.error ? w->a.error : w->b.error;
    printf("%s %d - %s-triggered from position %u%s%s\n", error ? "not ok" : "ok", number, edge ? "edge" : "level",
           (unsigned)first_pos, error ? ": " : "", error ? error : "");
    printf("# slept %lu and %lu times, %u generations\n", w->a.sleeps, w->b.sleeps, w->t.p.gen);
    for (int i = 0; i < 2; i++) {
        close(w->a.bell[i]);
        close(w->b.bell[i]);
    }
    pair_close(&w->t);
    free(w);
    return error ? 1 : 0;
}

/* --tap=FILE: where tests/run-criterion.sh wants the report. */
int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1 && (strncmp(argv[1], "--tap=", 6) != 0 || !freopen(argv[1] + 6, "w", stdout))) {
        fprintf(stderr, "usage: %s [--tap=FILE]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..4\n");
    failed |= run(1, 0, 0);
    failed |= run(2, 1, 0);
    failed |= run(3, 0, 0u - (TOTAL / 2));
    failed |= run(4, 1, 0u - (TOTAL / 2));
    return failed;
}
