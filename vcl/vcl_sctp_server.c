/* vcl_sctp_server.c - options that act in the stack: asked of the server in parts (svm_sctp.h), and kept for sessions to come
 *
 * The server alone knows what a value must be. A socket that has no session there (not bound yet; cut-through) gets its answers from a
 * session of the moment, which has been told all that was set before. */
#include <stdlib.h>
#include "vcl/vcl_sctp_internal.h"

enum { KEPT_MAX = 256 };

struct vcl_sctp_kept {
    struct vcl_sctp_kept *next;
    int name;
    uint32_t len;
    uint8_t bytes[];
};

bool vcl_sctp_is_there(const struct vcl_socket *s)
{
    return !vcl_sctp_is_near(s) && !vcl_handle_is_none(s->handle);
}

/* ---- kept, in the order in which they were set ---- */

static void kept_free(struct vcl_sctp_kept *k)
{
    explicit_bzero(k->bytes, k->len); /* it may be a key */
    free(k);
}

static void list_free(struct vcl_sctp_kept *k)
{
    while (k) {
        struct vcl_sctp_kept *next = k->next;

        kept_free(k);
        k = next;
    }
}

/* A key that is deleted is not kept either, nor what was done with it. */
static bool is_key_gone(const struct vcl_sctp_kept *o, int name, const void *val)
{
    struct sctp_authkeyid of, id; /* struct sctp_authkey begins alike */

    static_assert(offsetof(struct sctp_authkey, sca_keynumber) == offsetof(struct sctp_authkeyid, scact_keynumber), "one number");
    if (name != SCTP_AUTH_DELETE_KEY || (o->name != SCTP_AUTH_KEY && o->name != SCTP_AUTH_ACTIVE_KEY && o->name != SCTP_AUTH_DEACTIVATE_KEY))
        return false;
    memcpy(&of, o->bytes, offsetof(struct sctp_authkeyid, scact_keynumber) + sizeof(of.scact_keynumber));
    memcpy(&id, val, sizeof(id));
    return of.scact_keynumber == id.scact_keynumber && of.scact_assoc_id == id.scact_assoc_id;
}

/* The list, and what is new at its end. An earlier one that this one overrides goes: of a `whole` option each does; of others (0 leaves
 * a field as it is; keys beside each other) the one that says the same. kept_lock held. */
static int list_add(struct vcl_sctp_kept **list, int name, const void *val, uint32_t len, bool whole)
{
    struct vcl_sctp_kept **at = list, *k = malloc(sizeof(*k) + len);
    bool is_done = false; /* nothing of it need be said again */
    unsigned n = 0;

    if (!k)
        return -ENOMEM;
    *k = (struct vcl_sctp_kept){ .name = name, .len = len };
    memcpy(k->bytes, val, len);
    while (*at) {
        struct vcl_sctp_kept *o = *at;

        if (is_key_gone(o, name, val) || (o->name == name && (whole || (o->len == len && memcmp(o->bytes, val, len) == 0)))) {
            struct sctp_authkeyid id;

            if (o->name == SCTP_AUTH_KEY && name == SCTP_AUTH_DELETE_KEY) {
                memcpy(&id, val, sizeof(id));
                is_done = id.scact_keynumber != 0; /* the empty key 0 is there by itself */
            }
            *at = o->next;
            kept_free(o);
        } else {
            at = &o->next;
            n++;
        }
    }
    if (is_done || n >= KEPT_MAX) {
        kept_free(k);
        return is_done ? 0 : -ENOBUFS;
    }
    *at = k;
    return 0;
}

static int keep(struct vcl_sctp *c, int name, const void *val, uint32_t len, bool whole)
{
    int rc;

    pthread_mutex_lock(&c->kept_lock);
    rc = list_add(&c->kept, name, val, len, whole);
    pthread_mutex_unlock(&c->kept_lock);
    return rc;
}

static int list_copy(struct vcl_sctp *from, struct vcl_sctp_kept **out)
{
    int rc = 0;

    *out = NULL;
    pthread_mutex_lock(&from->kept_lock);
    for (const struct vcl_sctp_kept *k = from->kept; k && rc == 0; k = k->next)
        rc = list_add(out, k->name, k->bytes, k->len, false);
    pthread_mutex_unlock(&from->kept_lock);
    if (rc) {
        list_free(*out);
        *out = NULL;
    }
    return rc;
}

void vcl_sctp_kept_free(struct vcl_sctp *c)
{
    list_free(c->kept);
    c->kept = NULL;
}

int vcl_sctp_kept_copy(struct vcl_sctp *c, struct vcl_sctp *from)
{
    vcl_sctp_kept_free(c);
    return list_copy(from, &c->kept);
}

bool vcl_sctp_has_kept(const struct vcl_socket *s) { return s->sctp && s->sctp->kept; }

/* ---- the session's ---- */

