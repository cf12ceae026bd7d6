/* tcp_hdr.h - TCP on the wire: header, flags, option kinds (RFC 9293 s3.1, RFC 7323, RFC 2018)
 * Owner:  nobody, types only.
 * Memory: network input, untrusted: lengths are checked before any field is read. */
#ifndef HOSTSTACK_SERVER_TCP_HDR_H
#define HOSTSTACK_SERVER_TCP_HDR_H

#include "common/types.h"

struct tcp_hdr {
    be16 src_port, dst_port;
    be32 seq, ack;
    uint8_t data_off;  /* header length in words, in the high four bits; the low four are reserved: sent 0, ignored */
    uint8_t flags;     /* enum tcp_flags */
    be16 window;
    be16 checksum;
    be16 urgent;
} __attribute__((packed));
static_assert(sizeof(struct tcp_hdr) == 20, "tcp_hdr is the wire format");

enum tcp_flags {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

enum tcp_option_kind {
    TCP_OPT_EOL = 0,
    TCP_OPT_NOP = 1,
    TCP_OPT_MSS = 2,
    TCP_OPT_WSCALE = 3,
    TCP_OPT_SACK_OK = 4,
    TCP_OPT_SACK = 5,
    TCP_OPT_TS = 8,
    TCP_OPT_MD5 = 19,          /* RFC 2385 */
    TCP_OPT_AO = 29,           /* RFC 5925 */
    TCP_OPT_USER_TIMEOUT = 28, /* RFC 5482 */
    TCP_OPT_FASTOPEN = 34,     /* RFC 7413 */
};

enum tcp_wire_limits {
    TCP_HDR_MAX = 60,
    TCP_OPT_MAX = 40,
    TCP_OPT_TS_LEN = 12,        /* NOP NOP TS: keeps the rest aligned, as every peer expects */
    TCP_OPT_FASTOPEN_LEN = 12,  /* NOP NOP, and a cookie of 8 bytes */
    TCP_MAX_WSCALE = 14,        /* RFC 7323 s2.3 */
    TCP_MAX_SACK_BLOCKS = 4,    /* without timestamps; 3 with (RFC 2018 s3) */
    TCP_MSS_DEFAULT_V4 = 536,   /* RFC 9293 s3.7.1 MUST-15 */
    TCP_MSS_DEFAULT_V6 = 1220,
    TCP_MSS_FLOOR = 48,         /* a smaller offer would make us send mostly headers */
};

static inline unsigned tcp_hdr_len(const struct tcp_hdr *h) { return (unsigned)(h->data_off >> 4) * 4; }

#endif
