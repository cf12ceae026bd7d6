/* vcl_fork.c - fork and detach: the parent waits for nothing but one answer of the server, the child attaches at first use
 *
 * Before fork the server is given the child's lifeline: from then on the child is a holder of every session, even if it never attaches.
 * In the child, sessions keep their numbers and handles; their FIFOs are in the parent's memory, which is not mapped there. When it uses
 * one it claims it (vcl_claim.c). */
#include <stdlib.h>
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sys.h"

static bool has_sessions(const struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->table_size; i++)
        if (w->table[i])
            return true;
    return false;
}

/* Two processes may use them from now on. */
static void mark_shared(struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->table_size; i++)
        if (w->table[i] && vcl_state(w->table[i]) != VCL_ZOMBIE)
            vcl_claim_shared_anew(w->table[i]);
    vcl_options_share(w);
}

/* Blocks in accept() if at all, and not now: vcl_accept(). */
static bool is_at_rest(const struct vcl_socket *l)
{
    return !l->n_in_subs && !l->waiters && !atomic_load(&l->nonblock) && l->w->event_epfd < 0;
}

void vcl_accept_rest(struct vcl_socket *l)
{
    if (l->armed == VCL_ARM_ON && vcl_sctp_is_many(l) && !l->n_in_subs)
        vcl_accept_arm(l, VCL_ARM_WEAK);
    else if (l->armed == VCL_ARM_ON && is_at_rest(l))
        vcl_accept_arm(l, VCL_ARM_OFF);
    if (l->armed != VCL_ARM_ON)
        vcl_accept_return_all(l);
}

/* One that has listened and waits for nothing there may sleep from now on, as nginx's master does, while its children accept; or, having
 * accepted, wait for them. */
static void return_unwanted(struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->table_size; i++) {
        if (w->table[i])
            vcl_accept_rest(w->table[i]);
    }
}

/* What cannot be shared the child does not read: vcl_rest_in_child() ends its connection. */
static void share_rests(struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->table_size; i++)
        if (w->table[i] && w->table[i]->rest)
            vcl_rest_share(w->table[i]);
}

void vcl_fork_prepare(void)
{
    struct vcl_process *p = vcl_process();

    /* A child that forks in turn before it has used a socket (daemons do) attaches now: only a holder can make holders. */
    for (struct vcl_worker *w = p->workers; w; w = w->next)
        if (!atomic_load(&w->attached) && w->fork_token && has_sessions(w))
            vcl_worker_attach(w);
    pthread_mutex_lock(&p->lock);
    for (struct vcl_worker *w = p->workers; w; w = w->next) {
        pthread_mutex_lock(&w->lock);
        vcl_accept_settle(w);
        w->child_token = 0;
        w->child_lifeline = -1;
        if (atomic_load(&w->attached) && !w->lost && has_sessions(w)) {
            vcl_worker_drain(w);
            return_unwanted(w);
            share_rests(w);
            if (vcl_worker_fork_token(w, &w->child_token, &w->child_lifeline) == 0)
                mark_shared(w);
        } else if (has_sessions(w)) {
            mark_shared(w); /* listeners that wait for a server to come back are both processes', too */
        }
    }
    for (struct vcl_set *set = p->all_sets; set; set = set->all_next)
        vcl_lock_take(&set->lock);
}

static void unlock_all(struct vcl_process *p)
{
    for (struct vcl_set *set = p->all_sets; set; set = set->all_next)
        vcl_lock_give(&set->lock);
    for (struct vcl_worker *w = p->workers; w; w = w->next)
        pthread_mutex_unlock(&w->lock);
    pthread_mutex_unlock(&p->lock);
}

void vcl_fork_parent(void)
{
    struct vcl_process *p = vcl_process();

    for (struct vcl_worker *w = p->workers; w; w = w->next)
        vcl_fd_close(&w->child_lifeline);
    unlock_all(p);
}

/* Its FIFOs are the parent's. */
static void socket_in_child(struct vcl_socket *s)
{
    vcl_lock_init(&s->tx_lock);
    vcl_lock_init(&s->rx_lock);
    pthread_mutex_init(&s->op_lock, NULL);
    s->unclaimed = s->unclaimed || s->has_fifos || (vcl_state(s) == VCL_CONNECTING && !vcl_handle_is_none(s->handle));
    s->has_fifos = false;
    memset(&s->tx, 0, sizeof(s->tx));
    s->pair = NULL;
    vcl_rest_in_child(s);
    s->waiters = NULL;
    atomic_store(&s->claim_wanted, false);
    atomic_store(&s->op, VCL_OP_NONE);
    s->armed = s->arm_wanted = VCL_ARM_OFF;
    s->relisten_sent = false;
    vcl_options_in_child(s);
}