static int ask_part(struct vcl_socket *s, uint8_t type, int name, const void *val, uint32_t total, uint32_t at, struct svm_sctp_opt_part *out)
{
    struct svm_sctp_opt_part p = { .opt = (uint16_t)name, .total = (uint16_t)total, .offset = (uint16_t)at };
    int rc;

    if (val) {
        p.len = (uint16_t)hs_min_u32(total - at, sizeof(p.bytes));
        memcpy(p.bytes, (const uint8_t *)val + at, p.len);
    }
    if (!out)
        return vcl_attr_request(s, type, SVM_ATTR_SCTP, &p, sizeof(p));
    memset(out, 0, sizeof(*out));
    rc = vcl_attr_exchange(s, type, SVM_ATTR_SCTP, &p, sizeof(p), out, sizeof(*out));
    return rc < 0 ? rc : (size_t)rc < offsetof(struct svm_sctp_opt_part, bytes) ? -EPROTO : 0;
}

static int send_parts(struct vcl_socket *s, int name, const void *val, uint32_t len)
{
    uint32_t at = 0;
    int rc;

    do {
        rc = ask_part(s, SVM_MSG_ATTR_SET, name, val, len, at, NULL);
        at += sizeof(((struct svm_sctp_opt_part *)0)->bytes);
    } while (rc == 0 && at < len);
    return rc;
}

int vcl_sctp_server_set(struct vcl_socket *s, int name, const void *val, uint32_t len)
{
    int rc;

    if (len > SVM_SCTP_OPT_MAX)
        return -EINVAL;
    pthread_mutex_lock(&s->sctp->ask_lock);
    rc = send_parts(s, name, val, len);
    pthread_mutex_unlock(&s->sctp->ask_lock);
    return rc;
}

int vcl_sctp_server_get(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    uint32_t room = hs_min_u32(*len, SVM_SCTP_OPT_MAX), total = room, at = 0;
    struct svm_sctp_opt_part p;
    int rc;

    pthread_mutex_lock(&s->sctp->ask_lock);
    rc = send_parts(s, name | SVM_SCTP_OPT_INPUT, val, room);
    while (rc == 0 && at < total) {
        rc = ask_part(s, SVM_MSG_ATTR_GET, name, NULL, room, at, &p);
        if (rc || p.len == 0 || p.len > sizeof(p.bytes) || p.total > room || at + p.len > p.total) {
            rc = rc ? rc : p.total == 0 ? 0 : -EPROTO;
            total = 0;
            break;
        }
        memcpy((uint8_t *)val + at, p.bytes, p.len);
        at += p.len;
        total = p.total;
    }
    pthread_mutex_unlock(&s->sctp->ask_lock);
    if (rc == 0)
        *len = total;
    return rc;
}

/* What was taken before there was a session was taken by one of the moment; what is refused all the same is said, not hidden: the call
 * that set it has long returned. */
void vcl_sctp_push(struct vcl_socket *s)
{
    struct vcl_sctp_kept *list;
    int rc = list_copy(s->sctp, &list);

    for (const struct vcl_sctp_kept *k = list; k; k = k->next) {
        rc = vcl_sctp_server_set(s, k->name, k->bytes, k->len);
        if (rc)
            vcl_log(0, "SCTP option %d, set before bind, is refused by the server: %s", k->name, strerror(-rc));
    }
    if (!list && rc)
        vcl_log(0, "SCTP options set before bind are lost: %s", strerror(-rc));
    list_free(list);
}

/* ---- the session's, or one of the moment's ---- */

/* With a reference. */
static int moment_new(struct vcl_socket *s, struct vcl_socket **out)
{
    struct ip_endpoint any = { ip_addr_any(!s->is_v6), { 0 } };
    struct vcl_socket *m = vcl_socket_alloc(s->w, SVM_PROTO_SCTP, s->is_v6);
    int rc = m ? vcl_sctp_kept_copy(m->sctp, s->sctp) : -ENOMEM;

    if (rc == 0)
        rc = vcl_bind(m, &any); /* pushes them */
    if (rc && m) {
        vcl_socket_put(m);
        m = NULL;
    }
    *out = m;
    return rc;
}

static bool is_fixed(const struct vcl_socket *s) { return vcl_state(s) == VCL_CONNECTED && !vcl_sctp_is_near(s); }

int vcl_sctp_ask_set(struct vcl_socket *s, int name, const void *val, uint32_t len, bool whole)
{
    struct vcl_socket *m;
    int rc;

    if (vcl_sctp_is_there(s)) {
        rc = vcl_sctp_server_set(s, name, val, len);
    } else {
        rc = moment_new(s, &m);
        if (rc == 0) {
            rc = vcl_sctp_server_set(m, name, val, len);
            vcl_socket_put(m);
        }
    }
    /* A listener's go to what it accepts cut-through, too. An association over a network has them where they act. */
    return rc || is_fixed(s) ? rc : keep(s->sctp, name, val, len, whole);
}

int vcl_sctp_ask_get(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    struct vcl_socket *m;
    int rc;

    if (vcl_sctp_is_there(s))
        return vcl_sctp_server_get(s, name, val, len);
    rc = moment_new(s, &m);
    if (rc == 0) {
        rc = vcl_sctp_server_get(m, name, val, len);
        vcl_socket_put(m);
    }
    return rc;
}
