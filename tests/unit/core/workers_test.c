/* workers_test.c - several workers: who owns a packet, listeners on all of them, hand-over, commands, threads that sleep */
#include "tests/unit/core/core_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/clock.h"
#include "server/app/app_internal.h"
#include "server/session/session_internal.h"
#include "server/worker/worker_private.h"
#include "server/worker/worker_thread.h"

enum { N_WORKERS = 3, N_CONNS = 60 };
static struct core_fixture fx; /* criterion runs each test in a process of its own */

static void setup(void)
{
    core_eal_init();
    core_fixture_make(&fx, 7, N_WORKERS, NULL);
}

static void teardown(void)
{
    core_fixture_end(&fx);
}

TestSuite(workers, .init = setup, .fini = teardown);

Test(workers, rss_spreads_and_is_stable)
{
    unsigned hits[N_WORKERS] = { 0 };
    struct ip_endpoint src = core_endpoint("10.7.0.1", 0), dst = core_endpoint("10.7.0.2", 80);

    for (unsigned port = 1024; port < 1024 + 3000; port++) {
        src.port = be16_of((uint16_t)port);
        unsigned owner = worker_rss_owner(fx.stack[0], IPPROTO_TCP, &src, &dst);
        cr_assert_lt(owner, N_WORKERS);
        cr_assert_eq(owner, worker_rss_owner(fx.stack[0], IPPROTO_TCP, &src, &dst));
        hits[owner]++;
    }
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert(hits[i] > 700 && hits[i] < 1300, "worker %u has %u of 3000", i, hits[i]);
}

Test(workers, udp_ports_come_to_who_claimed_them)
{
    struct ip_endpoint src = core_endpoint("10.7.0.1", 1), dst = core_endpoint("10.7.0.2", 53);

    worker_rss_udp_claim(fx.stack[0], dst.port, 2, WORKER_UDP_WILDCARD, true);
    for (unsigned port = 1; port < 200; port++) {
        src.port = be16_of((uint16_t)port);
        cr_assert_eq(worker_rss_owner(fx.stack[0], IPPROTO_UDP, &src, &dst), 2);
    }
    worker_rss_udp_claim(fx.stack[0], dst.port, 2, WORKER_UDP_WILDCARD, false);
    unsigned others = 0;
    for (unsigned port = 1; port < 200; port++) {
        src.port = be16_of((uint16_t)port);
        others += worker_rss_owner(fx.stack[0], IPPROTO_UDP, &src, &dst) != 2;
    }
    cr_assert_gt(others, 50);
}

static struct sim_app *client[N_WORKERS];

/* Every worker connects from ports whose answers come to it, although the port has one queue, worker 0's. */
Test(workers, connections_of_all_workers)
{
    struct ip_endpoint e = core_endpoint("10.7.0.2", 80), any = core_endpoint("0.0.0.0", 80);
    struct sim_sock *c[N_CONNS], *l;
    struct sim_app *server;

    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], NULL, &server), 0);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &any, 100, &l), 0);
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(sim_app_create(fx.stack[0]->worker[i], NULL, &client[i]), 0);
    for (unsigned i = 0; i < N_CONNS; i++)
        cr_assert_eq(sim_connect(client[i % N_WORKERS], SVM_PROTO_TCP, NULL, &e, &c[i]), 0);
    core_run(&fx, 100000);
    for (unsigned i = 0; i < N_CONNS; i++) {
        struct ip_endpoint from = c[i]->session->rmt, to = c[i]->session->lcl;
        cr_assert_eq(worker_rss_owner(fx.stack[0], IPPROTO_TCP, &from, &to), i % N_WORKERS);
        cr_assert(c[i]->connected, "connection %u: %d", i, c[i]->connect_error);
    }
    for (unsigned i = 0; i < N_WORKERS; i++)
        sim_app_destroy(client[i]);
    sim_app_destroy(server);
}

/* A port that the program has chosen leads to any worker: its connection's packets come to the one that has it, and to no other before and
 * after. */
