/* local_wait.c - cut-through connects that have to wait
 *
 * They find the backlog full: over a network their SYN would be dropped and sent again until there is room or the attempts are used up;
 * here they stand in line. Or nobody is about to accept: somebody who is busy will soon, as a rule, and is joined with; if not, they are
 * connected all the same, as in Linux, through the server. */
#include "server/local/local_internal.h"

#include <errno.h>

enum { ACCEPT_US = 10000, WALK_MAX = 1024, GO_MAX = 64, GO_ON_US = 1000,
       SYN_LIFE_S = 127 }; /* as long as Linux tries on with its tcp_syn_retries of 6 */

/* Associations end as a whole, and their connect waits. */
static bool is_connect(const struct session *s)
{
    return s->local && s->state == SESSION_CONNECTING && s->proto == SVM_PROTO_TCP;
}

static uint32_t now_s(const struct worker *w) { return (uint32_t)(w->now_us / 1000000); }

static struct session *take_first(struct listener *l)
{
    struct session *s = l->wait;

    l->wait = s->queue_next;
    if (!l->wait)
        l->wait_tail = &l->wait;
    s->local_in_line = false;
    s->from = (struct svm_handle){ 0, 0 };
    return s;
}

static void start_timer(struct listener *l)
{
    uint32_t now = now_s(l->w), left = l->wait->wait_until_s > now ? l->wait->wait_until_s - now : 1;

    timer_start(&l->w->timers, &l->wait_timer, l->w->now_us + left * 1000000ull);
}

static void expire(struct worker *w, struct timer_node *t)
{
    struct listener *l = hs_container_of(t, struct listener, wait_timer);

    while (l->wait && l->wait->wait_until_s <= now_s(w))
        local_fail(w, take_first(l), -ETIMEDOUT);
    if (l->wait)
        start_timer(l);
}

void local_wait_add(struct worker *w, struct listener *l, struct session *s)
{
    s->local_in_line = true;
    s->from = l->handle;
    s->wait_until_s = now_s(w) + SYN_LIFE_S;
    s->queue_next = NULL;
    *l->wait_tail = s;
    l->wait_tail = &s->queue_next;
    l->wait_timer.fire = expire;
    if (!timer_is_running(&l->wait_timer))
        start_timer(l);
}

void local_wait_remove(struct listener *l, struct session *s)
{
    for (struct session **p = &l->wait; *p; p = &(*p)->queue_next) {
        if (*p != s)
            continue;
        *p = s->queue_next;
        if (!*p)
            l->wait_tail = p;
        break;
    }
    s->local_in_line = false;
}

/* An offer that fails at once makes room again: one loop for all of them, not a call within a call. Who goes through the server has waited
 * for longer. */
void local_wait_go_on(struct listener *l)
{
    if (l->is_waking)
        return;
    l->is_waking = true;
    local_relay_go_on(l);
    while (l->wait && listener_backlog_room(l) != 0) {
        struct session *s = take_first(l);

        s->from = l->handle;
        l->n_waiting++;
        listener_offer(l->w, l, s);
    }
    l->is_waking = false;
    if (!l->wait)
        timer_stop(&l->wait_timer, &l->w->timers);
}

void local_wait_through(struct worker *w, struct listener *l, struct session *s)
{
    int err;

    l->is_waking = true; /* its place in the backlog stays its own */
    listener_taken(w, s);
    s->local = false;
    s->flags &= (uint8_t)~SVM_CONN_LOCAL;
    err = local_relay_connect(w, l, s);
    l->is_waking = false;
    if (err != 0)
        local_fail(w, s, err);
    local_wait_go_on(l); /* it was not, or others were there first */
}

/* A queue of thousands keeps nobody else waiting: some at a time, and who is further behind waits until somebody accepts. */
static void nobody_accepts(struct worker *w, struct timer_node *t)
{
    struct listener *l = hs_container_of(t, struct listener, queue_timer);
    struct session *s = l->queue, *next;
    unsigned left = GO_MAX;

    for (uint32_t n = hs_min_u32(l->n_waiting, WALK_MAX); n > 0 && s && left; n--, s = next) { /* those that come to its end have time */
        next = s->queue_next;
        if (is_connect(s)) {
            local_wait_through(w, l, s);
            left--;
        } else if (l->acceptors && s->local && local_is_left(s)) { /* an answer was waited for */
            listener_unqueue(l, s);
            listener_offer(w, l, s);
            left--;
        }
    }
    if (!left && !timer_is_running(&l->queue_timer))
        timer_start(&w->timers, &l->queue_timer, w->now_us + GO_ON_US);
}

void local_wait_accept(struct worker *w, struct listener *l, struct session *s)
{
    listener_enqueue(l, s);
    if ((!is_connect(s) && !(l->acceptors && local_is_left(s))) || timer_is_running(&l->queue_timer))
        return;
    l->queue_timer.fire = nobody_accepts;
    timer_start(&w->timers, &l->queue_timer, w->now_us + ACCEPT_US);
}

void local_wait_end(struct worker *w, struct listener *l)
{
    timer_stop(&l->wait_timer, &w->timers);
    timer_stop(&l->queue_timer, &w->timers);
    while (l->wait)
        local_refused(w, take_first(l));
    local_relay_end(w, l);
}