static void worker_in_child(struct vcl_worker *w)
{
    pthread_mutex_init(&w->lock, NULL);
    w->sleepers = NULL;
    w->n_accepting = 0;
    vcl_worker_forget_server(w, true);
    atomic_store(&w->n_wanted, 0);
    while (w->n_spare_fds)
        vcl_fd_close(&w->spare_fds[--w->n_spare_fds]);
    vcl_fd_close(&w->event_epfd);
    atomic_store(&w->eager, false);
    vcl_fd_close(&w->lifeline_fd);
    w->lifeline_fd = w->child_lifeline;
    w->child_lifeline = -1;
    w->fork_token = w->child_token;
    w->last_attach_ns = w->ask_again_ns = 0;
    w->epoch++;
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *s = w->table[i];

        if (!s)
            continue;
        socket_in_child(s);
        if (vcl_state(s) == VCL_ZOMBIE) { /* the parent's to bury */
            w->table[i] = NULL;
            w->table_next[i] = w->table_free;
            w->table_free = i;
            vcl_options_unshare(s);
            free(s);
        }
    }
}

/* Connections that the parent was offered and has not accepted stay the parent's. */
static void listeners_in_child(struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *l = w->table[i];

        if (l)
            vcl_accept_forget(l);
    }
}

/* The kernel's epoll descriptors are shared with the parent. The child uses what is in a set of ours once it waits there
 * (vcl_set_in_child()). */
void vcl_set_after_fork(void)
{
    struct vcl_process *p = vcl_process();

    for (struct vcl_set *set = p->all_sets; set; set = set->all_next) {
        vcl_lock_init(&set->lock);
        vcl_fd_close(&set->wake_fd);
        if (set->news)
            vcl_fd_close(&set->epfd);
        set->wake_pending = false;
        set->n_waiting = set->n_interrupts = 0;
        memset(set->worker_epoch, 0, sizeof(set->worker_epoch));
        for (struct vcl_sub *sub = set->subs; sub; sub = sub->set_next)
            set->inherited = sub->inherited = true;
    }
}

void vcl_fork_child(void)
{
    struct vcl_process *p = vcl_process();

    pthread_mutex_init(&p->lock, NULL);
    for (struct vcl_worker *w = p->workers; w; w = w->next) {
        worker_in_child(w);
        listeners_in_child(w);
    }
    vcl_set_after_fork();
}

void vcl_fork_claim_all(void)
{
    for (struct vcl_worker *w = vcl_process()->workers; w; w = w->next) {
        if (!has_sessions(w) || vcl_worker_attach(w) != 0)
            continue;
        w->sandboxed = true;
        atomic_store(&w->spin.off_until_ns, INT64_MAX); /* no sched_yield() there */
        for (uint32_t i = 0; i < w->table_size; i++) /* only threads of this process change the table, and a fork's child has one */
            if (w->table[i] && w->table[i]->unclaimed && !w->table[i]->fork_leftover)
                vcl_socket_enter(w->table[i]);
        for (uint32_t i = 0; i < w->n_server_workers; i++)
            w->server_bell[i].plain = true;
        for (uint32_t i = 0; i < w->n_pairs; i++)
            if (w->pairs[i])
                w->pairs[i]->peer_bell.plain = true;
    }
}

/* ---- letting go of everything ---- */
static void detach_worker(struct vcl_worker *w)
{
    struct svm_msg m;

    pthread_mutex_lock(&w->lock);
    if (atomic_load(&w->attached)) {
        memset(&m, 0, sizeof(m));
        m.type = SVM_MSG_DETACH;
        for (uint32_t i = 0; i < w->n_server_workers; i++)
            vcl_worker_post(w, i, &m);
        for (uint32_t i = 0; i < w->table_size; i++)
            if (w->table[i]) {
                vcl_socket_lost(w->table[i]);
                if (w->table[i])
                    w->table[i]->relisten = false;
            }
        vcl_worker_forget_server(w, false);
        vcl_fd_close(&w->lifeline_fd);
    }
    pthread_mutex_unlock(&w->lock);
}

void vcl_detach(void)
{
    struct vcl_process *p = vcl_process();

    for (struct vcl_worker *w = p->workers; w; w = w->next)
        detach_worker(w);
    p->has_app = false;
}