Test(workers, connections_from_ports_that_were_bound)
{
    struct ip_endpoint e = core_endpoint("10.7.0.2", 80), any = core_endpoint("0.0.0.0", 80), own = core_endpoint("10.7.0.1", 0);
    struct sim_sock *c[N_CONNS], *l;
    unsigned by_hash[N_CONNS], elsewhere = 0;
    struct sim_app *server;

    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], NULL, &server), 0);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &any, 100, &l), 0);
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(sim_app_create(fx.stack[0]->worker[i], NULL, &client[i]), 0);
    for (unsigned i = 0; i < N_CONNS; i++) {
        own.port = be16_of((uint16_t)(2000 + i));
        by_hash[i] = worker_rss_owner(fx.stack[0], IPPROTO_TCP, &e, &own);
        elsewhere += by_hash[i] != i % N_WORKERS;
        cr_assert_eq(sim_connect(client[i % N_WORKERS], SVM_PROTO_TCP, &own, &e, &c[i]), 0);
    }
    cr_assert_gt(elsewhere, N_CONNS / 3);
    core_run(&fx, 100000);
    for (unsigned i = 0; i < N_CONNS; i++) {
        own.port = be16_of((uint16_t)(2000 + i));
        cr_assert(c[i]->connected, "connection %u: %d", i, c[i]->connect_error);
        cr_assert_eq(worker_rss_owner(fx.stack[0], IPPROTO_TCP, &e, &own), i % N_WORKERS);
        session_close(fx.stack[0]->worker[i % N_WORKERS], c[i]->session->app, c[i]->session, 0);
    }
    for (unsigned i = 0; i < N_CONNS; i++) {
        own.port = be16_of((uint16_t)(2000 + i));
        cr_assert_eq(worker_rss_owner(fx.stack[0], IPPROTO_TCP, &e, &own), by_hash[i]);
    }
    for (unsigned i = 0; i < N_WORKERS; i++)
        sim_app_destroy(client[i]);
    sim_app_destroy(server);
}

/* ---- a port that is asked by system calls ---- */

static const struct port_ops *plain_ops;
static unsigned n_asked;

static unsigned counted_rx(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    n_asked++;
    return plain_ops->rx_burst(p, queue, pkts, n);
}

static unsigned asked_in_turns(unsigned n, struct sim_sock *writer, uint64_t *now_us)
{
    unsigned before = n_asked;

    for (unsigned i = 0; i < n; i++) {
        if (writer)
            cr_assert_eq(sim_write(writer, "x", 1), 1);
        worker_step(fx.stack[0]->worker[0], ++*now_us);
    }
    return n_asked - before;
}

Test(workers_port, is_asked_less_while_it_is_quiet_and_there_is_other_work, .init = core_eal_init, .fini = teardown)
{
    struct ip_endpoint at = core_endpoint("10.7.0.1", 80);
    struct sim_sock *l, *c;
    struct sim_app *app;
    struct port_ops counting;
    uint64_t now_us;

    core_fixture_make(&fx, 7, 1, NULL);
    cr_assert_eq(sim_app_create(fx.stack[0]->worker[0], NULL, &app), 0);
    cr_assert_eq(sim_listen(app, SVM_PROTO_TCP, &at, 1, &l), 0);
    cr_assert_eq(sim_connect(app, SVM_PROTO_TCP, NULL, &at, &c), 0);
    core_run(&fx, 100000);
    cr_assert(c->connected);
    struct port *p = fx.stack[0]->port[0];
    plain_ops = p->ops;
    counting = *p->ops;
    counting.rx_burst = counted_rx;
    p->ops = &counting;
    now_us = sim_net_now_us(fx.net) + 1000;
    cr_assert_eq(asked_in_turns(100, c, &now_us), 100, "asking is cheap");
    p->offloads |= PORT_RX_CALL;
    asked_in_turns(10, c, &now_us); /* until it counts as quiet */
    cr_assert_leq(asked_in_turns(100, c, &now_us), 3, "in 100 us, with work in each turn");
    cr_assert_geq(asked_in_turns(100, NULL, &now_us), 95, "an idle worker asks always");
    p->ops = plain_ops;
    sim_app_destroy(app);
}

