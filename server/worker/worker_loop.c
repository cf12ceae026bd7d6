/* worker_loop.c - the thread around worker_step(): spins a little, announces that it sleeps, looks once more, sleeps */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include "common/clock.h"
#include "server/app/app_port.h"
#include "server/worker/worker_private.h"
#include "svm/svm_msgq.h"

enum loop_times_us {
    SPIN_US = 50,               /* waking a sleeper costs between 5 and 40, by machine */
    SHORT_US = 100,             /* a sleep that was not longer would have been worth it */
    SCORE_MAX = 8,
    DESCHEDULED_US = 100,       /* the core came back later, and still there is no work: others compute on it */
    KEPT_US = 2000,             /* so much later: they do, even if there is work; another core may be better, if we have not tried for ... */
    MOVE_AGAIN_US = 100000,
    NO_SPIN_US = 20000,         /* how long not to spin after that: the core is shared; if it is the next time too, for twice as long, ... */
    NO_SPIN_MAX_US = 320000,    /* ... up to this. A turn that was given away comes back after a slice of the kernel's, 4 ms */
    SHARED_NO_MORE_US = 100000, /* spinning went well for so long */
    POLL_BUSY_US = 80,          /* ports without a wait descriptor: interval soon after traffic ... */
    POLL_IDLE_US = 1000,        /* ... and when there has been none for ... */
    POLL_RELAX_US = 50000,      /* ... so long */
    NAP_US = 5000,              /* longer than a tick of the kernel: its timer seldom has to be set for that */
};
enum { BELL_EVENT_FD, BELL_APP, BELL_PORT };

bool worker_is_here(const struct worker *w)
{
    if (__atomic_load_n(&w->stack->priv->n_threads, __ATOMIC_ACQUIRE) == 0)
        return true; /* before the start, after the end, and tests that step workers themselves */
    return __atomic_load_n(&w->priv->self, __ATOMIC_RELAXED) == (uintptr_t)pthread_self();
}

bool worker_is_running(const struct worker *w)
{
    return w->priv->has_thread;
}

void worker_wake(struct worker *w)
{
    uint64_t one = 1;

    /* Pairs with the fence in go_to_sleep(): either the worker sees what was queued, or we see that it sleeps. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&w->priv->is_sleeping, __ATOMIC_RELAXED) ||
        !__atomic_exchange_n(&w->priv->is_sleeping, false, __ATOMIC_ACQ_REL))
        return;
    ssize_t n = write(w->priv->event_fd, &one, sizeof(one));
    (void)n; /* full = readable already */
}

static void set_interrupts(struct worker *w, bool on)
{
    struct stack *s = w->stack;

    for (unsigned i = 0; i < s->n_ports; i++)
        for (unsigned q = w->index; s->port[i]->ops->rx_intr && q < s->port[i]->n_rx_queues; q += s->n_workers)
            s->port[i]->ops->rx_intr(s->port[i], q, on);
}

/* How long the worker may sleep; 0 = not at all. */
static uint64_t sleep_time_us(const struct worker *w, uint64_t now_us)
{
    uint64_t next = worker_next_event_us(w), limit = UINT64_MAX;

    if (w->priv->must_poll)
        limit = now_us - w->priv->active_us < POLL_RELAX_US ? POLL_BUSY_US : POLL_IDLE_US;
    if (next == UINT64_MAX)
        return limit;
    uint64_t wait = next > now_us ? next - now_us : 0;
    return wait < limit ? wait : limit;
}

static void wait_for_events(struct worker *w, uint64_t us)
{
    struct worker_private *p = w->priv;
    struct timespec ts = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
    struct epoll_event ev[STACK_MAX_PORTS + 2];
    uint64_t drain;

    int n = epoll_pwait2(p->epfd, ev, (int)HS_ARRAY_LEN(ev), us == UINT64_MAX ? NULL : &ts, NULL);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u32 == BELL_EVENT_FD && read(p->event_fd, &drain, sizeof(drain)) < 0)
            continue; /* read by nobody else: cannot be empty; and if it were, nothing is lost */
        if (ev[i].data.u32 == BELL_APP)
            app_port_clear_bells(w);
    }
}

