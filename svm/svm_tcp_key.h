/* svm_tcp_key.h - keys with which TCP signs its segments (RFC 2385, RFC 5925), as programs give them to the server
 *
 * A socket's keys are a set that the server knows by a number. Keys travel over the attach socket (SVM_ATT_TCP_KEY), never through shared
 * memory; messages of the queue name the number: LISTEN and CONNECT in u.conn.slot.slot, ATTR_SET with SVM_ATTR_TCP_KEYS.
 * Owner:  types only. Errors: those of Linux's setsockopt(). */
#ifndef HOSTSTACK_SVM_TCP_KEY_H
#define HOSTSTACK_SVM_TCP_KEY_H

#include <string.h>
#include "svm/svm_proto.h"

enum { SVM_TCP_KEY_MAX = 80 };       /* TCP_MD5SIG_MAXKEYLEN, TCP_AO_MAXKEYLEN */
enum svm_tcp_key_kind { SVM_TCP_KEY_MD5 = 1 };
enum { SVM_ATTR_TCP_KEYS = 66 };     /* uint32_t: number of the session's set, whose keys have changed */

struct svm_tcp_key {
    struct ip_addr ip;               /* the peer's, or the beginning of it */
    uint8_t prefix;                  /* bits of ip that count, of 128: an IPv4 address has 96 more than one would say */
    uint8_t kind;                    /* enum svm_tcp_key_kind */
    uint8_t len;                     /* bytes of key */
    uint8_t remove;                  /* 1: forget the one of this kind, address and prefix */
    uint8_t pad[4];
    uint8_t key[SVM_TCP_KEY_MAX];
};
static_assert(sizeof(struct svm_tcp_key) == 104, "svm_tcp_key");

static inline bool svm_tcp_key_covers(const struct svm_tcp_key *k, const struct ip_addr *ip)
{
    const uint8_t *a = (const uint8_t *)&k->ip, *b = (const uint8_t *)ip;
    unsigned whole = k->prefix / 8, bits = k->prefix % 8;

    return memcmp(a, b, whole) == 0 && (bits == 0 || ((a[whole] ^ b[whole]) >> (8 - bits)) == 0);
}

struct svm_att_tcp_key {
    uint32_t type;                   /* SVM_ATT_TCP_KEY; answer SVM_ATT_OK with the number, or SVM_ATT_ERROR */
    uint32_t number;                 /* of the set; 0, or one that is gone: a new set is made (not to remove) */
    struct svm_tcp_key key;
};
static_assert(sizeof(struct svm_att_tcp_key) <= SVM_ATT_MAX_MSG, "svm_att_tcp_key fits a message");

#endif
