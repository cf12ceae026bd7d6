/* vcl_set.c - epoll sets: subscriptions, the ready list, and who hears of what
 *
 * A subscription is on its set's ready list while its socket may be ready. Level-triggered ones stay there until a look finds nothing;
 * then the FIFO is armed, and the next event puts them back. Edge-triggered ones are put there by events (`edges` says which), with
 * the FIFO armed as the event is taken, and leave when they are reported. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sys.h"

#define ALWAYS (EPOLLERR | EPOLLHUP)

int vcl_set_new(int kernel_epfd, struct vcl_set **out)
{
    struct vcl_process *p = vcl_process();
    struct vcl_set *set = calloc(1, sizeof(*set));

    if (!set)
        return -ENOMEM;
    atomic_init(&set->refs, 1);
    vcl_lock_init(&set->lock);
    set->epfd = kernel_epfd;
    set->wake_fd = -1;
    set->owner = getpid();
    pthread_mutex_lock(&p->lock);
    set->all_next = p->all_sets;
    p->all_sets = set;
    pthread_mutex_unlock(&p->lock);
    *out = set;
    return 0;
}

int vcl_set_new_for_news(struct vcl_set **out)
{
    int epfd = vcl_fd_keep(sys_epoll_create()), rc;

    if (epfd < 0)
        return epfd;
    rc = vcl_set_new(epfd, out);
    if (rc)
        vcl_fd_close(&epfd);
    else
        (*out)->news = true;
    return rc;
}

struct vcl_set *vcl_set_get(struct vcl_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void vcl_set_renumber(struct vcl_set *set, int from, int to)
{
    vcl_lock_take(&set->lock);
    if (set->epfd == from)
        set->epfd = to;
    vcl_lock_give(&set->lock);
}

/* ---- ready list; set lock held ---- */
static void ready_add(struct vcl_set *set, struct vcl_sub *sub)
{
    if (sub->on_ready || sub->disabled)
        return;
    sub->on_ready = true;
    sub->rdy_next = NULL;
    sub->rdy_prev = set->rdy_tail;
    if (set->rdy_tail)
        set->rdy_tail->rdy_next = sub;
    else
        atomic_store_explicit(&set->rdy_head, sub, memory_order_relaxed);
    set->rdy_tail = sub;
}

static void ready_remove(struct vcl_set *set, struct vcl_sub *sub)
{
    if (!sub->on_ready)
        return;
    sub->on_ready = false;
    if (sub->rdy_prev)
        sub->rdy_prev->rdy_next = sub->rdy_next;
    else
        atomic_store_explicit(&set->rdy_head, sub->rdy_next, memory_order_relaxed);
    if (sub->rdy_next)
        sub->rdy_next->rdy_prev = sub->rdy_prev;
    else
        set->rdy_tail = sub->rdy_prev;
}

