/* capture_internal.h - what the files of capture/ share
 * Owner:  struct capture: the stack, from the first start to the end; struct capture_worker: struct capture.
 * Thread: as marked. Rings: the worker writes, the writer thread reads. */
#ifndef HOSTSTACK_SERVER_CAPTURE_INTERNAL_H
#define HOSTSTACK_SERVER_CAPTURE_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>
#include <pcap/bpf.h> /* needs sys/types.h */
#include "server/capture/capture.h"

enum capture_sizes {
    CAPTURE_RECORDS = 512,           /* of one turn */
    CAPTURE_PENDING = 1 << 20,       /* their bytes */
    CAPTURE_RING = 4 << 20,          /* bytes that wait for the writer, power of two */
    CAPTURE_POLL_MS = 10,            /* how long the writer leaves them there */
    TRACE_STOPS = 16,                /* of a packet, on average */
    TRACE_TEXT = 96,
};

struct capture_record {              /* a packet of this turn */
    uint64_t time_us;                /* since 1970 */
    uint32_t off, cap_len, len;
    uint16_t port;
    bool is_out;
    const char *layer, *why;         /* why NULL: not dropped */
};

struct capture_ring {
    uint8_t *bytes;
    uint64_t head HS_ALIGNED_LINE;   /* atomic: the worker's */
    uint64_t tail HS_ALIGNED_LINE;   /* atomic: the writer's */
};

struct trace_stop {
    uint64_t time_us;
    uint32_t packet;
    const char *stop;
    char text[TRACE_TEXT];
};

struct capture_worker {
    struct capture *owner;
    bool is_capturing;
    struct capture_ring ring;
    uint32_t seq;                    /* of the last record; never begins anew, so that an old packet's number means nothing */
    unsigned n_pending;              /* records seq - n_pending + 1 ... seq */
    uint32_t used;                   /* of pending */
    uint8_t *pending;
    uint64_t packets, missed;        /* atomic for show */
    struct capture_record rec[CAPTURE_RECORDS];
    struct trace_stop *stop;         /* NULL: nothing is followed */
    unsigned n_stops, max_stops;
};

struct capture {
    struct stack *stack;
    struct capture_worker *w[WORKER_MAX];
    /* capture; fd -1 = none */
    int fd;
    char name[PATH_MAX];
    struct bpf_insn *filter;         /* NULL: everything */
    unsigned n_insns;
    pthread_t writer;
    int bell;                        /* ends the writer's wait */
    bool stop;                       /* atomic */
    int error;                       /* atomic: errno of the write that failed */
    uint64_t bytes;                  /* atomic: written */
    /* trace: packets first + 1 ... first + given are followed */
    uint32_t first, wanted;
    uint32_t given;                  /* atomic */
};

/* ---- pcapng.c: blocks of draft-ietf-opsawg-pcapng ---- */
size_t pcapng_header(const struct stack *s, uint8_t *out, size_t room);      /* section and interfaces; 0: does not fit */
/* A packet into the ring; false: no room, nothing was written. */
bool pcapng_packet(struct capture_ring *ring, const struct capture_record *r, const uint8_t *data);
size_t pcapng_statistics(const struct stack *s, uint64_t packets, uint64_t missed, uint8_t *out, size_t room);

/* ---- writer.c ---- */
int capture_writer_start(struct capture *c);   /* header first; 0 or -errno */
void capture_writer_stop(struct capture *c);   /* all that rings hold is written; closes fd */

/* ---- trace.c ---- */
uint16_t trace_number(struct worker *w);       /* for a packet that comes or is made; 0 = not followed */

#endif
