/* svm_sctp.h - SCTP between client and server: messages in FIFOs, socket options, notifications
 * Memory: SHARED, the peer is untrusted: copy, check, then use.
 *
 * Structs and numbers of RFC 6458 are those of <linux/sctp.h>, which Debian's libsctp includes, too: option numbers, option
 * structs, notifications, SCTP_UNORDERED and the other flags. Nothing is translated on the way.
 *
 * Sessions. SVM_PROTO_SCTP, on server worker 0 (the paths of an association would hash to different workers); a session is one
 * association. A client sends BIND before it sets options (wildcard and port 0 when the program
 * has not bound): options are kept with the bound session, and what is connected or accepted there starts from them.
 *   one-to-one   (SOCK_STREAM): BIND, LISTEN, ARM, ACCEPT, CONNECT, SHUTDOWN, CLOSE as for TCP. FIFOs come with CONNECTED and ACCEPT,
 *                and carry records.
 *   one-to-many  (SOCK_SEQPACKET) is made by the client library: BIND with SVM_BIND_SEQPACKET, LISTEN and ARM let peers begin, each
 *                association comes as ACCEPT. CONNECT with that flag and the bound session's handle begins an association there: a
 *                new session, with the address, the port and the options of the bound one.
 * Cut-through: two programs of one host share FIFOs of these records, see vcl/vcl_sctp.c; the server has no part in them.
 */
#ifndef HOSTSTACK_SVM_SCTP_H
#define HOSTSTACK_SVM_SCTP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <linux/sctp.h>
#include "svm/svm_proto.h"

/* ---- messages: struct svm_dgram_hdr, then TLV SVM_TLV_SCTP, then data ----
 *
 * hdr_len = sizeof(struct svm_sctp_record) at least. A message larger than one record goes as several in a row, all but the last with
 * SVM_DGRAM_MORE; nothing of another message comes between (partial delivery included: the next record with the same stream
 * goes on; a message that ends early is followed by the notification SCTP_PARTIAL_DELIVERY_EVENT, with SCTP_UNORDERED in pdapi_flags when
 * it was unordered). Only server to client, and only when I-DATA was agreed on (SCTP_INTERLEAVING_SUPPORTED), records of messages of other
 * streams, or of the other kind in the same stream, may come between.
 *
 * Client to server: h.rmt_ip/rmt_port = destination (one-to-many; one-to-one with SCTP_ADDR_OVER: which path), any/0 = by assoc_id. Data
 * of length 0 is allowed with SCTP_EOF or SCTP_ABORT only (SCTP has no empty messages). With SCTP_ABORT the data is the reason.
 * Server to client: h.rmt = where it came from (primary address), h.lcl = own. flags has SCTP_UNORDERED, or SCTP_NOTIFICATION: then the
 * data is one union sctp_notification, whole, and the other fields but assoc_id are 0. */
enum { SVM_TLV_SCTP = 16 };
enum svm_sctp_dgram_flags { SVM_DGRAM_MORE = 1u << 1 }; /* in svm_dgram_hdr.flags: the message goes on in the next record */

struct svm_sctp_info {
    uint16_t stream;
    uint16_t flags;      /* SCTP_UNORDERED, SCTP_ADDR_OVER, SCTP_ABORT, SCTP_EOF, SCTP_SACK_IMMEDIATELY, SCTP_SENDALL, SCTP_NOTIFICATION */
    uint32_t ppid;       /* as the program gives it: bytes go out as they are */
    uint32_t context;    /* tx: comes back with a failure. rx: of SCTP_CONTEXT */
    uint32_t assoc_id;   /* one-to-one: 0 on tx; rx: the association's id */
    union {
        struct {
            uint16_t pr_policy;  /* SCTP_PR_SCTP_*, 0 = none */
            uint16_t auth_key;   /* with auth_valid */
            uint32_t pr_value;   /* ms, retransmissions, priority */
            uint8_t auth_valid, pr_valid;  /* 0: the default of the socket (SCTP_DEFAULT_PRINFO, active key) */
            uint8_t pad[6];
        } tx;
        struct {
            uint32_t tsn, cumtsn;
            uint32_t mid;        /* I-DATA: of the message; else ssn */
            uint16_t ssn;
            uint16_t pad;
        } rx;
    } u;
};
static_assert(sizeof(struct svm_sctp_info) == 32, "svm_sctp_info");

struct svm_sctp_record {
    struct svm_dgram_hdr h;
    struct svm_dgram_tlv tlv;    /* SVM_TLV_SCTP, len sizeof(info) */
    struct svm_sctp_info info;
    uint32_t pad;
};
static_assert(sizeof(struct svm_sctp_record) == 88 && offsetof(struct svm_sctp_record, info) == 52, "svm_sctp_record");
/* Data bytes in one record at most: what is larger continues. A record must also fit the FIFO it goes through. */
enum svm_sctp_limits {
    SVM_SCTP_RECORD_MAX = 65536,
    SVM_SCTP_OPT_MAX = 2048,         /* bytes of an option's value */
    SVM_SCTP_ADDRS_MAX = 16,         /* of an association, each side */
};

/* ---- socket options: attribute SVM_ATTR_SCTP, in parts that fit a message ----
 *
 * set: ATTR_SET with parts in order of offset from 0; the option is set when offset + len = total; each part is answered, the last
 *      with the result.
 * get: the value that getsockopt() takes in (assoc id, address; whole optlen) goes first as ATTR_SET parts with opt | SVM_SCTP_OPT_INPUT (may
 *      be left out when there is none: zeros), then ATTR_GET with offset 0 and total = optlen of the caller (its u.attr_val.bytes is such
 *      a part, too): the answer's total = length of the value, with its first part. Then ATTR_GET with offset 32, 64, … the rest.
 * Errors are those of Linux's setsockopt(), -ENOPROTOOPT for options that are not known here.
 * Numbers are those of SOL_SCTP. SCTP_SOCKOPT_BINDX_ADD/_REM, SCTP_SOCKOPT_CONNECTX take packed sockaddrs (sockaddr_in, sockaddr_in6 one
 * after the other). SCTP_SOCKOPT_CONNECTX comes before CONNECT, which names the first of the addresses: the others are known then.
 * SCTP_GET_PEER_ADDRS and SCTP_GET_LOCAL_ADDRS are as in Linux (struct sctp_getaddrs with packed sockaddrs). */
enum { SVM_ATTR_SCTP = 64, SVM_SCTP_OPT_INPUT = 0x8000 };
struct svm_sctp_opt_part {
    uint16_t opt;        /* SCTP_RTOINFO … */
    uint16_t total;      /* bytes of the whole value, up to SVM_SCTP_OPT_MAX */
    uint16_t offset;
    uint16_t len;        /* bytes here; get: 0 in the request */
    uint8_t bytes[32];
};
static_assert(sizeof(struct svm_sctp_opt_part) == 40, "svm_sctp_opt_part fits a message");

/* What both sides were compiled with must be the same. */
static_assert(sizeof(struct sctp_paddrparams) == 156 && sizeof(struct sctp_status) == 176 && sizeof(struct sctp_initmsg) == 8 &&
              sizeof(struct sctp_assocparams) == 20 && sizeof(struct sctp_rtoinfo) == 16 && sizeof(struct sctp_paddrinfo) == 152 &&
              sizeof(struct sctp_assoc_change) == 20 && sizeof(struct sctp_paddr_change) == 148 &&
              sizeof(struct sctp_send_failed_event) == 32 && sizeof(struct sctp_event) == 8, "structs of linux/sctp.h");

#endif
