/* app_port.h - a worker's end of all client queues
 * Owner:  the worker (w->app); one entry per attached client worker.
 * Thread: the worker. Entries come and go by worker_call() from the control thread.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_APP_PORT_H
#define HOSTSTACK_SERVER_APP_PORT_H

#include "server/session/app_ops.h"

int app_port_create(struct worker *w);      /* sets w->app; by app_server_create() */
void app_port_destroy(struct worker *w);
/* Stage "drain client queues" of worker_step(): up to a budget of messages per client; returns how many. w->app may be NULL. */
unsigned app_port_input(struct worker *w);
/* End of the turn: retries what did not fit into full queues, and rings the doorbells that are due. */
void app_port_flush(struct worker *w);
/* Before the worker sleeps, after it announced: true if some queue holds messages. */
bool app_port_has_work(struct worker *w);
/* epoll descriptor over the doorbell pipes of this worker's clients: readable = somebody rang. -1 without app server. */
int app_port_wait_fd(struct worker *w);
void app_port_clear_bells(struct worker *w); /* after waking: empties the pipes that rang */
/* Programs are about to say, or have been told, what needs no doorbell if the worker, and then they, look within milliseconds: the
 * next few sleeps are naps. */
void app_port_nap(struct worker *w);
/* Before each sleep: true, it shall be a nap; false, any, and who has been told something without being woken is woken now. */
bool app_port_is_to_nap(struct worker *w);
/* Around the settling of slots (svm_server_page.settling): what programs see begun is so, or over. */
void app_port_settling(struct worker *w, bool begins);
/* svm_msgq_prod_line.moves of that client: n more, or fewer. */
void app_port_moves(struct worker *w, uint32_t client_id, int n);
/* The worker's sleep announcement for its clients (SRV page); NULL without app server. */
struct svm_sleep_line *app_port_sleep_line(struct worker *w);

#endif
