/* local_internal.h - slots that a connection has moved away from: local.c and local_claim.c
 *
 *   local_old   of the end whose program is told (MOVED) and has not answered yet (UNLINK); until then it may read and write there.
 *               Does it sleep on, the connection goes through the server instead (local_take.c)
 *   local_left  the server has taken what was in the slot; a program may look at it until it has answered (UNLINK)
 * Owner:  the session; what a former user still holds goes to the other end's list when the session goes.
 * Thread: owning worker. */
#ifndef HOSTSTACK_SERVER_LOCAL_INTERNAL_H
#define HOSTSTACK_SERVER_LOCAL_INTERNAL_H

#include "server/app/app_port.h"
#include "server/app/app_server.h"
#include "server/local/local.h"

struct local_old {
    struct local_old *next;
    struct timer_node timer;         /* while `told` has not answered */
    struct svm_handle owner;         /* session whose program that is */
    struct app_pair *pair;
    struct svm_msg_slot slot;
    uint8_t side;                    /* of that end in the slot */
    bool is_read;                    /* `told` has not answered */
    bool is_ours;                    /* and will not: the server takes what is there */
    uint8_t n_late;                  /* times that it was due */
    uint32_t counted_for;            /* client that is told that this move is going on (app_port_moves()); 0 = none */
    struct app_worker *told;         /* whose answer counts, even when it has let go meanwhile; NULL = died */
    struct app_worker *former;       /* who used the other end in this slot, and has not let go of it; NULL = nobody */
    struct svm_handle former_end;    /* that other end */
    uint32_t former_ctx;             /* by which of its holds: it may have been given that end again since it closed it */
    bool former_told;
};

/* Keeps the slot of p for s, whose program may use it. False: no memory (the slot is lost with its segment, rather than given to
 * another), or it was moved so often that it must end. */
bool local_old_keep(struct session *s, const struct session *p, struct app_worker *former);
void local_old_watch(struct worker *w, struct session *s); /* it has been told: an answer comes soon, or the server does without it */
void local_old_free(struct worker *w, struct local_old *o);
struct session_hold *local_former(struct worker *w, const struct local_old *o); /* its hold of the other end; NULL = none */
/* Which sides of the segment the ends of a connection have: a program with itself connects from 0 to 1. */
void local_sides(struct session *s);

/* local_take.c: s and its peer become the ends of a relay, with all that their programs have written, whatever these do at this moment.
 * Nobody uses the ends; who wants to claims them. -EINPROGRESS: a program that was told of a move is answering at last; its UNLINK comes. */
int local_part(struct worker *w, struct session *s);
/* The same, and what follows is the caller's. is_lost: bytes that could not be kept, or an end was aborted. Nobody has s->pair: only the
 * slots before count. */
int local_take(struct worker *w, struct session *s, bool *is_lost);
/* Positions of `side` stand where they are: it is used no more. Between the two the server looks at them. */
/* app_port_settling() around both. */
void local_settle_begin(struct svm_slot_cli *side);
void local_settle_end(struct svm_slot_cli *side, uint32_t head, uint32_t tail);
/* `user`, if it holds s, may look at the slot until it says UNLINK for s. */
void local_left_add(struct session *s, struct app_worker *user, struct app_pair *pair, const struct svm_msg_slot *slot);

/* local_early.c: who connected has gone before somebody accepted */
bool local_is_left(const struct session *s);
void local_offer_left(struct worker *w, struct listener *l, struct session *s);  /* s is in no queue, and nobody has the other end */
int local_go_through(struct worker *w, struct listener *l, struct session *s);   /* the same; not 0: nothing has changed, as local_part() */
int local_end_through(struct worker *w, struct session *s); /* s, CLOSING, does not know yet where the other end reads; 0: nor need it */
void local_tell_ended(struct worker *w, struct session *s);  /* s, CLOSING: the other end finds the end in its slot */
bool local_has_moved(const struct session *s);              /* its program was told so, and has not answered */
bool local_wait_answer(struct worker *w, struct listener *l, struct session *s); /* s is in the queue again. False: not any more */
struct session *local_stand_in(struct worker *w, struct session *p);             /* NULL: no memory */
struct session *local_accepted_end(struct worker *w, const struct listener *l, struct session *s); /* ACCEPTING, without a slot */
void local_refuse(struct worker *w, struct session *s, int error);               /* nobody is left to whom s could be offered */

#endif
