/* ctl_show.h - the commands that gather from workers
 * Thread: ctl_show_worker(), ctl_show_errors_ip(): control thread. Others: the worker (see ctl_command.h).
 * Errors: none. */
#ifndef HOSTSTACK_SERVER_CTL_SHOW_H
#define HOSTSTACK_SERVER_CTL_SHOW_H

#include <jansson.h>
#include "server/worker/worker.h"

void ctl_show_worker(struct stack *s, json_t *result, bool with_argument);
uint32_t ctl_show_session(struct worker *w, uint32_t from, json_t *result, bool verbose);
uint32_t ctl_show_tls(struct worker *w, uint32_t from, json_t *result, bool with_argument);
uint32_t ctl_show_sctp(struct worker *w, uint32_t from, json_t *result, bool paths);
uint32_t ctl_show_udp(struct worker *w, uint32_t from, json_t *result, bool with_argument);
uint32_t ctl_show_tcp(struct worker *w, uint32_t from, json_t *result, bool timers);
uint32_t ctl_show_trace(struct worker *w, uint32_t from, json_t *result, bool with_argument);
uint32_t ctl_trace_on(struct worker *w, uint32_t from, json_t *result, bool with_argument);
uint32_t ctl_trace_off(struct worker *w, uint32_t from, json_t *result, bool with_argument);
void ctl_show_errors_ip(struct stack *s, json_t *result, bool with_argument);
uint32_t ctl_show_errors(struct worker *w, uint32_t from, json_t *result, bool with_argument);

#endif
