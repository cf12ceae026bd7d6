/* session_show.h - a worker's sessions as rows, a bounded piece at a time
 * Thread: the worker (by worker_call()).
 * Errors: none. */
#ifndef HOSTSTACK_SERVER_SESSION_SHOW_H
#define HOSTSTACK_SERVER_SESSION_SHOW_H

#include "server/worker/worker.h"

struct json_t;

/* Appends rows for the sessions in slots from..., at most max slots are looked at. Returns the slot to go on from, or
 * UINT32_MAX when there is none. verbose adds what the transport knows of the connection. */
uint32_t session_show(struct worker *w, uint32_t from, unsigned max, bool verbose, struct json_t *array);

#endif
