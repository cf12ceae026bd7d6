/* tcp_auth.h - signed segments: TCP-AO (RFC 5925) and its forerunner TCP MD5 (RFC 2385)
 *
 * A connection with a key for its peer holds a copy of it and has TCP_LF_AUTH; each of its segments is checked before anything else is
 * looked at, and signed as the last thing that is done. What is at stake is a forged segment, so every doubt is a drop.
 * Owner:  struct tcp_auth: its connection. The store of what programs gave: the stack (tcp_keys.c), under a lock of its own.
 * Thread: owning worker; tcp_keys_*: any.
 * Errors: a segment that is not as it must be is counted and dropped. Keys are wiped when they are freed, and never shown. */
#ifndef HOSTSTACK_SERVER_TCP_AUTH_H
#define HOSTSTACK_SERVER_TCP_AUTH_H

#include "server/tcp/tcp_internal.h"

enum {
    TCP_MD5_LEN = 18,         /* the option (RFC 2385 s3.0) */
    TCP_MD5_PADDED = 20,      /* with two NOPs before it */
    TCP_MD5_DIGEST = 16,
    TCP_AO_HDR = 4,           /* kind, length, KeyID, RNextKeyID (RFC 5925 s2.2) */
    TCP_AO_MAC_DEFAULT = 12,  /* RFC 5926 s3.2: both MACs are cut to 96 bits */
    TCP_AO_MAC_MAX = 16,      /* more has no room beside MSS, timestamps and window scaling */
    TCP_AO_KEY_MAX = 20,      /* of a traffic key, and of a MAC before it is cut */
    TCP_AO_KEYS_MAX = 16,     /* of one peer */
    TCP_PSEUDO_MAX = 40,
};

struct tcp_ao_key {           /* a master key tuple (RFC 5925 s3.1), with its traffic keys in this connection */
    uint8_t snd_id, rcv_id, alg, mac_len, flags, key_len;
    bool has_traffic_keys;
    uint8_t snd[TCP_AO_KEY_MAX], rcv[TCP_AO_KEY_MAX];
    uint8_t key[SVM_TCP_KEY_MAX];
    uint64_t good, bad;
};

struct tcp_auth {
    uint8_t kind;             /* SVM_TCP_KEY_MD5, SVM_TCP_KEY_AO */
    uint8_t opt_len;          /* of every segment's options, padding included */
    uint8_t key_len;          /* MD5 */
    uint8_t key[SVM_TCP_KEY_MAX];
    uint8_t flags;            /* AO: enum svm_tcp_ao_flags */
    uint8_t n, current, rnext; /* AO: ao[current] signs what we send, ao[rnext] is what we want to receive */
    uint32_t iss, irs;        /* AO: of the connection whose traffic keys these are */
    uint32_t snd_wraps, rcv_wraps;
    struct svm_tcp_ao_counts counts;
    struct tcp_ao_key ao[TCP_AO_KEYS_MAX];
};

static inline struct tcp_auth *tcp_auth_of_conn(struct worker *w, const struct tcp_conn *c)
{
    return c->auth ? tcp_worker_of(w)->auths[c->auth] : NULL;
}

/* tcp_keys.c. The keys of set `number` for this peer, those of the longest prefix first: 1; 0 = there is none; -EACCES = there is none, and
 * it must have one; -ENOENT = there is no such set. */
int tcp_keys_find(struct stack *s, uint32_t number, const struct ip_addr *peer, struct tcp_auth *out);

/* tcp_auth_md5.c. In network byte order, as for the checksum (RFC 9293 s3.1, RFC 8200 s8.1); returns its length. */
unsigned tcp_auth_pseudo_header(uint8_t out[TCP_PSEUDO_MAX], const struct ip_addr *src, const struct ip_addr *dst, uint32_t len);
/* Over pseudo-header, header without options, data and key (RFC 2385 s2.0). p begins with the TCP header; false: the library refuses. */
bool tcp_auth_md5(struct worker *w, const struct tcp_auth *a, struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t out[TCP_MD5_DIGEST]);
void tcp_auth_md5_fini(struct tcp_worker *tw);

/* tcp_ao.c */
struct tcp_ao_flow {          /* one direction of a connection; a SYN has dst_isn 0 (RFC 5925 s5.2) */
    struct ip_endpoint src, dst;
    uint32_t src_isn, dst_isn;
};
unsigned tcp_ao_digest_len(uint8_t alg);  /* 0 = no such algorithm */
bool tcp_ao_traffic_key(struct worker *w, const struct tcp_ao_key *k, const struct tcp_ao_flow *f, uint8_t out[TCP_AO_KEY_MAX]);
/* sig: the option, in the header at the beginning of p. out is longer than the MAC on the wire. */
bool tcp_ao_mac(struct worker *w, const struct tcp_ao_key *k, const uint8_t *traffic_key, uint32_t sne, struct pkt *p,
                const uint8_t *sig, const struct ip_addr *src, const struct ip_addr *dst, uint8_t out[TCP_AO_KEY_MAX]);
uint32_t tcp_ao_snd_sne(struct tcp_auth *a, const struct tcp_conn *c, uint32_t seq);
uint32_t tcp_ao_rcv_sne(struct tcp_auth *a, const struct tcp_conn *c, uint32_t seq);
void tcp_ao_fini(struct tcp_worker *tw);

/* tcp_ao_segment.c: c NULL = nothing is remembered, the initial sequence numbers are what the segment says of them. */
bool tcp_ao_check(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, const struct tcp_seg *seg); /* false: counted */
unsigned tcp_ao_put(const struct tcp_auth *a, uint8_t *opt, unsigned opt_len);
bool tcp_ao_sign(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, struct pkt *p, const struct ip_addr *src,
                 const struct ip_addr *dst);
void tcp_ao_choose(struct tcp_auth *a, const struct tcp_seg *syn); /* as a peer's SYN wishes */
void tcp_ao_select(struct tcp_auth *a);                            /* opt_len by the current key */
/* The program's wishes and questions, of a connection: 0, -ENOENT (no such key), -EINVAL. */
int tcp_ao_set(struct tcp_auth *a, const struct svm_tcp_ao *v);
void tcp_ao_get(const struct tcp_auth *a, struct svm_tcp_ao *v);
int tcp_ao_get_key(const struct tcp_auth *a, struct svm_tcp_ao_key *v);
/* The program has changed its keys: what both sets have keeps its state; the keys in use stay. */
void tcp_ao_merge(struct tcp_auth *old, struct tcp_auth *found);

/* tcp_auth.c: what comes in; a NULL: no key; false: counted */
bool tcp_auth_is_ok(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, const struct tcp_seg *seg);
/* What goes out: the option with room for the digest at the end of opt, then the digest into the finished header. */
unsigned tcp_auth_put(const struct tcp_auth *a, uint8_t *opt, unsigned opt_len);             /* new length */
bool tcp_auth_sign(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, struct pkt *p, const struct ip_addr *src,
                   const struct ip_addr *dst);
/* Is an answer to this segment to be signed (1, *out holds the key), not (0), or may it not be given (-EACCES)? */
int tcp_auth_of_answer(struct worker *w, const struct tcp_seg *seg, struct tcp_conn **c, struct tcp_auth *out);
void tcp_auth_fini(struct tcp_worker *tw);      /* no connection is left */

#endif
