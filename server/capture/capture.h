/* capture.h - hooks for looking at packets: one branch on a pointer while nobody looks
 *
 *   capture_start() -> workers see packets in and out -> pending records of this turn, a drop adds its reason as a comment
 *                   -> end of turn: filter, pcapng blocks into the worker's ring -> writer thread -> file
 *   trace_add(N)    -> the next N packets, in or out, get a number; every stop that they pass writes a line
 *
 * Owner:  struct stack (capture), struct worker (its part); both exist only while something is looked at.
 * Thread: control thread starts and stops, while workers are held (stack_pause()); hooks are the worker's.
 * Errors: 0 or -errno with a sentence. A record that finds no room is counted as missed, the packet goes on. */
#ifndef HOSTSTACK_SERVER_CAPTURE_H
#define HOSTSTACK_SERVER_CAPTURE_H

#include "server/worker/worker.h"

enum capture_limits {
    CAPTURE_SNAP_LEN = 65535 + 14,   /* whole super-frames */
    CAPTURE_FILTER_MAX = 4096,       /* instructions, as BPF_MAXINSNS */
    TRACE_MAX_PACKETS = 1000,
};

struct json_t;
struct bpf_insn;

/* ---- control thread ---- */

/* Takes fd on success: a regular file, written from its beginning. name is for showing only. filter: n_insns instructions for Ethernet
 * frames, n_insns 0 = everything. -EALREADY, -EINVAL, -EFBIG, -ENOMEM, -EAGAIN; err holds a sentence. */
int capture_start(struct stack *s, int fd, const char *name, const struct bpf_insn *filter, unsigned n_insns, char *err, size_t err_len);
int capture_stop(struct stack *s, char *err, size_t err_len);  /* the file is complete when it returns. -ENOENT, -EAGAIN */
void capture_show(struct stack *s, struct json_t *obj);
int trace_add(struct stack *s, unsigned n, char *err, size_t err_len);
int trace_clear(struct stack *s, char *err, size_t err_len);
void capture_destroy(struct stack *s);                         /* no worker runs any more */

/* ---- on the worker ---- */

/* Rows of `show trace` beginning at `from`, up to max; returns where to go on, UINT32_MAX = that was all. */
uint32_t trace_show(struct worker *w, uint32_t from, uint32_t max, struct json_t *array);

/* Hooks: call them only when capture_is_on(). */
static inline bool capture_is_on(const struct worker *w) { return hs_unlikely(w->capture != NULL); }
void capture_rx(struct worker *w, unsigned port, struct pkt **pkts, unsigned n);  /* at the Ethernet header, before anybody has looked */
void capture_tx(struct worker *w, unsigned port, struct pkt *p);                  /* at the Ethernet header, on its way to the port */
void capture_out(struct worker *w, struct pkt *p);                                /* at the L4 header, new from a transport */
/* p will not go on. layer: "ip"; why: the text of its counter. Both must live for ever. */
void capture_drop(struct worker *w, struct pkt *p, const char *layer, const char *why);
/* The same of a packet of port `port` that has been held for longer than a turn, `back` bytes of headers in front of its data, which begin with an
 * Ethernet header (is_frame) or an IP header. */
void capture_drop_held(struct worker *w, struct pkt *p, unsigned port, unsigned back, bool is_frame, const char *layer,
                       const char *why);
/* A stop of a followed packet. */
void capture_stop_at(struct worker *w, const struct pkt *p, const char *stop, const char *fmt, ...) HS_PRINTF(4, 5);
void capture_stop_ip(struct worker *w, const struct pkt *p, const char *stop);    /* verdict: addresses and protocol from its meta */
void capture_turn_end(struct worker *w);

#endif