/* ---- threads ---- */

static int done_pipe[2];

static void tell(struct worker *w, void *arg)
{
    char c = (char)w->index;

    (void)arg;
    cr_assert_eq(write(done_pipe[1], &c, 1), 1);
}

static void ask_neighbour(struct worker *w, void *arg)
{
    struct worker *next = w->stack->worker[(w->index + 1) % N_WORKERS];

    cr_assert_eq(worker_call(next, tell, arg), 0);
}

static uint64_t thread_cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void wait_told(char expect)
{
    struct pollfd p = { .fd = done_pipe[0], .events = POLLIN };
    char c;

    cr_assert_eq(poll(&p, 1, 60000), 1, "no answer within a minute");
    cr_assert_eq(read(done_pipe[0], &c, 1), 1);
    cr_assert_eq(c, expect);
}

/* Commands reach sleeping workers, from outside and from each other; workers in between use no time worth mentioning. */
Test(workers, threads_sleep_and_wake)
{
    struct worker_thread_options opt = { .poll_mode = WORKER_POLL_ADAPTIVE, .core = -1 };
    struct stack_options so = { .n_workers = N_WORKERS, .seed = 1, .n_small_pkts = 512, .n_big_pkts = 8, .pool_name = "threads" };
    struct stack *s;
    struct worker_counters n;
    uint64_t begin_us = clock_now_us() - 1000; /* the counter's frequency is known to about 1 in 1000 of a second */

    cr_assert_eq(pipe(done_pipe), 0);
    cr_assert_eq(stack_create(&so, &s), 0);
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(worker_start(s->worker[i], &opt), 0);
    cr_assert_eq(worker_start(s->worker[0], &opt), -EALREADY);
    for (int round = 0; round < 1000; round++) {
        unsigned i = (unsigned)round % N_WORKERS;
        cr_assert_eq(worker_call(s->worker[i], ask_neighbour, NULL), 0);
        wait_told((char)((i + 1) % N_WORKERS));
    }
    uint64_t used = UINT64_MAX;
    struct pollfd nothing = { .fd = done_pipe[0], .events = POLLIN };
    for (int tries = 0; tries < 5 && used >= 20000; tries++) { /* caches that others have emptied, and a late end of the work before, are no fault */
        uint64_t before = thread_cpu_us();
        cr_assert_eq(poll(&nothing, 1, 1000), 0);
        used = thread_cpu_us() - before;
    }
    cr_assert_lt(used, 20000, "idle workers used %lu us of a second", used);
    for (unsigned i = 0; i < N_WORKERS; i++) {
        worker_get_counters(s->worker[i], &n);
        cr_assert_gt(n.sleeps, 0);
        cr_assert_gt(n.commands, 600);
        uint64_t cycles = 0, used_us = worker_cpu_us(s->worker[i]);
        for (unsigned k = 0; k < WORKER_N_STAGES; k++)
            cycles += n.cycles[k];
        cr_assert_gt(used_us, 0);
        cr_assert_leq(cycles / (worker_cycles_hz() / 1000000), clock_now_us() - begin_us, "more cycles than time went by");
        worker_stop(s->worker[i]);
        cr_assert_not(worker_is_running(s->worker[i]));
        cr_assert_eq(worker_cpu_us(s->worker[i]), 0);
    }
    stack_destroy(s);
}

/* ---- what is set on a listener is so everywhere before the program is told ---- */

static int hold_pipe[N_WORKERS][2];
static struct setting {
    struct session *session;
    int32_t device;
    uint8_t dev[N_WORKERS]; /* what each has at the end */
} setting;

static void hold(struct worker *w, void *arg)
{
    char c;

    tell(w, arg);
    cr_assert_eq(read(hold_pipe[w->index][0], &c, 1), 1);
}

