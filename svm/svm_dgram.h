/* svm_dgram.h - building the header of a datagram record (svm_proto.h), by either side
 * Memory: private; it goes into a FIFO in one piece. */
#ifndef HOSTSTACK_SVM_DGRAM_H
#define HOSTSTACK_SVM_DGRAM_H

#include <string.h>
#include "svm/svm_proto.h"

enum { SVM_DGRAM_TLVS_MAX = 128 };  /* bytes: all kinds of TLV together */

struct svm_dgram_rec {
    struct svm_dgram_hdr h;         /* hdr_len: with the TLVs so far */
    uint8_t tlvs[SVM_DGRAM_TLVS_MAX];
};

/* The caller puts no more than fits. */
static inline void svm_dgram_put(struct svm_dgram_rec *r, uint16_t type, const void *val, uint16_t len)
{
    struct svm_dgram_tlv t = { .type = type, .len = len };
    uint8_t *at = (uint8_t *)r + r->h.hdr_len;
    uint16_t whole = (uint16_t)((sizeof(t) + len + 7) & ~7u);

    memset(at + whole - 8, 0, 8); /* what pads the value */
    memcpy(at, &t, sizeof(t));
    memcpy(at + sizeof(t), val, len);
    r->h.hdr_len = (uint16_t)(r->h.hdr_len + whole);
}

#endif
