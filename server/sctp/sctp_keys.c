/* sctp_keys.c - the keys that a program has given (RFC 6458 s8.3): shared by its socket and the associations, cleansed with the last one */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>

static const struct sctp_key no_key; /* RFC 4895 s6.2: identifier 0 with an empty key is there when nothing else was said */

const struct sctp_key *sctp_key_find(const struct sctp_auth_cfg *g, uint16_t id)
{
    if (!g->keys)
        return id == no_key.id ? &no_key : NULL;
    for (uint32_t i = 0; i < g->keys->n; i++)
        if (g->keys->key[i].id == id)
            return &g->keys->key[i];
    return NULL;
}

const struct sctp_key *sctp_key_to_send(const struct sctp_auth_cfg *g, uint16_t id)
{
    const struct sctp_key *k = sctp_key_find(g, id);

    return k && !k->is_off ? k : NULL;
}

void sctp_keys_put(struct sctp_auth_cfg *g)
{
    struct sctp_keys *s = g->keys;

    g->keys = NULL;
    if (!s || --s->refs > 0)
        return;
    OPENSSL_cleanse(s, sizeof(*s) + s->n * sizeof(s->key[0]));
    free(s);
}

static void share(struct sctp_auth_cfg *g, struct sctp_keys *s)
{
    if (s)
        s->refs++;
    sctp_keys_put(g);
    g->keys = s;
}

void sctp_cfg_copy(struct sctp_cfg *to, const struct sctp_cfg *from)
{
    share(&to->auth, from->auth.keys);
    *to = *from;
}

int sctp_keys_change(struct sctp_auth_cfg *g, struct sctp_auth_cfg *also, enum sctp_key_change how, uint16_t id, const uint8_t *b,
                     uint16_t len)
{
    const struct sctp_key *old = sctp_key_find(g, id), *from = g->keys ? g->keys->key : &no_key;
    uint32_t n_from = g->keys ? g->keys->n : 1, n = n_from + (old ? 0 : 1) - (how == SCTP_KEY_DELETE ? 1 : 0), at = 0;
    struct sctp_keys *s;

    if (n > SCTP_KEYS_MAX)
        return -ENOMEM;
    s = calloc(1, sizeof(*s) + n * sizeof(s->key[0]));
    if (!s)
        return -ENOMEM;
    s->n = n;
    for (uint32_t i = 0; i < n_from; i++) {
        if (from[i].id == id && how != SCTP_KEY_OFF)
            continue;
        s->key[at] = from[i];
        s->key[at++].is_off |= from[i].id == id;
    }
    if (how == SCTP_KEY_SET) {
        s->key[at] = (struct sctp_key){ .id = id, .len = len };
        memcpy(s->key[at].b, b, len);
    }
    share(g, s);
    if (also && also != g)
        share(also, s);
    return 0;
}