static void hold_begin(struct stack *s, unsigned i)
{
    cr_assert_eq(pipe(hold_pipe[i]), 0);
    cr_assert_eq(worker_call(s->worker[i], hold, NULL), 0);
    wait_told((char)i);
}

static void hold_end(unsigned i)
{
    cr_assert_eq(write(hold_pipe[i][1], "", 1), 1);
    close(hold_pipe[i][1]); /* the worker has the other one yet */
}

static void settled(struct worker *w, struct session_settled *x)
{
    for (unsigned i = 0; i < N_WORKERS; i++) {
        const struct listener *l = listener_of_session(w->stack->worker[i], setting.session->handle);
        setting.dev[i] = l ? l->dev : UINT8_MAX;
    }
    free(x);
    cr_assert_eq(write(done_pipe[1], "!", 1), 1);
}

static void set(struct worker *w, void *arg)
{
    struct session_settled *x = malloc(sizeof(*x));

    cr_assert_not_null(x);
    x->done = settled;
    cr_assert_eq(session_attr_set(w, setting.session, SVM_ATTR_DEVICE, &setting.device, sizeof(setting.device)), 0);
    cr_assert(session_settle(w, setting.session, x));
    tell(w, arg);
}

/* Worker 1 is busy. The others have been through all that came to them: the answer of worker 2 is there before its neighbour's. */
static void set_while_one_is_busy(struct stack *s, int32_t device)
{
    setting.device = device;
    cr_assert_eq(worker_call(s->worker[0], set, NULL), 0);
    wait_told(0);
    cr_assert_eq(worker_call(s->worker[2], ask_neighbour, NULL), 0);
    wait_told(0);
}

static void set_on_all(const char *any)
{
    struct worker_thread_options opt = { .poll_mode = WORKER_POLL_ADAPTIVE, .core = -1 };
    struct stack_options so = { .n_workers = N_WORKERS, .seed = 1, .n_small_pkts = 512, .n_big_pkts = 8, .pool_name = "settle" };
    struct ip_endpoint at = core_endpoint(any, 80);
    struct sim_sock *l;
    struct sim_app *app;
    struct stack *s;

    cr_assert_eq(pipe(done_pipe), 0);
    cr_assert_eq(stack_create(&so, &s), 0);
    cr_assert_eq(sim_app_create(s->worker[0], NULL, &app), 0);
    cr_assert_eq(sim_bind(app, SVM_PROTO_TCP, &at, &l), 0);
    cr_assert_eq(session_listen(s->worker[0], sim_app_worker(app), l->session, 1), -EINPROGRESS);
    setting.session = l->session;
    for (unsigned i = 0; i < N_WORKERS; i++)
        cr_assert_eq(worker_start(s->worker[i], &opt), 0);
    for (int round = 0; round < 20; round++) {
        hold_begin(s, 1);
        set_while_one_is_busy(s, SVM_DEVICE_LO);
        if (round % 2) /* and somebody else asks before that is over */
            set_while_one_is_busy(s, 0);
        hold_end(1);
        for (int i = 0; i <= round % 2; i++)
            wait_told('!');
        close(hold_pipe[1][0]);
        for (unsigned i = 0; i < N_WORKERS; i++)
            cr_assert_eq(setting.dev[i], round % 2 ? 0 : setting.session->dev, "round %d, worker %u: %u", round, i, setting.dev[i]);
        cr_assert_eq(setting.dev[0] != 0, round % 2 == 0);
    }
    for (unsigned i = 0; i < N_WORKERS; i++)
        worker_stop(s->worker[i]);
    sim_app_destroy(app);
    stack_destroy(s);
}
Test(workers, what_is_set_on_a_listener_is_set_on_all_v4) { set_on_all("0.0.0.0"); }
Test(workers, what_is_set_on_a_listener_is_set_on_all_v6) { set_on_all("::"); }