/* A thread asleep in the set, or somebody who watches the set's kernel descriptor, shall look. */
static void wake_set(struct vcl_set *set)
{
    uint64_t one = 1;

    if (set->wake_fd < 0 || set->wake_pending || (!set->n_waiting && !set->nested))
        return;
    set->wake_pending = true;
    if (sys_write(set->wake_fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable */
}

void vcl_set_clear_wake(struct vcl_set *set)
{
    uint64_t n;

    if (!set->wake_pending || set->n_interrupts) /* the thread that it is for has not woken yet */
        return;
    set->wake_pending = false;
    if (sys_read(set->wake_fd, &n, sizeof(n)) < 0)
        return;
}

static bool is_edge(const struct vcl_sub *sub) { return sub->events & EPOLLET; }

/* Linux (sock_wake_async): who sleeps in a read hears of the bytes, and no signal is sent for them. */
static bool is_read_by_sleeper(const struct vcl_socket *s)
{
    for (const struct vcl_waiter *wt = s->waiters; wt; wt = wt->next)
        if (wt->reads)
            return true;
    return false;
}

static void arm_for(struct vcl_sub *sub, uint32_t have)
{
    uint32_t missing = sub->events & ~have;

    if (vcl_state(sub->s) == VCL_LISTENING && !vcl_sctp_is_many(sub->s))
        return;
    /* Also for who wants no bytes: a reset and the end are told to everybody. */
    if ((missing & (EPOLLIN | EPOLLRDHUP | EPOLLRDNORM) || !(sub->events & (EPOLLIN | EPOLLRDHUP | EPOLLRDNORM))) && vcl_arm_read(sub->s))
        sub->rearm = true;
    if (missing & (EPOLLOUT | EPOLLWRNORM) && vcl_arm_write(sub->s))
        sub->rearm = true;
}

void vcl_set_notify(struct vcl_socket *s, uint32_t events)
{
    bool edge = false, slept = s->waiters && is_read_by_sleeper(s);

    if (s->waiters)
        vcl_waiter_wake_all(s);
    if (s->sctp && s->sctp->parent) /* the end of one of many is something to read */
        vcl_set_notify(s->sctp->parent, (events & EPOLLOUT) | (events & ~(uint32_t)EPOLLOUT ? EPOLLIN : 0));
    if (!events)
        return;
    events |= (events & EPOLLIN ? EPOLLRDNORM : 0) | (events & EPOLLOUT ? EPOLLWRNORM : 0);
    for (struct vcl_sub *sub = s->subs; sub; sub = sub->s_next) {
        struct vcl_set *set = sub->set;

        vcl_lock_take(&set->lock);
        set->has_listener = set->has_listener || vcl_state(s) == VCL_LISTENING;
        if (!sub->disabled && events & (sub->events | ALWAYS)) {
            edge = edge || is_edge(sub);
            sub->edges |= set->news && slept ? events & ~(uint32_t)EPOLLIN : events;
            ready_add(set, sub);
            wake_set(set);
        }
        vcl_lock_give(&set->lock);
    }
    if (edge && events & EPOLLIN && (vcl_state(s) != VCL_LISTENING || vcl_sctp_is_many(s)))
        vcl_arm_read(s); /* the event is taken: the next bytes are a new edge */
}

/* ---- subscriptions ---- */
static struct vcl_sub *find(struct vcl_set *set, struct vcl_socket *s, int key)
{
    struct vcl_sub *sub = s->subs;

    while (sub && (sub->set != set || sub->key != key))
        sub = sub->s_next;
    return sub;
}

static bool wants_in(const struct vcl_sub *sub)
{
    return sub->events & (EPOLLIN | EPOLLRDNORM);
}

/* Listeners: only processes that wait for connections are given some. Worker lock held. */
static void count_in(struct vcl_socket *s, int delta)
{
    if (!delta)
        return;
    s->n_in_subs += (uint32_t)delta;
    if (vcl_state(s) != VCL_LISTENING)
        return;
    if (delta > 0) {
        vcl_accept_arm(s, VCL_ARM_ON);
    } else if (s->n_in_subs == 0) {
        vcl_accept_stop(s);
    }
}

/* A stream that is not connected: epoll has told EPOLLOUT | EPOLLHUP of it, once, and the next edge is its connection. */
static bool is_told_of_nothing(const struct vcl_socket *s)
{
    return !s->is_dgram && (vcl_state(s) == VCL_NEW || vcl_state(s) == VCL_BOUND);
}

enum start { START_FRESH, START_MOVED, START_SPENT };

/* What is ready now counts as an edge: at add and at mod, as in Linux. Worker lock held. */
static void start_sub(struct vcl_sub *sub, enum start how)
{
    struct vcl_set *set = sub->set;

    vcl_lock_take(&set->lock);
    set->has_listener = set->has_listener || vcl_state(sub->s) == VCL_LISTENING;
    sub->disabled = how == START_SPENT;
    if (sub->disabled || (how == START_MOVED && is_edge(sub) && is_told_of_nothing(sub->s))) {
        sub->edges = 0;
    } else if (set->news) { /* woken all the same: its sleeper may not have announced itself to this worker yet */
        arm_for(sub, 0);
        sub->rearm = false;
    } else {
        sub->edges = ~0u;
        ready_add(set, sub);
    }
    wake_set(set);
    vcl_lock_give(&set->lock);
}

/* Peers ring for every event from now on, as if it always slept. Worker lock held. */
static void make_eager(struct vcl_worker *w)
{
    if (!atomic_exchange(&w->eager, true) && w->page)
        svm_sleep_begin(&w->page->sleep);
}

/* The worker's doorbell (and attach socket) into the kernel set, once per worker and attachment. Set lock held. */
static int join_worker(struct vcl_set *set, struct vcl_worker *w)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = VCL_SET_DOORBELL_DATA };
    unsigned i;

    for (i = 0; i < set->n_workers && set->workers[i] != w; i++)
        ;
    if (i == VCL_MAX_SET_WORKERS)
        return -ENOSPC;
    if (i == set->n_workers) {
        set->workers[i] = w;
        set->worker_epoch[i] = 0;
        atomic_store_explicit(&set->n_workers, i + 1, memory_order_release); /* pairs with who goes through them without the lock */
    }
    if (set->wake_fd < 0) {
        set->wake_fd = vcl_fd_keep(sys_eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        if (set->wake_fd < 0)
            return set->wake_fd;
        if (sys_epoll_ctl(set->epfd, EPOLL_CTL_ADD, set->wake_fd, &ev) != 0)
            return -errno;
    }
    if (!atomic_load(&w->attached) || set->worker_epoch[i] == w->epoch)
        return 0;
    if (sys_epoll_ctl(set->epfd, EPOLL_CTL_ADD, w->bell_fd, &ev) != 0 && errno != EEXIST)
        return -errno;
    ev.events = EPOLLRDNORM; /* see drop_internal() (vcl_poll.c) */
    if (sys_epoll_ctl(set->epfd, EPOLL_CTL_ADD, w->att_fd, &ev) != 0 && errno != EEXIST)
        return -errno;
    set->worker_epoch[i] = w->epoch;
    return 0;
}

void vcl_set_join_all(struct vcl_set *set)
{
    for (unsigned i = 0; i < set->n_workers; i++)
        join_worker(set, set->workers[i]);
}

static int add(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev, enum start how)
{
    struct vcl_sub *sub;
    int rc;

    /* A fork's child that waits for what it has inherited begins to use it. Without a server it may wait all the same. */
    vcl_socket_enter_soon(s);
    sub = calloc(1, sizeof(*sub));
    if (!sub)
        return -ENOMEM;
    *sub = (struct vcl_sub){ .set = set, .s = s, .key = key, .events = ev->events, .data = ev->data.u64 };
    pthread_mutex_lock(&s->w->lock);
    rc = find(set, s, key) ? -EEXIST : 0;
    if (!rc) {
        vcl_lock_take(&set->lock);
        rc = join_worker(set, s->w);
        if (!rc) {
            sub->set_next = set->subs;
            if (set->subs)
                set->subs->set_prev = sub;
            set->subs = sub;
        }
        vcl_lock_give(&set->lock);
    }
    if (!rc) {
        if (set->nested)
            make_eager(s->w);
        sub->s_next = s->subs;
        s->subs = sub;
        start_sub(sub, how);
        count_in(s, wants_in(sub));
    }
    pthread_mutex_unlock(&s->w->lock);
    if (rc)
        free(sub);
    else if (set->nested)
        vcl_set_settle(set);
    return rc;
}

int vcl_set_add(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev)
{
    /* epoll_ctl(2): what may stand beside EPOLLEXCLUSIVE. Every set hears, which is more than "one or more". */
    const uint32_t may = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

    if (ev->events & EPOLLEXCLUSIVE && ev->events & ~may)
        return -EINVAL;
    return add(set, s, key, ev, START_FRESH);
}

int vcl_set_move(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev, bool is_spent)
{
    return add(set, s, key, ev, is_spent ? START_SPENT : START_MOVED);
}

int vcl_set_mod(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev)
{
    struct vcl_sub *sub;
    bool is_exclusive = ev->events & EPOLLEXCLUSIVE;
    int before;

    pthread_mutex_lock(&s->w->lock);
    sub = find(set, s, key);
    is_exclusive = is_exclusive || (sub && sub->events & EPOLLEXCLUSIVE);
    if (sub && !is_exclusive) {
        before = wants_in(sub);
        vcl_lock_take(&set->lock);
        sub->events = ev->events;
        sub->data = ev->data.u64;
        vcl_lock_give(&set->lock);
        start_sub(sub, START_FRESH);
        count_in(s, (int)wants_in(sub) - before);
    }
    pthread_mutex_unlock(&s->w->lock);
    if (sub && set->nested)
        vcl_set_settle(set);
    return is_exclusive ? -EINVAL : sub ? 0 : -ENOENT;
}

/* Worker lock held. */
static void unlink_sub(struct vcl_sub *sub)
{
    struct vcl_set *set = sub->set;
    struct vcl_sub **at = &sub->s->subs;

    while (*at != sub)
        at = &(*at)->s_next;
    *at = sub->s_next;
    vcl_lock_take(&set->lock);
    ready_remove(set, sub);
    if (sub->set_prev)
        sub->set_prev->set_next = sub->set_next;
    else
        set->subs = sub->set_next;
    if (sub->set_next)
        sub->set_next->set_prev = sub->set_prev;
    vcl_lock_give(&set->lock);
    free(sub);
}

int vcl_set_del(struct vcl_set *set, struct vcl_socket *s, int key)
{
    struct vcl_sub *sub;

    pthread_mutex_lock(&s->w->lock);
    sub = find(set, s, key);
    if (sub) {
        int in = wants_in(sub);

        unlink_sub(sub);
        count_in(s, -in);
    }
    pthread_mutex_unlock(&s->w->lock);
    return sub ? 0 : -ENOENT;
}

void vcl_set_forget(struct vcl_socket *s)
{
    vcl_accept_unstop(s);
    while (s->subs)
        unlink_sub(s->subs);
}

void vcl_set_put(struct vcl_set *set)
{
    struct vcl_process *p = vcl_process();
    struct vcl_set **at;

    if (atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (;;) {
        struct vcl_socket *s;
        struct vcl_worker *w;

        vcl_lock_take(&set->lock);
        s = set->subs ? set->subs->s : NULL;
        w = s ? s->w : NULL;
        vcl_lock_give(&set->lock);
        if (!s)
            break;
        pthread_mutex_lock(&w->lock); /* the socket may have gone meanwhile: look again under both locks */
        if (set->subs && set->subs->s == s) {
            struct vcl_sub *sub = set->subs;
            int in = wants_in(sub);

            unlink_sub(sub);
            count_in(s, -in);
        }
        pthread_mutex_unlock(&w->lock);
    }
    pthread_mutex_lock(&p->lock);
    for (at = &p->all_sets; *at && *at != set; at = &(*at)->all_next)
        ;
    if (*at)
        *at = set->all_next;
    pthread_mutex_unlock(&p->lock);
    vcl_fd_close(&set->wake_fd);
    if (set->news)
        vcl_fd_close(&set->epfd);
    free(set);
}

/* ---- taking events ---- */
static uint32_t look(struct vcl_sub *sub)
{
    uint32_t ev = vcl_poll_now(sub->s);

    if (ev & EPOLLIN)
        ev |= EPOLLRDNORM;
    if (ev & EPOLLOUT)
        ev |= EPOLLWRNORM;
    return ev & (sub->events | ALWAYS);
}

/* What has happened; of more than one thing what is still so, and states that are none any more are no news. */
static uint32_t take_news(struct vcl_sub *sub)
{
    uint32_t told = sub->edges & (sub->events | ALWAYS), now = look(sub), doubtful = EPOLLHUP | EPOLLERR | EPOLLRDHUP;

    sub->edges = 0;
    if (told & EPOLLIN && told & EPOLLOUT)
        doubtful |= EPOLLIN | EPOLLOUT;
    return told & (now | ~doubtful);
}

/* Up to max events off the ready list; each subscription is looked at once. Takes the set lock. */
int vcl_set_collect(struct vcl_set *set, struct epoll_event *events, int max)
{
    struct vcl_sub *sub, *next, *last;
    int n = 0;

    vcl_lock_take(&set->lock);
    vcl_set_clear_wake(set);
    last = set->rdy_tail;
    for (sub = set->rdy_head; sub && n < max; sub = next) {
        uint32_t ev = look(sub);

        next = sub == last ? NULL : sub->rdy_next;
        if (set->news) {
            ready_remove(set, sub);
            ev = take_news(sub);
            arm_for(sub, ev & EPOLLOUT);
            sub->rearm = false;
        } else if (is_edge(sub)) {
            ready_remove(set, sub);
            ev = sub->edges ? ev : 0;
            sub->edges = 0;
            arm_for(sub, ev & EPOLLOUT);
            if (sub->rearm) /* it became ready between the look and the arming: that is an edge */
                ev = look(sub);
            sub->rearm = false;
        } else if (!ev) {
            ready_remove(set, sub);
            sub->rearm = false;
            arm_for(sub, 0);
            if (sub->rearm || look(sub)) {
                sub->rearm = false;
                ev = look(sub);
                ready_add(set, sub);
            }
        } else {
            ready_remove(set, sub); /* to the end: the others have their turn first */
            ready_add(set, sub);
        }
        if (!ev)
            continue;
        events[n].events = ev;
        events[n].data.u64 = sub->data;
        n++;
        if (sub->events & EPOLLONESHOT) {
            ready_remove(set, sub);
            sub->disabled = true;
        }
    }
    if (set->nested && set->rdy_head)
        wake_set(set);
    vcl_lock_give(&set->lock);
    return n;
}

bool vcl_set_take_twin(struct vcl_set *set, struct epoll_event *ev)
{
    struct vcl_sub *sub;
    bool is_first;

    vcl_lock_take(&set->lock);
    for (sub = set->subs; sub && !(sub->key == (int)(uint32_t)ev->data.u64 && sub->events & EPOLLONESHOT); sub = sub->set_next)
        ;
    is_first = sub && !sub->disabled;
    if (is_first) {
        ready_remove(set, sub);
        sub->disabled = true;
        ev->data.u64 = sub->data;
    }
    vcl_lock_give(&set->lock);
    return is_first;
}

/* ---- in a fork's child ---- */
static bool is_in(const struct vcl_socket *s, const struct vcl_set *set)
{
    const struct vcl_sub *sub = s->subs;

    while (sub && sub->set != set)
        sub = sub->s_next;
    return sub != NULL;
}

/* What is in the set is looked at anew; what the parent uses is asked for as it is found not to be here (vcl_claim_want()). */
static void worker_in_child(struct vcl_set *set, struct vcl_worker *w)
{
    bool is_attached = vcl_worker_attach(w) == 0; /* without a server it waits all the same */

    pthread_mutex_lock(&w->lock);
    vcl_lock_take(&set->lock);
    join_worker(set, w);
    for (struct vcl_sub *sub = set->subs; sub; sub = sub->set_next) {
        if (!sub->inherited || sub->s->w != w)
            continue;
        sub->inherited = false;
        if (is_attached)
            sub->s->epoch = w->epoch;
        sub->edges = ~0u;
        ready_add(set, sub);
    }
    wake_set(set);
    vcl_lock_give(&set->lock);
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *s = w->table[i];

        if (s && vcl_state(s) == VCL_LISTENING && s->n_in_subs && is_in(s, set))
            vcl_accept_arm(s, VCL_ARM_ON);
    }
    if (set->nested)
        make_eager(w);
    pthread_mutex_unlock(&w->lock);
}

void vcl_set_in_child(struct vcl_set *set)
{
    struct vcl_worker *workers[VCL_MAX_SET_WORKERS];
    unsigned n;

    vcl_lock_take(&set->lock);
    n = set->inherited ? set->n_workers : 0;
    set->inherited = false;
    memcpy(workers, set->workers, n * sizeof(workers[0]));
    vcl_lock_give(&set->lock);
    for (unsigned i = 0; i < n; i++)
        worker_in_child(set, workers[i]);
}

/* ---- sets inside of others ---- */
void vcl_set_nest(struct vcl_set *set)
{
    bool before;

    vcl_lock_take(&set->lock);
    before = set->nested;
    set->nested = true;
    vcl_lock_give(&set->lock);
    if (before)
        return;
    for (unsigned i = 0; i < set->n_workers; i++) {
        pthread_mutex_lock(&set->workers[i]->lock);
        make_eager(set->workers[i]);
        pthread_mutex_unlock(&set->workers[i]->lock);
    }
    vcl_set_settle(set);
}

bool vcl_set_settle(struct vcl_set *set)
{
    struct vcl_sub *sub, *next, *last;
    bool ready;

    if (hs_unlikely(set->inherited))
        vcl_set_in_child(set);
    for (unsigned i = 0; i < set->n_workers; i++) {
        pthread_mutex_lock(&set->workers[i]->lock);
        vcl_worker_bell_drain(set->workers[i]);
        if (!set->workers[i]->sandboxed)
            vcl_worker_att_input(set->workers[i]);
        vcl_worker_drain(set->workers[i]);
        pthread_mutex_unlock(&set->workers[i]->lock);
    }
    vcl_lock_take(&set->lock);
    last = set->rdy_tail;
    for (sub = set->rdy_head; sub; sub = next) {
        next = sub == last ? NULL : sub->rdy_next;
        if (look(sub))
            continue;
        ready_remove(set, sub);
        sub->rearm = false;
        arm_for(sub, 0);
        if (look(sub)) /* it became ready between the look and the arming */
            ready_add(set, sub);
        sub->rearm = false;
    }
    ready = set->rdy_head != NULL;
    if (ready)
        wake_set(set);
    else
        vcl_set_clear_wake(set);
    vcl_lock_give(&set->lock);
    return ready;
}

bool vcl_set_has_rung(struct vcl_set *set)
{
    struct pollfd own[1 + 2 * VCL_MAX_SET_WORKERS];
    unsigned n = 0;

    vcl_lock_take(&set->lock);
    own[n++] = (struct pollfd){ .fd = set->wake_fd, .events = POLLIN };
    for (unsigned i = 0; i < set->n_workers; i++) {
        own[n++] = (struct pollfd){ .fd = set->workers[i]->bell_fd, .events = POLLIN };
        own[n++] = (struct pollfd){ .fd = set->workers[i]->att_fd, .events = POLLIN };
    }
    vcl_lock_give(&set->lock);
    return sys_ppoll(own, n, &(struct timespec){ 0, 0 }, NULL) > 0;
}
