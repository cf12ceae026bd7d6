/* local_internal.h - slots that a connection has moved away from: local.c and local_claim.c
 *
 * The list is of the end whose program is told (MOVED) and has not answered yet (UNLINK); until then it may read and write there.
 * Owner:  the session; what a former user still holds goes to the other end's list when the session goes.
 * Thread: owning worker. */
#ifndef HOSTSTACK_SERVER_LOCAL_INTERNAL_H
#define HOSTSTACK_SERVER_LOCAL_INTERNAL_H

#include "server/app/app_server.h"
#include "server/local/local.h"

struct local_old {
    struct local_old *next;
    struct app_pair *pair;
    struct svm_msg_slot slot;
    uint8_t side;                    /* of that end in the slot */
    bool is_read;                    /* `told` has not answered */
    bool is_ours;                    /* and will not: the server takes what is there (local_take.c) */
    struct app_worker *told;         /* whose answer counts, even when it has let go meanwhile; NULL = died */
    struct app_worker *former;       /* who used the other end in this slot, and has not let go of it; NULL = nobody */
    bool former_told;
};

/* Keeps the slot of p for s, whose program may use it. False: no memory (the slot is lost with its segment, rather than given to
 * another), or it was moved so often that it must end. */
bool local_old_keep(struct session *s, const struct session *p, struct app_worker *former);
/* Which sides of the segment the ends of a connection have: a program with itself connects from 0 to 1. */
void local_sides(struct session *s);

/* The slot that p has had: free, or its former user's until that one has heard. */
void local_leave_slot(struct worker *w, struct session *p, struct app_pair *pair, const struct svm_msg_slot *slot,
                      struct app_worker *former);

/* local_take.c: p, claimed by a, and its peer become the ends of a relay; nobody uses `gone`, one of the two.
 * -EINPROGRESS: who has let go of `gone` is answering after all; its UNLINK comes. */
int local_split(struct worker *w, struct session *p, struct app_worker *a, struct session *gone);

#endif
