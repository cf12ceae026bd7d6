/* vcl_option_copy.h - the options of a socket as bytes
 * Owner:  the caller's buffer.
 * Thread: any; the socket is nobody else's yet (import), or its options may change meanwhile, each for itself (export).
 * Memory: what comes was written by another process: copied, checked, then used. */
#ifndef HOSTSTACK_VCL_VCL_OPTION_COPY_H
#define HOSTSTACK_VCL_VCL_OPTION_COPY_H

#include "vcl/vcl_internal.h"

enum { VCL_OPTION_COPY_MAX = 320 };
uint32_t vcl_options_export(const struct vcl_socket *s, uint8_t out[VCL_OPTION_COPY_MAX]); /* bytes of `out` that were written */
/* Of another process, into a socket that nobody else knows yet: bytes that were read, -EPROTO: none of ours, nothing has changed, or -ENOMEM. */
int vcl_options_import(struct vcl_socket *s, const uint8_t *in, uint32_t len);

/* ---- one by one, for vcl_option_share.c ---- */
enum { VCL_OPTIONS_MAX = 128 };
enum vcl_option_how {
    VCL_OPTION_PLAIN,
    VCL_OPTION_NONBLOCK,
    VCL_OPTION_ADDED,    /* bits, which are added to those that are there */
    VCL_OPTION_TX,       /* plain, and something has to be done with a lock held: in the FIFO that is written, */
    VCL_OPTION_STAMP,    /* in that which is read, */
    VCL_OPTION_PEEK,     /* or the value itself has one */
    VCL_OPTION_OWN,      /* of this process */
};
unsigned vcl_option_count(void);
uint8_t vcl_option_how(unsigned i);
int64_t vcl_option_value(const struct vcl_socket *s, unsigned i);
int vcl_option_take(struct vcl_socket *s, unsigned i, int64_t v);  /* 0: it is so already; 1; -EPROTO: it cannot be; -ENOMEM */
void vcl_options_settle(struct vcl_socket *s);                      /* after some were taken */

#endif