/* ---- listen(): all workers have a copy, or the program is told that not ---- */

static struct beginning {
    struct stack *stack;
    struct sim_app *app;
    struct sim_sock *sock;
    struct app_ops ops;
} beginning;

static void on_listening(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    (void)w;
    cr_assert(a == sim_app_worker(beginning.app) && s == beginning.sock->session);
    cr_assert_eq(error, 0);
    cr_assert_eq(write(done_pipe[1], "!", 1), 1);
}

static void begin(const char *any, const char *name)
{
    struct stack_options so = { .n_workers = N_WORKERS, .seed = 1, .n_small_pkts = 512, .n_big_pkts = 8, .pool_name = name };
    struct ip_endpoint at = core_endpoint(any, 80);
    struct app_worker *a;

    cr_assert_eq(pipe(done_pipe), 0);
    cr_assert_eq(stack_create(&so, &beginning.stack), 0);
    cr_assert_eq(sim_app_create(beginning.stack->worker[0], NULL, &beginning.app), 0);
    cr_assert_eq(sim_bind(beginning.app, SVM_PROTO_TCP, &at, &beginning.sock), 0);
    a = sim_app_worker(beginning.app);
    beginning.ops = *a->ops;
    beginning.ops.listening = on_listening;
    a->ops = &beginning.ops;
}

static void start(unsigned i)
{
    struct worker_thread_options opt = { .poll_mode = WORKER_POLL_ADAPTIVE, .core = -1 };

    cr_assert_eq(worker_start(beginning.stack->worker[i], &opt), 0);
}

static void ask(unsigned i, void (*fn)(struct worker *w, void *arg))
{
    cr_assert_eq(worker_call(beginning.stack->worker[i], fn, NULL), 0);
    wait_told((char)i);
}

static void end(void)
{
    for (unsigned i = 0; i < N_WORKERS; i++)
        worker_stop(beginning.stack->worker[i]);
    sim_app_destroy(beginning.app);
    stack_destroy(beginning.stack);
}

static void listen_on(struct worker *w, void *arg)
{
    cr_assert_eq(session_listen(w, sim_app_worker(beginning.app), beginning.sock->session, 1), -EINPROGRESS);
    tell(w, arg);
}

static void nothing(struct worker *w, void *arg)
{
    (void)w;
    (void)arg;
}

/* The others' answers find no room where it is asked. */
static void home_is_full(const char *any)
{
    unsigned n = 0;

    begin(any, "full");
    for (unsigned i = 0; i < N_WORKERS; i++)
        start(i);
    for (unsigned i = 1; i < N_WORKERS; i++)
        hold_begin(beginning.stack, i);
    ask(0, listen_on);
    hold_begin(beginning.stack, 0);
    while (worker_call(beginning.stack->worker[0], nothing, NULL) == 0)
        n++;
    cr_assert_gt(n, 1000);
    for (unsigned i = 1; i < N_WORKERS; i++) {
        hold_end(i);
        ask(i, tell); /* it has made its copy by then */
    }
    hold_end(0);
    wait_told('!');
    for (unsigned i = 1; i < N_WORKERS; i++)
        cr_assert_not_null(listener_of_session(beginning.stack->worker[i], beginning.sock->session->handle));
    end();
}
Test(workers, listen_is_answered_when_home_was_full_v4) { home_is_full("0.0.0.0"); }
Test(workers, listen_is_answered_when_home_was_full_v6) { home_is_full("::"); }

/* A worker ends before it has made its copy; the listener goes first. */
static void one_stands_still(const char *any)
{
    begin(any, "still");
    start(0);
    start(2);
    ask(0, listen_on);
    ask(2, tell);
    end();
}
Test(workers, a_copy_is_in_the_ring_at_the_end_v4) { one_stands_still("0.0.0.0"); }
Test(workers, a_copy_is_in_the_ring_at_the_end_v6) { one_stands_still("::"); }

/* ---- a worker's ring is full: it hears all the same, later, and nobody waits for it but who has something to tell ---- */

