/* ctl_capture.h - capture and trace commands
 * Thread: control thread; ctl_show_packets: the worker.
 * Errors: 0, or -errno with one sentence in err. */
#ifndef HOSTSTACK_SERVER_CTL_CAPTURE_H
#define HOSTSTACK_SERVER_CTL_CAPTURE_H

#include <jansson.h>
#include "server/worker/worker.h"

int ctl_capture_start(struct stack *s, const json_t *words, size_t first, const json_t *filter, int fd, char *err, size_t err_len);
int ctl_capture_stop(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
void ctl_capture_show(struct stack *s, json_t *result, bool with_argument);
int ctl_trace_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
int ctl_trace_clear(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len);
uint32_t ctl_show_packets(struct worker *w, uint32_t from, json_t *result, bool with_argument);

#endif
