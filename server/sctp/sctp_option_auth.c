/* sctp_option_auth.c - socket options of authentication (RFC 6458 s8.1.16 to s8.1.18, s8.2.3 to s8.2.6, s8.3.2 to s8.3.5) */
#include "server/sctp/sctp_option.h"

#include <errno.h>

static bool is_on(const struct sctp_opt_call *c) { return sctp_opt_cfg(c)->features & SCTP_F_AUTH; }

/* Of the socket, for associations to come. */
static int set_chunk(struct sctp_opt_call *c)
{
    struct sctp_auth_cfg *g = &c->ep->cfg.auth;
    IN(sctp_authchunk);

    if (!is_on(c))
        return -EACCES;
    switch (v.sauth_chunk) {
    case SCTP_CT_INIT: case SCTP_CT_INIT_ACK: case SCTP_CT_SHUTDOWN_COMPLETE: case SCTP_CT_AUTH: /* RFC 4895 s3.2 */
        return -EINVAL;
    default:
        break;
    }
    for (unsigned i = 0; i < g->n_chunks; i++)
        if (g->chunks[i] == v.sauth_chunk)
            return 0;
    if (g->n_chunks == HS_ARRAY_LEN(g->chunks))
        return -ENOBUFS;
    g->chunks[g->n_chunks++] = v.sauth_chunk;
    return 0;
}

static int set_hmacs(struct sctp_opt_call *c)
{
    struct sctp_auth_cfg *g = &c->ep->cfg.auth;
    uint16_t id[2];
    bool has_sha1 = false;
    IN(sctp_hmacalgo);

    if (!is_on(c))
        return -EACCES;
    if (v.shmac_num_idents == 0 || v.shmac_num_idents > 2 || sizeof(v) + v.shmac_num_idents * 2 > *c->len)
        return -EINVAL;
    memcpy(id, c->val + sizeof(v), v.shmac_num_idents * 2);
    for (unsigned i = 0; i < v.shmac_num_idents; i++) {
        if (!sctp_hmac_len(id[i]) || (i && id[0] == id[1]))
            return -EOPNOTSUPP;
        has_sha1 |= id[i] == SCTP_HMAC_SHA1;
    }
    if (!has_sha1) /* RFC 4895 s3.3 */
        return -EINVAL;
    g->n_hmacs = (uint8_t)v.shmac_num_idents;
    memcpy(g->hmacs, id, sizeof(id));
    return 0;
}
static int get_hmacs(struct sctp_opt_call *c)
{
    const struct sctp_auth_cfg *g = &sctp_opt_cfg(c)->auth;
    struct sctp_hmacalgo v = { .shmac_num_idents = g->n_hmacs };

    if (!is_on(c))
        return -EACCES;
    if (*c->len < sizeof(v) + 2u * g->n_hmacs)
        return -EINVAL;
    memcpy(c->val, &v, sizeof(v));
    memcpy(c->val + sizeof(v), g->hmacs, 2u * g->n_hmacs);
    *c->len = sizeof(v) + 2u * g->n_hmacs;
    return 0;
}

/* ---- keys: of the socket and of its association ---- */

static int set_key(struct sctp_opt_call *c)
{
    struct sctp_auth_cfg *g = &sctp_opt_cfg(c)->auth;
    uint8_t *key = c->val + sizeof(struct sctp_authkey);
    IN(sctp_authkey);

    if (!is_on(c))
        return -EACCES;
    if (v.sca_keylength > *c->len - sizeof(v) || v.sca_keylength > SCTP_KEY_MAX)
        return -EINVAL;
    return sctp_keys_change(g, &c->ep->cfg.auth, SCTP_KEY_SET, v.sca_keynumber, key, v.sca_keylength);
}
static int set_active(struct sctp_opt_call *c)
{
    IN(sctp_authkeyid);

    if (!is_on(c))
        return -EACCES;
    if (!sctp_key_to_send(&sctp_opt_cfg(c)->auth, v.scact_keynumber))
        return -EINVAL;
    c->ep->cfg.auth.active = sctp_opt_cfg(c)->auth.active = v.scact_keynumber;
    return 0;
}
static int get_active(struct sctp_opt_call *c)
{
    IN(sctp_authkeyid);

    if (!is_on(c))
        return -EACCES;
    v.scact_keynumber = sctp_opt_cfg(c)->auth.active;
    return OUT(v);
}

