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
enum svm_tcp_key_kind {
    SVM_TCP_KEY_MD5 = 1,
    SVM_TCP_KEY_AO = 2,
    SVM_TCP_KEY_AO_INFO = 3,         /* no key: flags of enum svm_tcp_ao_flags, snd_id and rcv_id as in svm_tcp_ao, for connections to come */
};
enum svm_tcp_ao_alg { SVM_TCP_AO_HMAC_SHA1 = 1, SVM_TCP_AO_AES_CMAC = 2, SVM_TCP_AO_ALGS };
enum { SVM_TCP_AO_EXCLUDE_OPTIONS = 1 }; /* svm_tcp_key.flags of a key: options other than TCP-AO are not signed */

struct svm_tcp_key {
    struct ip_addr ip;               /* the peer's, or the beginning of it */
    uint8_t prefix;                  /* bits of ip that count, of 128: an IPv4 address has 96 more than one would say */
    uint8_t kind;                    /* enum svm_tcp_key_kind */
    uint8_t len;                     /* bytes of key */
    uint8_t remove;                  /* 1: forget the one of this kind, address and prefix, and identifiers */
    uint8_t snd_id, rcv_id;          /* AO: KeyID that we put into segments, and that the peer does */
    uint8_t alg, mac_len;            /* AO: enum svm_tcp_ao_alg, bytes of the MAC on the wire */
    uint8_t flags;
    uint8_t pad[7];
    uint8_t key[SVM_TCP_KEY_MAX];
};
static_assert(sizeof(struct svm_tcp_key) == 112, "svm_tcp_key");

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

/* ---- attributes of sessions ---- */
enum svm_tcp_key_attr {
    SVM_ATTR_TCP_KEYS = 66,          /* set: uint32_t, number of the session's set, whose keys have changed */
    SVM_ATTR_TCP_AO = 67,            /* svm_tcp_ao, of a connection */
    SVM_ATTR_TCP_AO_COUNTS = 68,     /* svm_tcp_ao_counts, of a connection */
    SVM_ATTR_TCP_AO_KEY = 69,        /* get: svm_tcp_ao_key with both identifiers, of a connection */
};
enum svm_tcp_ao_flags {
    SVM_TCP_AO_CURRENT = 1u << 0,    /* `current` is meant */
    SVM_TCP_AO_RNEXT = 1u << 1,      /* `rnext` is meant */
    SVM_TCP_AO_REQUIRED = 1u << 2,   /* unsigned segments of peers without a key are dropped, too */
    SVM_TCP_AO_ICMP = 1u << 3,       /* ICMP errors are believed (RFC 5925 s7.8) */
};
struct svm_tcp_ao {
    uint8_t flags;                   /* enum svm_tcp_ao_flags */
    uint8_t current;                 /* SendID of the key that we sign with */
    uint8_t rnext;                   /* RecvID of the key that the peer is asked to sign with */
    uint8_t n_keys;
};
struct svm_tcp_ao_counts {
    uint64_t good, bad, no_key, missing, icmp;
};
static_assert(sizeof(struct svm_tcp_ao_counts) == 40, "svm_tcp_ao_counts fits a message");
struct svm_tcp_ao_key {
    uint8_t snd_id, rcv_id;          /* in: which one */
    uint8_t flags;                   /* SVM_TCP_AO_CURRENT, SVM_TCP_AO_RNEXT: it is that one */
    uint8_t pad[5];
    uint64_t good, bad;
};

#endif