static void go_to_sleep(struct worker *w)
{
    struct worker_private *p = w->priv;
    struct svm_sleep_line *line = app_port_sleep_line(w);
    bool is_nap = app_port_is_to_nap(w);

    if (line && is_nap)
        svm_nap_begin(line);
    else if (line)
        svm_sleep_begin(line);
    __atomic_store_n(&p->is_sleeping, true, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the fence in worker_wake() and those of clients */
    set_interrupts(w, true);
    uint64_t now = clock_now_us();
    /* Whatever came before the announcement was seen is found by this turn; what comes after it rings. */
    if (worker_step(w, now) == 0 && !app_port_has_work(w) && !__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
        uint64_t us = sleep_time_us(w, clock_now_us());
        if (is_nap && us > NAP_US)
            us = NAP_US;
        if (us > 0) {
            worker_count(&p->counters.sleeps, 1);
            wait_for_events(w, us);
        }
    }
    set_interrupts(w, false);
    __atomic_store_n(&p->is_sleeping, false, __ATOMIC_RELAXED);
    if (line)
        svm_sleep_end(line);
}

static void learn(struct worker_private *p, bool was_quick)
{
    p->spin_against += was_quick ? -1 : 2;
    if (p->spin_against > SCORE_MAX || p->spin_against < -SCORE_MAX)
        p->spin_against = p->spin_against > 0 ? SCORE_MAX : -SCORE_MAX;
}

/* To the next of the cores that the kernel lets us use, which may choose another later. */
static bool change_core(struct worker_private *p)
{
    cpu_set_t all, one;
    int core = sched_getcpu();

    if (p->opt.core >= 0 || core < 0 || sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) < 2)
        return false;
    do
        core = (core + 1) % CPU_SETSIZE;
    while (!CPU_ISSET(core, &all));
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0)
        return false;
    sched_setaffinity(0, sizeof(all), &all);
    return true;
}

/* Somebody computes on this core and does not give it away: we are with somebody else better off, who does; else it is not for spinning. */
static void core_is_shared(struct worker_private *p, uint64_t now_us)
{
    bool was_long = p->kept_us > KEPT_US;

    p->kept_us = 0;
    if (was_long && now_us - p->moved_us > MOVE_AGAIN_US) {
        p->moved_us = now_us;
        if (change_core(p))
            return;
    }
    if (p->no_spin_us == 0 || now_us - p->no_spin_until_us > SHARED_NO_MORE_US)
        p->no_spin_us = NO_SPIN_US;
    else if (p->no_spin_us < NO_SPIN_MAX_US)
        p->no_spin_us *= 2;
    p->no_spin_until_us = now_us + p->no_spin_us;
}

static void give_core_away(struct worker_private *p)
{
    uint64_t before = clock_now_us(), now;

    sched_yield();
    now = clock_now_us();
    p->kept_us = now - before;
    if (p->kept_us > KEPT_US)
        core_is_shared(p, now);
}

/* Nothing to do: looks on for a while, if work came soon the last times, and gives the core away at each look, so that a program on the
 * same core goes on at once. */
static void adaptive_idle(struct worker *w, uint64_t now_us)
{
    struct worker_private *p = w->priv;

    if (p->idle_since_us == 0) {
        p->idle_since_us = now_us;
        p->slept_us = 0;
    } else if (p->kept_us > DESCHEDULED_US) {
        core_is_shared(p, now_us);
    }
    if (now_us >= p->no_spin_until_us && p->spin_against <= 0) {
        if (now_us - p->idle_since_us < SPIN_US) {
            give_core_away(p);
            return;
        }
        learn(p, false);
    }
    go_to_sleep(w);
    p->slept_us = clock_now_us() - now_us;
    p->idle_since_us = 0;
}

static void found_work(struct worker_private *p)
{
    if (p->idle_since_us || p->slept_us)
        learn(p, p->slept_us < SHORT_US);
    p->idle_since_us = p->slept_us = p->kept_us = 0;
}

