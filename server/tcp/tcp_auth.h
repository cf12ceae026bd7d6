/* tcp_auth.h - signed segments: TCP MD5 (RFC 2385)
 *
 * A connection with a key for its peer holds a copy of it and has TCP_LF_AUTH; each of its segments is checked before anything else is
 * looked at, and signed as the last thing that is done. What is at stake is a forged segment, so every doubt is a drop.
 * Owner:  struct tcp_auth: its connection. The store of what programs gave: the stack (tcp_keys.c), under a lock of its own.
 * Thread: owning worker; tcp_keys_*: any.
 * Errors: a segment that is not as it must be is counted and dropped. Keys are wiped when they are freed, and never shown. */
#ifndef HOSTSTACK_SERVER_TCP_AUTH_H
#define HOSTSTACK_SERVER_TCP_AUTH_H

#include "server/tcp/tcp_internal.h"
#include "svm/svm_tcp_key.h"

enum {
    TCP_MD5_LEN = 18,         /* the option (RFC 2385 s3.0) */
    TCP_MD5_PADDED = 20,      /* with two NOPs before it */
    TCP_MD5_DIGEST = 16,
};

struct tcp_auth {
    uint8_t kind;             /* enum svm_tcp_key_kind */
    uint8_t opt_len;          /* of every segment's options, padding included */
    uint8_t key_len;
    uint8_t key[SVM_TCP_KEY_MAX];
};

static inline struct tcp_auth *tcp_auth_of_conn(struct worker *w, const struct tcp_conn *c)
{
    return c->auth ? tcp_worker_of(w)->auths[c->auth] : NULL;
}

/* tcp_keys.c. The key of set `number` for this peer, by the longest prefix: 1, 0 = there is none, -ENOENT = there is no such set. */
int tcp_keys_find(struct stack *s, uint32_t number, const struct ip_addr *peer, struct tcp_auth *out);

/* tcp_auth_md5.c: over pseudo-header, header without options, data and key (RFC 2385 s2.0). `tcp` is the header's place in p, which
 * holds the whole segment from there; false: the library refuses. */
bool tcp_auth_md5(struct worker *w, const struct tcp_auth *a, struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t out[TCP_MD5_DIGEST]);
void tcp_auth_md5_fini(struct tcp_worker *tw);
void tcp_auth_fini(struct tcp_worker *tw);      /* no connection is left */

/* tcp_auth.c: what comes in */
bool tcp_auth_is_ok(struct worker *w, const struct tcp_auth *a, const struct tcp_seg *seg);  /* a NULL: no key; false: counted */
/* What goes out: the option with room for the digest at the end of opt, then the digest into the finished header. */
unsigned tcp_auth_put(const struct tcp_auth *a, uint8_t *opt, unsigned opt_len);             /* new length */
bool tcp_auth_sign(struct worker *w, const struct tcp_auth *a, struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst);
/* Is an answer to this segment to be signed (1, *out holds the key), not (0), or may it not be given (-EACCES)? */
int tcp_auth_of_answer(struct worker *w, const struct tcp_seg *seg, struct tcp_auth *out);

#endif
