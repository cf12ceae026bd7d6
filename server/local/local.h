/* local.h - cut-through: two programs of this host joined over FIFOs that only they use
 *
 *   connect -> local_connect(): waiting for somebody who accepts -> PAIR segment (control thread, once per pair of workers)
 *           -> ACCEPT to the one side -> it names the session (ACCEPTED) -> CONNECTED to the other; from now on the server
 *              only hears of close and death
 *
 * The connecting session and its peer are two struct session of the same worker, `local`, without transport connection.
 * A program may give back an end that nobody in it has seen (SVM_MSG_RETURN, at a reload): another one gets it, in a PAIR segment with
 * that one, and the connecting side is told (SVM_MSG_MOVED). Is nobody about to accept, the connecting side is connected through the server
 * before long; has it ended, the server offers what it wrote (local_early.c).
 * The slot of the PAIR segment is free again when both have gone.
 *
 * Owner:  session layer.
 * Thread: owning worker.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_LOCAL_H
#define HOSTSTACK_SERVER_LOCAL_H

#include "server/session/session_internal.h"

/* s: CONNECTING, held by its program. */
void local_connect(struct worker *w, struct listener *l, struct session *s);
void local_offer(struct worker *w, struct listener *l, struct session *s, struct app_worker *a);
void local_refused(struct worker *w, struct session *s);       /* the listener went while s waited */
bool local_accepted(struct worker *w, struct session *p);      /* the accepting program has named its end */
/* It gives its end back, or died before naming it; its hold has been removed. l: the listener, NULL = gone. Frees p. */
void local_returned(struct worker *w, struct session *p, struct listener *l);
/* It is about to: has it been told that the other end has moved, and not answered, the connection goes through the server from now on. */
int local_return_moved(struct worker *w, struct session *p);
void local_close(struct worker *w, struct session *s, bool died);  /* its last holder closes it, or has died */
void local_fail(struct worker *w, struct session *s, int error);   /* the connect of s ends with it */

/* local_relay.c: one end is the server's own (TLS): bytes are carried from FIFO to FIFO by the worker. s has no FIFOs yet. */
extern const struct transport_ops local_relay_ops;
int local_relay_connect(struct worker *w, struct listener *l, struct session *s); /* 0: connected, or in line for room in the backlog */
void local_relay_go_on(struct listener *l);                    /* there may be room in its backlog; local_wait_go_on() does it */
void local_relay_end(struct worker *w, struct listener *l);    /* it goes: who waits for room is refused */
int local_relay_between(struct worker *w, struct session *p, struct session *s); /* both have FIFOs; 0 or -ENOMEM */
/* Before it is aborted: what s has written comes before the reset, as what a network has carried already, as far as there is room. */
void local_relay_push(struct worker *w, struct session *s);
void local_relay_undo(struct worker *w, struct session *p, struct session *s);   /* nothing has gone through it yet */

/* local_wait.c: connects that find the backlog full, in line for room in it; and those that nobody accepts yet */
void local_wait_accept(struct worker *w, struct listener *l, struct session *s);
void local_wait_add(struct worker *w, struct listener *l, struct session *s);
void local_wait_remove(struct listener *l, struct session *s);
void local_wait_go_on(struct listener *l);                         /* there may be room now */
void local_wait_end(struct worker *w, struct listener *l);         /* the listener goes: they are refused */
void local_wait_through(struct worker *w, struct listener *l, struct session *s); /* a TCP connect that waits, in a queue or not: by a relay */

/* Ends that several programs hold (session_claim.c). The other end's program reads what the former user wrote, writes again what that one
 * has not read, and says so (SVM_MSG_UNLINK); until then, and until the former user has let go, their slot stays. */
void local_claim(struct worker *w, struct session *s, struct app_worker *a); /* ops->claimed() is called, now or later */
const struct svm_fifo_cons_line *local_line(const struct session *s); /* of its user's program; NULL: none */
void local_unmapped(struct worker *w, struct session *s, struct app_worker *a, const struct svm_msg_slot *slot); /* a cannot use s there */
void local_unlinked(struct worker *w, struct session *s, const struct app_worker *a, const struct svm_msg_slot *slot);
void local_old_put(struct worker *w, struct session *s);           /* its program has gone: slots that it had before */
bool local_keep(struct session *s, const struct app_worker *a);    /* the other end may read in a's memory: not yet CLOSED */
void local_claims_go_on(struct worker *w, struct session *s);      /* one of its holders has gone, or its peer is there now */
void local_forget(struct worker *w, struct session *s, const struct app_worker *a, const struct session_hold *h); /* a's h goes; NULL: all */
/* Slots that went over to the server: `a` (NULL: everybody) looks no more at `slot` (NULL: any). */
void local_left_free(struct worker *w, struct session *s, const struct app_worker *a, const struct svm_msg_slot *slot);
bool local_left_has(const struct session *s, const struct app_worker *a);

#endif
