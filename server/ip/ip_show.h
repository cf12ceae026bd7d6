/* ip_show.h - what hoststackctl shows of the network layers
 * Thread: control thread, while workers run (counters have one writer each and are read as they are).
 * Owner:  the JSON object is the caller's. */
#ifndef HOSTSTACK_SERVER_IP_SHOW_H
#define HOSTSTACK_SERVER_IP_SHOW_H

#include "server/worker/worker.h"

struct json_t;
void ip_drops_show(struct stack *s, struct json_t *array);   /* {layer, reason, count}, those that are not zero */
void ip_counters_show(struct stack *s, struct json_t *obj);  /* packets in, out, looped back, reassembled, ICMP */

#endif