/* Not the active one. */
static int key_end(struct sctp_opt_call *c, enum sctp_key_change how)
{
    struct sctp_auth_cfg *g = &sctp_opt_cfg(c)->auth;
    IN(sctp_authkeyid);

    if (!is_on(c))
        return -EACCES;
    if (!sctp_key_find(g, v.scact_keynumber) || v.scact_keynumber == g->active)
        return -EINVAL;
    int rc = sctp_keys_change(g, &c->ep->cfg.auth, how, v.scact_keynumber, NULL, 0);
    if (rc == 0 && how == SCTP_KEY_OFF && c->a) /* RFC 6458 s8.3.4: what is under way is signed with the active one when it is sent again */
        sctp_notify_auth(c->w, c->a, SCTP_AUTH_FREE_KEY, v.scact_keynumber, 0);
    return rc;
}
static int set_deleted(struct sctp_opt_call *c) { return key_end(c, SCTP_KEY_DELETE); }
static int set_off(struct sctp_opt_call *c) { return key_end(c, SCTP_KEY_OFF); }

/* ---- lists ---- */

static int put_list(struct sctp_opt_call *c, const uint8_t *list, uint32_t n)
{
    IN(sctp_authchunks);

    if (*c->len < sizeof(v) + n)
        return -EINVAL;
    v.gauth_number_of_chunks = n;
    memcpy(c->val, &v, sizeof(v));
    memcpy(c->val + sizeof(v), list, n);
    *c->len = (uint32_t)sizeof(v) + n;
    return 0;
}
static int get_peers(struct sctp_opt_call *c)
{
    uint8_t list[SCTP_AUTH_VEC];

    if (!is_on(c))
        return -EACCES;
    return c->a ? put_list(c, list, sctp_has(c->a, SCTP_F_AUTH) ? sctp_auth_list(&c->a->auth->peers, list, sizeof(list)) : 0) : -EINVAL;
}
static int get_local(struct sctp_opt_call *c)
{
    const struct sctp_auth_cfg *g = &sctp_opt_cfg(c)->auth;
    uint8_t list[SCTP_AUTH_VEC];

    if (!is_on(c))
        return -EACCES;
    if (c->a && sctp_has(c->a, SCTP_F_AUTH))
        return put_list(c, list, sctp_auth_list(&c->a->auth->mine, list, sizeof(list)));
    return put_list(c, g->chunks, g->n_chunks);
}

const struct sctp_opt_row sctp_opt_auth[] = {
    { SCTP_AUTH_CHUNK, sizeof(struct sctp_authchunk), set_chunk, NULL },
    { SCTP_HMAC_IDENT, sizeof(struct sctp_hmacalgo), set_hmacs, get_hmacs },
    { SCTP_AUTH_KEY, sizeof(struct sctp_authkey), set_key, NULL },
    { SCTP_AUTH_ACTIVE_KEY, sizeof(struct sctp_authkeyid), set_active, get_active },
    { SCTP_AUTH_DELETE_KEY, sizeof(struct sctp_authkeyid), set_deleted, NULL },
    { SCTP_AUTH_DEACTIVATE_KEY, sizeof(struct sctp_authkeyid), set_off, NULL },
    { SCTP_PEER_AUTH_CHUNKS, sizeof(struct sctp_authchunks), NULL, get_peers },
    { SCTP_LOCAL_AUTH_CHUNKS, sizeof(struct sctp_authchunks), NULL, get_local },
    { 0 },
};
