/* tls_listen.c - listeners: a TCP listener at the same place on the home worker; every worker knows which of ours is above it */
#include <errno.h>
#include <stdlib.h>
#include "server/tls/dtls.h"

enum { LOWER_BACKLOG = 1024 }; /* connections are taken from there at once; handshakes are counted, not TCP connections */

struct tls_listener *tls_listener_find(struct worker *w, uint32_t key)
{
    for (struct tls_listener *tl = tls_worker_of(w)->listeners; tl; tl = tl->next)
        if (tl->key == key)
            return tl;
    return NULL;
}

static struct tls_listener *of(struct worker *w, const struct listener *l)
{
    for (struct tls_listener *tl = tls_worker_of(w)->listeners; tl; tl = tl->next)
        if (tl->l == l)
            return tl;
    return NULL;
}

struct tls_conn *tls_listener_door(struct worker *w, const struct listener *l)
{
    struct tls_listener *tl = of(w, l);

    return tl ? tl->door : NULL;
}

/* Certificates may have changed since the last connection, or listen() was called again with another configuration. */
int tls_listener_profile(struct worker *w, struct tls_listener *tl, struct tls_profile **out)
{
    uint32_t generation = tls_store_generation(w->stack);
    struct listener_info i;
    struct tls_profile *p;

    listener_info(tl->l, &i);
    if (!tl->profile || tl->generation != generation || tl->layer_cfg != i.layer_cfg) {
        int err = tls_store_profile(w->stack, i.app_id, i.layer_cfg, true, &p);
        if (err != 0)
            return err;
        if (tl->profile)
            tls_profile_put(w->stack, tl->profile);
        tl->profile = p;
        tl->generation = generation;
        tl->layer_cfg = i.layer_cfg;
    }
    *out = tls_profile_get(tl->profile);
    return 0;
}

void tls_listener_join(struct tls_listener *tl, struct tls_conn *c)
{
    c->listener = tl;
    c->l_next = tl->conns;
    if (c->l_next)
        c->l_next->l_pprev = &c->l_next;
    c->l_pprev = &tl->conns;
    tl->conns = c;
    tl->n_conns++;
}

void tls_listener_leave(struct tls_conn *c)
{
    if (!c->listener || !c->l_pprev)
        return;
    *c->l_pprev = c->l_next;
    if (c->l_next)
        c->l_next->l_pprev = c->l_pprev;
    c->listener->n_conns--;
    c->listener = NULL;
}

static void listener_free(struct worker *w, struct tls_listener *tl)
{
    for (struct tls_listener **p = &tls_worker_of(w)->listeners; *p; p = &(*p)->next) {
        if (*p == tl) {
            *p = tl->next;
            break;
        }
    }
    if (tl->profile)
        tls_profile_put(w->stack, tl->profile);
    free(tl);
}

int tls_listen(struct worker *w, struct listener *l)
{
    struct tls_worker *tw = tls_worker_of(w);
    struct tls_listener *tl;
    struct tls_profile *p;
    struct listener_info i;
    int err;

    if (!w->stack->tls)
        return -EPROTONOSUPPORT;
    listener_info(l, &i);
    tl = calloc(1, sizeof(*tl));
    if (!tl)
        return -ENOMEM;
    tl->l = tl->accept_to = l;
    tl->key = i.handle.index;
    tl->is_dtls = i.proto == SVM_PROTO_DTLS;
    tl->app = tls_app_get(w, i.ns, i.fib);
    tl->next = tw->listeners;
    tw->listeners = tl;
    err = tl->app ? 0 : -ENOMEM;
    if (err == 0)
        err = tls_listener_profile(w, tl, &p);
    if (err == 0) {
        tls_profile_put(w->stack, p);
        if (tl->is_dtls)
            err = dtls_door_open(w, tl, l);
        else if (i.is_home)
            err = session_listen_below(w, &tl->app->aw, l, SVM_PROTO_TCP, tl->key, hs_max_u32(i.backlog, LOWER_BACKLOG), &tl->lower);
        if (err == 0 && tl->lower)
            session_listener_arm(w, &tl->app->aw, tl->lower, session_ctx(tl->lower, &tl->app->aw), SESSION_ARM_ON);
    }
    if (err != 0)
        listener_free(w, tl);
    return err;
}

void tls_unlisten(struct worker *w, struct listener *l)
{
    struct tls_listener *tl = of(w, l);

    if (!tl)
        return;
    if (tl->lower)
        session_close(w, &tl->app->aw, tl->lower, -1);
    dtls_door_close(tl);
    while (tl->conns) { /* half open: Linux resets what nobody has been given yet */
        struct tls_conn *c = tl->conns;
        tls_listener_leave(c);
        tls_conn_abort_lower(c);
    }
    listener_free(w, tl);
}