static void thread_setup(struct worker *w)
{
    char name[16];

    snprintf(name, sizeof(name), "hs-worker-%u", w->index % 100);
    pthread_setname_np(pthread_self(), name);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* 1 ns: the default of 50 us would delay every TCP timer and poll */
    if (w->priv->opt.core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(w->priv->opt.core, &set);
        pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    }
    rte_thread_register(); /* an lcore id gives the packet pools a cache of this thread; without one they still work */
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    __atomic_store_n(&w->priv->self, (uintptr_t)pthread_self(), __ATOMIC_RELAXED);
    thread_setup(w);
    while (!__atomic_load_n(&w->priv->stop, __ATOMIC_ACQUIRE)) {
        uint64_t now = clock_now_us();
        if (worker_step(w, now) > 0) {
            found_work(w->priv);
        } else if (w->priv->opt.poll_mode == WORKER_POLL_BUSY) {
            rte_pause();
        } else if (w->priv->opt.poll_mode == WORKER_POLL_INTERRUPT) {
            go_to_sleep(w);
        } else {
            adaptive_idle(w, now);
        }
    }
    rte_thread_unregister();
    return NULL;
}

static int watch(struct worker *w, int fd, uint32_t what)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = what };

    return epoll_ctl(w->priv->epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static int watch_sources(struct worker *w)
{
    struct stack *s = w->stack;
    int fd, rc;

    if ((rc = watch(w, w->priv->event_fd, BELL_EVENT_FD)) != 0)
        return rc;
    if ((fd = app_port_wait_fd(w)) >= 0 && (rc = watch(w, fd, BELL_APP)) != 0)
        return rc;
    w->priv->must_poll = false;
    for (unsigned i = 0; i < s->n_ports; i++) {
        for (unsigned q = w->index; q < s->port[i]->n_rx_queues; q += s->n_workers) {
            fd = s->port[i]->ops->rx_wait_fd ? s->port[i]->ops->rx_wait_fd(s->port[i], q) : -1;
            if (fd < 0)
                w->priv->must_poll = true;
            else if ((rc = watch(w, fd, BELL_PORT)) != 0 && rc != -EEXIST) /* queues may share one */
                return rc;
        }
    }
    return 0;
}

int worker_start(struct worker *w, const struct worker_thread_options *opt)
{
    struct worker_private *p = w->priv;
    sigset_t all, before;
    int rc;

    if (p->has_thread)
        return -EALREADY;
    p->opt = *opt;
    p->stop = false;
    p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    rc = p->event_fd < 0 || p->epfd < 0 ? -errno : watch_sources(w);
    if (rc != 0)
        goto undo_fds;
    sigfillset(&all); /* signals are the control thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->has_thread = true;
    __atomic_fetch_add(&w->stack->priv->n_threads, 1, __ATOMIC_ACQ_REL);
    rc = -pthread_create(&p->thread, NULL, thread_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return 0;
    p->has_thread = false;
    __atomic_fetch_sub(&w->stack->priv->n_threads, 1, __ATOMIC_ACQ_REL);
undo_fds:
    if (p->event_fd >= 0)
        close(p->event_fd);
    if (p->epfd >= 0)
        close(p->epfd);
    p->event_fd = p->epfd = -1;
    return rc;
}

void worker_stop(struct worker *w)
{
    struct worker_private *p = w->priv;
    uint64_t one = 1;

    if (!p->has_thread)
        return;
    __atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
    ssize_t n = write(p->event_fd, &one, sizeof(one));
    (void)n; /* full = readable already */
    pthread_join(p->thread, NULL);
    p->has_thread = false;
    __atomic_store_n(&p->self, 0, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&w->stack->priv->n_threads, 1, __ATOMIC_ACQ_REL);
    close(p->event_fd);
    close(p->epfd);
    p->event_fd = p->epfd = -1;
}

void worker_get_counters(const struct worker *w, struct worker_counters *out)
{
    const uint64_t *from = (const uint64_t *)&w->priv->counters;
    uint64_t *to = (uint64_t *)out;

    for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

uint64_t worker_cycles_hz(void)
{
    return rte_get_tsc_hz();
}

uint64_t worker_cpu_us(const struct worker *w)
{
    struct timespec ts;
    clockid_t clock;

    if (!w->priv->has_thread || pthread_getcpuclockid(w->priv->thread, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

const char *worker_stage_name(enum worker_stage stage)
{
    static const char *const names[WORKER_N_STAGES] = {
        [WORKER_STAGE_RX] = "rx", [WORKER_STAGE_TRANSPORT] = "transport", [WORKER_STAGE_SESSION] = "session",
        [WORKER_STAGE_TX] = "tx", [WORKER_STAGE_EMPTY] = "empty",
    };

    return names[stage];
}
