/* sctp_auth.h - authenticated chunks (RFC 4895): keys, what each side demands, and the vectors that keys of associations are made of
 * Owner:  sctp_keys: who refers to it; it never changes, a change is another one, and the last reference cleanses it.
 *         sctp_auth: its association.
 * Thread: worker 0.
 * Errors: packets: drop_auth of sctp_drops.def; calls: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_SCTP_AUTH_H
#define HOSTSTACK_SERVER_SCTP_AUTH_H

#include "common/types.h"

struct worker;
struct sctp_assoc;
struct sctp_cfg;
struct sctp_chunk;
struct sctp_cookie;
struct sctp_in;
struct sctp_msg;
struct sctp_out;

enum sctp_auth_sizes {
    SCTP_HMAC_SHA1 = 1, SCTP_HMAC_SHA256 = 3, SCTP_HMACS = 2, /* s3.3: identifiers; how many of them there are here */
    SCTP_KEYS_MAX = 16, SCTP_KEY_MAX = 128, /* of a socket */
    SCTP_AUTH_RANDOM = 32, SCTP_AUTH_HDR = 8,
    SCTP_AUTH_CHUNKS_MAX = 24,       /* types that a socket demands */
    SCTP_AUTH_VEC = 128,             /* of either side; longer ones of a peer are not agreed to */
};

struct sctp_key {
    uint16_t id, len;
    bool is_off;                     /* SCTP_AUTH_DEACTIVATE_KEY: not for sending */
    uint8_t b[SCTP_KEY_MAX];
};
struct sctp_keys { uint32_t refs, n; struct sctp_key key[]; };
struct sctp_auth_cfg {               /* of a socket, and of an association */
    struct sctp_keys *keys;          /* NULL: the empty key 0 alone */
    uint16_t active;
    uint16_t hmacs[SCTP_HMACS];
    uint8_t n_hmacs, n_chunks;
    uint8_t chunks[SCTP_AUTH_CHUNKS_MAX];
};
/* RANDOM, CHUNKS and HMAC-ALGO, in that order and without padding (s6.1). */
struct sctp_auth_vec { uint16_t len; uint8_t b[SCTP_AUTH_VEC]; };
struct sctp_auth {
    struct sctp_auth_vec mine, peers;
    uint8_t want[32], peer_wants[32];  /* bit per type: comes, goes authenticated only */
    uint16_t hmac, peer_key;
    uint8_t room;                    /* bytes of every packet that are kept for an AUTH chunk */
};
enum sctp_auth_verdict { SCTP_AUTH_NONE, SCTP_AUTH_GOOD, SCTP_AUTH_BAD }; /* of the packet that is looked at */

uint32_t sctp_hmac_len(uint16_t id);                                  /* 0: not known */

/* sctp_keys.c */
const struct sctp_key *sctp_key_find(const struct sctp_auth_cfg *g, uint16_t id);
const struct sctp_key *sctp_key_to_send(const struct sctp_auth_cfg *g, uint16_t id); /* NULL: not there, or switched off */
void sctp_keys_put(struct sctp_auth_cfg *g);                         /* g has the empty key 0 alone */
void sctp_cfg_copy(struct sctp_cfg *to, const struct sctp_cfg *from); /* `to` is valid, or all zeros */
enum sctp_key_change { SCTP_KEY_SET, SCTP_KEY_OFF, SCTP_KEY_DELETE };
int sctp_keys_change(struct sctp_auth_cfg *g, struct sctp_auth_cfg *also, enum sctp_key_change how, uint16_t id, const uint8_t *b,
                     uint16_t len);                                   /* also: NULL, or who gets the same keys */

/* sctp_auth_vec.c */
void sctp_auth_vec_make(struct worker *w, const struct sctp_cfg *cfg, struct sctp_auth_vec *v);
uint32_t sctp_auth_vec_put(const struct sctp_auth_vec *v, uint8_t *to);
bool sctp_auth_vec_take(const uint8_t *random, const uint8_t *chunks, const uint8_t *hmacs, struct sctp_auth_vec *v);
unsigned sctp_auth_list(const struct sctp_auth_vec *v, uint8_t *out, unsigned max); /* the types in CHUNKS */
bool sctp_auth_lists(const struct sctp_auth_vec *v, uint8_t type);
int sctp_auth_begin(struct sctp_assoc *a, const struct sctp_auth_vec *mine); /* -ENOMEM */
void sctp_auth_agreed(struct sctp_assoc *a, const struct sctp_auth_vec *peers);
uint16_t sctp_auth_hmac_of(const struct sctp_auth_vec *peers);
int sctp_auth_vec_cmp(const struct sctp_auth_vec *a, const struct sctp_auth_vec *b);

/* sctp_auth.c */
bool sctp_auth_is_wanted(const struct sctp_assoc *a, uint8_t type);
uint32_t sctp_auth_overhead(const struct sctp_assoc *a);
uint16_t sctp_auth_key_of(const struct sctp_assoc *a, const struct sctp_msg *m);
uint32_t sctp_auth_before(const struct sctp_out *o, uint8_t type);    /* bytes of AUTH that go in front of such a chunk */
void sctp_auth_put(struct sctp_out *o, uint8_t *b);
void sctp_auth_sign(struct sctp_out *o);
void sctp_auth_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
bool sctp_auth_stranger(struct worker *w, struct sctp_in *in, struct sctp_chunk *c); /* c: AUTH, becomes the one behind it; false: drop */
bool sctp_auth_may_end(const struct sctp_assoc *a, const struct sctp_in *in); /* by what is wrong with the packet */

#endif
