/* sctp_hdr.h - SCTP on the wire: chunk types, parameters, causes (RFC 9260 s3 and the extensions named)
 * Owner:  nobody, header only.
 * Thread: any.
 * Errors: none. */
#ifndef HOSTSTACK_SERVER_SCTP_HDR_H
#define HOSTSTACK_SERVER_SCTP_HDR_H

#include <string.h>
#include "common/types.h"

enum sctp_sizes {
    SCTP_COMMON_LEN = 12,        /* ports, verification tag, checksum */
    SCTP_CHUNK_HDR = 4, SCTP_PARAM_HDR = 4, SCTP_CAUSE_HDR = 4,
    SCTP_DATA_HDR = 16, SCTP_IDATA_HDR = 20,
    SCTP_INIT_LEN = 20,          /* chunk header and fixed part */
    SCTP_SACK_LEN = 16,
    SCTP_UDP_LEN = 8,            /* RFC 6951 */
};

enum sctp_chunk_type {
    SCTP_CT_DATA = 0, SCTP_CT_INIT = 1, SCTP_CT_INIT_ACK = 2, SCTP_CT_SACK = 3, SCTP_CT_HEARTBEAT = 4, SCTP_CT_HEARTBEAT_ACK = 5,
    SCTP_CT_ABORT = 6, SCTP_CT_SHUTDOWN = 7, SCTP_CT_SHUTDOWN_ACK = 8, SCTP_CT_ERROR = 9, SCTP_CT_COOKIE_ECHO = 10,
    SCTP_CT_COOKIE_ACK = 11, SCTP_CT_ECNE = 12, SCTP_CT_CWR = 13, SCTP_CT_SHUTDOWN_COMPLETE = 14,
    SCTP_CT_AUTH = 15,           /* RFC 4895 */
    SCTP_CT_IDATA = 64,          /* RFC 8260 */
    SCTP_CT_ASCONF_ACK = 0x80,   /* RFC 5061 */
    SCTP_CT_RECONF = 130,        /* RFC 6525 */
    SCTP_CT_PAD = 0x84,          /* RFC 4820 */
    SCTP_CT_FORWARD_TSN = 192,   /* RFC 3758 */
    SCTP_CT_ASCONF = 0xC1,       /* RFC 5061 */
    SCTP_CT_IFORWARD_TSN = 0xC2, /* RFC 8260 */
};
enum sctp_chunk_flags {
    SCTP_DATA_E = 1, SCTP_DATA_B = 2, SCTP_DATA_U = 4, SCTP_DATA_I = 8, /* I: RFC 7053 */
    SCTP_FLAG_T = 1,             /* ABORT, SHUTDOWN COMPLETE: the tag is the receiver's peer's (s8.5.1) */
};

enum sctp_param_type {
    SCTP_P_HEARTBEAT = 1, SCTP_P_IPV4 = 5, SCTP_P_IPV6 = 6, SCTP_P_COOKIE = 7, SCTP_P_UNRECOGNIZED = 8, SCTP_P_PRESERVATIVE = 9,
    SCTP_P_HOSTNAME = 11, SCTP_P_FAMILIES = 12,
    SCTP_P_OUT_RESET = 13, SCTP_P_IN_RESET = 14, SCTP_P_TSN_RESET = 15, SCTP_P_RECONF_RESPONSE = 16, /* RFC 6525 */
    SCTP_P_ADD_OUT = 17, SCTP_P_ADD_IN = 18,
    SCTP_P_ECN = 0x8000,
    SCTP_P_ZERO_CHECKSUM = 0x8001, /* RFC 9653 */
    SCTP_P_RANDOM = 0x8002, SCTP_P_CHUNKS = 0x8003, SCTP_P_HMACS = 0x8004, /* RFC 4895 */
    SCTP_P_PAD = 0x8005,
    SCTP_P_EXTENSIONS = 0x8008,  /* RFC 5061 s4.2.7 */
    SCTP_P_FORWARD_TSN = 0xC000,
    SCTP_P_ADD_IP = 0xC001, SCTP_P_DEL_IP = 0xC002, SCTP_P_ERROR_CAUSE = 0xC003, SCTP_P_SET_PRIMARY = 0xC004,
    SCTP_P_SUCCESS = 0xC005, SCTP_P_ADAPTATION = 0xC006,
};

enum sctp_cause {
    SCTP_C_INVALID_STREAM = 1, SCTP_C_MISSING_PARAM = 2, SCTP_C_STALE_COOKIE = 3, SCTP_C_NO_RESOURCE = 4, SCTP_C_BAD_ADDRESS = 5,
    SCTP_C_UNKNOWN_CHUNK = 6, SCTP_C_INVALID_PARAM = 7, SCTP_C_UNKNOWN_PARAM = 8, SCTP_C_NO_DATA = 9, SCTP_C_COOKIE_SHUTDOWN = 10,
    SCTP_C_RESTART_ADDRESSES = 11, SCTP_C_USER_ABORT = 12, SCTP_C_PROTOCOL = 13, SCTP_C_NEW_UDP_PORT = 14,
    SCTP_C_DEL_LAST_ADDR = 0xA0, SCTP_C_REFUSED_RESOURCE = 0xA1, SCTP_C_DEL_SOURCE = 0xA2, SCTP_C_ILLEGAL_ASCONF = 0xA3,
    SCTP_C_NO_AUTH = 0xA4, SCTP_C_HMAC = 0x105,
};

enum sctp_reconf_result {            /* RFC 6525 s4.4 */
    SCTP_RC_NOTHING, SCTP_RC_DONE, SCTP_RC_DENIED, SCTP_RC_WRONG_SSN, SCTP_RC_BUSY, SCTP_RC_BAD_SEQ, SCTP_RC_IN_PROGRESS,
    SCTP_RC_ANSWERED_ELSEWHERE,      /* not on the wire: a request of ours is the answer */
};

/* What an unknown type asks for by its two high bits (s3.2, s3.2.1), the type in 8 or the high 8 of 16 bits. */
static inline bool sctp_unknown_is_stop(unsigned high) { return !(high & 0x80); }
static inline bool sctp_unknown_is_report(unsigned high) { return high & 0x40; }

static inline uint16_t sctp_get16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }
static inline uint32_t sctp_get32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}
static inline void sctp_put16(uint8_t *b, unsigned v)
{
    b[0] = (uint8_t)(v >> 8);
    b[1] = (uint8_t)v;
}
static inline void sctp_put32(uint8_t *b, uint32_t v)
{
    sctp_put16(b, v >> 16);
    sctp_put16(b + 2, v & 0xffff);
}
static inline uint32_t sctp_pad(uint32_t len) { return (len + 3) & ~3u; }
static inline bool ssn_lt(uint16_t a, uint16_t b) { return (int16_t)(a - b) < 0; } /* RFC 1982, 16 bits */

#endif