enum { ROUNDS = 200 };

static void fill(unsigned i)
{
    hold_begin(beginning.stack, i);
    while (worker_call(beginning.stack->worker[i], nothing, NULL) == 0)
        ;
}

static void come_and_go(struct worker *w, void *arg)
{
    struct ip_endpoint at = beginning.sock->session->lcl;
    struct app_worker *a = sim_app_worker(beginning.app);

    for (int i = 0; i < ROUNDS; i++) {
        cr_assert_eq(session_listen(w, a, beginning.sock->session, 1), -EINPROGRESS);
        session_close(w, a, beginning.sock->session, -1);
        cr_assert_eq(sim_bind(beginning.app, SVM_PROTO_TCP, &at, &beginning.sock), 0);
    }
    listen_on(w, arg);
}

static void now_end_it(struct worker *w, void *arg)
{
    session_close(w, sim_app_worker(beginning.app), beginning.sock->session, -1);
    tell(w, arg);
}

static unsigned n_copies;
static void count_copies(struct worker *w, void *arg)
{
    n_copies = 0;
    for (const struct listener *l = w->session->replicas; l; l = l->replica_next)
        n_copies++;
    tell(w, arg);
}

static unsigned copies_of(unsigned i)
{
    while (worker_call(beginning.stack->worker[i], count_copies, NULL) != 0) /* what was kept for it fills it again */
        sched_yield();
    wait_told((char)i);
    return n_copies;
}

static void other_is_full(const char *any)
{
    begin(any, "other");
    for (unsigned i = 0; i < N_WORKERS; i++)
        start(i);
    fill(1);
    ask(0, come_and_go);
    ask(0, tell); /* it goes on */
    hold_end(1);
    wait_told('!');
    for (unsigned i = 1; i < N_WORKERS; i++)
        cr_assert_eq(copies_of(i), 1, "worker %u has copies of listeners that have gone, or not of that which is there", i);
    close(hold_pipe[1][0]);
    fill(1);
    ask(0, now_end_it);
    ask(0, tell);
    hold_end(1);
    for (unsigned i = 1; i < N_WORKERS; i++) /* the word comes when there is room */
        while (copies_of(i) != 0)
            ;
    end();
}
Test(workers, listeners_come_and_go_while_another_is_full_v4, .timeout = 120) { other_is_full("0.0.0.0"); }
Test(workers, listeners_come_and_go_while_another_is_full_v6, .timeout = 120) { other_is_full("::"); }

/* What is kept at the end is done, after what is in the rings. */
static void kept_at_the_end(const char *any)
{
    begin(any, "kept");
    start(0);
    while (worker_call(beginning.stack->worker[1], nothing, NULL) == 0)
        ;
    ask(0, come_and_go);
    ask(0, now_end_it);
    end();
}
Test(workers, what_is_kept_at_the_end_is_done_v4) { kept_at_the_end("0.0.0.0"); }
Test(workers, what_is_kept_at_the_end_is_done_v6) { kept_at_the_end("::"); }

/* A transport whose sessions are all on worker 0 has copies nowhere, whatever is set on its listeners. */
Test(workers, no_copies_where_there_need_be_none)
{
    struct transport_ops here_only = *transport_get(SVM_PROTO_TCP);
    int32_t ttl = 9;

    begin("0.0.0.0", "here");
    here_only.is_on_worker_0 = true;
    beginning.sock->session->ops = &here_only;
    cr_assert_eq(session_listen(beginning.stack->worker[0], sim_app_worker(beginning.app), beginning.sock->session, 1), 0);
    cr_assert_eq(session_attr_set(beginning.stack->worker[0], beginning.sock->session, SVM_ATTR_TTL, &ttl, sizeof(ttl)), 0);
    for (unsigned i = 1; i < N_WORKERS; i++)
        cr_assert_null(beginning.stack->worker[i]->session->replicas);
    beginning.sock->session->ops = transport_get(SVM_PROTO_TCP);
    end();
}

