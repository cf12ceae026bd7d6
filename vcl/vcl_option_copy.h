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

#endif
