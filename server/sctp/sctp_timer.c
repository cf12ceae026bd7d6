/* sctp_timer.c - timers of an association: T1 (set-up), T2 and T5 (end), delayed SACK, autoclose (RFC 9260 s5.1, s9.2, s6.2) */
#include "server/sctp/sctp_internal.h"

#include <errno.h>

/* INIT or COOKIE ECHO was not answered (s5.1.3: up to Max.Init.Retransmits times, backing off). */
static void t1_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_assoc *a = hs_container_of(t, struct sctp_assoc, t1);
    struct sctp_path *p = a->primary;

    if (a->n_init > a->cfg.init_max_attempts) {
        sctp_gone(w, a, -ETIMEDOUT, SCTP_CANT_STR_ASSOC, 0);
        return;
    }
    sctp_path_backoff(p);
    uint64_t max = a->cfg.init_max_timeo ? (uint64_t)a->cfg.init_max_timeo * SCTP_MS : UINT32_MAX;
    if (p->rto_us > max)
        p->rto_us = (uint32_t)max;
    if (a->n_paths > 1) { /* another address may answer */
        for (unsigned i = 0; i < a->n_paths; i++) {
            if (a->path[i] == p) {
                struct sctp_path *next = a->path[(i + 1) % a->n_paths];
                next->rto_us = hs_max_u32(next->rto_us, p->rto_us);
                a->primary = p = next;
                break;
            }
        }
    }
    if (a->state == SCTP_S_COOKIE_ECHOED) {
        sctp_cookie_echo_send(w, a, NULL, 0);
        return;
    }
    sctp_init_send(w, a);
    a->n_init++;
    timer_start(&w->timers, t, w->now_us + p->rto_us);
}

static void t2_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_assoc *a = hs_container_of(t, struct sctp_assoc, t2);
    struct sctp_path *p = sctp_path_for_data(a);
    uint32_t id = a->id;

    sctp_path_backoff(p);
    sctp_path_error(w, p, false);
    if (sctp_assoc_by_id(w, id) != a)
        return;
    sctp_shutdown_again(w, a);
    sctp_touched_run(w);
}

static void t5_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_assoc *a = hs_container_of(t, struct sctp_assoc, t5);

    sctp_abort(w, a, 0, NULL, 0, -ETIMEDOUT);
}

static void sack_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_assoc *a = hs_container_of(t, struct sctp_assoc, t_sack);

    a->sack_now = true;
    sctp_output(w, a);
}

static void close_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_assoc *a = hs_container_of(t, struct sctp_assoc, t_close);

    sctp_shutdown_begin(w, a);
    sctp_touched_run(w);
}

void sctp_timers_init(struct sctp_assoc *a)
{
    a->t1.fire = t1_fire;
    a->t2.fire = t2_fire;
    a->t5.fire = t5_fire;
    a->t_sack.fire = sack_fire;
    a->t_close.fire = close_fire;
    a->t_reconf.fire = sctp_reconf_fire;
}

void sctp_timers_stop(struct worker *w, struct sctp_assoc *a)
{
    struct timer_node *all[] = { &a->t1, &a->t2, &a->t5, &a->t_sack, &a->t_close, &a->t_reconf };

    for (unsigned i = 0; i < HS_ARRAY_LEN(all); i++)
        timer_stop(all[i], &w->timers);
    for (unsigned i = 0; i < a->n_paths; i++) {
        timer_stop(&a->path[i]->t3, &w->timers);
        timer_stop(&a->path[i]->hb, &w->timers);
    }
}

void sctp_used(struct worker *w, struct sctp_assoc *a)
{
    if (a->cfg.autoclose_s && a->ep) /* RFC 6458 s8.1.8 */
        timer_start(&w->timers, &a->t_close, w->now_us + (uint64_t)a->cfg.autoclose_s * SCTP_SEC);
    else
        timer_stop(&a->t_close, &w->timers);
}