/* ---- and a program that tells it things without end waits, not the others ---- */

enum { QUEUE = 256, MANY = 100 };
static struct program {
    struct app_client *c;
    struct app_port_client *pc;
    struct svm_msgq_prod_line in_prod, out_prod;
    struct svm_msgq_cons_line in_cons, out_cons;
    struct svm_msg in[QUEUE], out[QUEUE];
    struct svm_msgq_prod asks;
    struct svm_presence_page page;
} talker, other;

static void attach(struct program *p, struct app_port *port, struct worker *w)
{
    p->c = calloc(1, sizeof(*p->c) + sizeof(p->c->per[0]));
    cr_assert_not_null(p->c);
    p->c->p.base = (uint8_t *)&p->page;
    p->pc = &p->c->per[0];
    *p->pc = (struct app_port_client){
        .client = p->c, .w = w, .has_queues = true, .aw = { .ops = &app_client_ops }, .next = port->clients,
        .in = { .line = &p->in_cons, .peer = &p->in_prod, .entries = p->in, .mask = QUEUE - 1 },
        .out = { .line = &p->out_prod, .peer = &p->out_cons, .entries = p->out, .mask = QUEUE - 1 },
    };
    p->asks = (struct svm_msgq_prod){ .line = &p->in_prod, .peer = &p->in_cons, .entries = p->in, .mask = QUEUE - 1 };
    port->clients = p->pc;
}

static unsigned left_of(const struct program *p)
{
    return p->in_prod.tail - p->in_cons.head;
}

static void talks_without_end(const char *any)
{
    struct session_bind_args args = { .proto = SVM_PROTO_TCP, .flags = SVM_CONN_SCOPE_GLOBAL, .lcl = core_endpoint(any, 80) };
    struct app_port port = { 0 };
    struct svm_msg m = { .type = SVM_MSG_LISTEN, .proto = SVM_PROTO_TCP, .u.value = 1 }, data = { .type = SVM_MSG_DATA };
    struct session *s;

    begin("0.0.0.0", "talker");
    struct worker *w = beginning.stack->worker[0], *full = beginning.stack->worker[1];
    sim_app_destroy(beginning.app);
    port.w = w;
    w->app = &port;
    attach(&other, &port, w);
    attach(&talker, &port, w);
    cr_assert_eq(session_bind(w, &talker.pc->aw, &args, &s), 0);
    cr_assert_eq(session_listen(w, &talker.pc->aw, s, 1), -EINPROGRESS);
    beginning.stack->priv->n_threads = 1; /* from now on calls go by the rings */
    while (worker_call(full, nothing, NULL) == 0)
        ;
    m.handle = s->handle;
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(svm_msgq_post(&talker.asks, &m), 0);
        cr_assert_eq(svm_msgq_post(&other.asks, &data), 0);
    }
    for (int i = 0; i < MANY; i++)
        app_port_input(w);
    cr_assert_eq(left_of(&talker), MANY - APP_BURST, "%u are left", left_of(&talker));
    cr_assert_eq(left_of(&other), 0, "%u are left", left_of(&other));
    cr_assert_not(app_port_has_work(w), "the worker may sleep");
    for (int turns = 0; left_of(&talker); turns++) {
        cr_assert_lt(turns, 2 * MANY);
        cr_assert_gt(worker_run_commands(full), 0);
        worker_sure_run(w);
        app_port_input(w);
    }
    beginning.stack->priv->n_threads = 0;
    session_close(w, &talker.pc->aw, s, -1);
    w->app = NULL;
    for (unsigned i = 0; i < N_WORKERS; i++)
        worker_finish_calls(beginning.stack->worker[i]);
    stack_destroy(beginning.stack);
    free(talker.c);
    free(other.c);
}
Test(workers, who_talks_without_end_waits_v4) { talks_without_end("0.0.0.0"); }
Test(workers, who_talks_without_end_waits_v6) { talks_without_end("::"); }
