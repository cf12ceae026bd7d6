/* ctl_net.h - commands that change addresses, routes and neighbours of a running server
 * Thread: control thread; workers are held meanwhile (stack_pause()).
 * Errors: 0, or -errno with one sentence in err. */
#ifndef HOSTSTACK_SERVER_CTL_NET_H
#define HOSTSTACK_SERVER_CTL_NET_H

#include <jansson.h>
#include "server/worker/worker.h"

/* words[first...] are what stands after the command's name. */
int ctl_route_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
int ctl_route_del(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
int ctl_address_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
int ctl_address_del(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
int ctl_neighbor_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
int ctl_neighbor_del(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);

#endif
