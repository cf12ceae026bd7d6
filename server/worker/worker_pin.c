/* worker_pin.c - connections whose packets come to another worker than the hash says: those from a port that the program has bound
 *
 * Who connects is given a port whose answers come to its worker; who is bound has its port already. Every packet of TCP looks here, so a
 * port that has no such connection, as nearly all, costs one look without the lock. The pin is there before the first packet goes out, and
 * its address before any answer to that. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include "server/worker/worker_private.h"

struct pin {
    struct pin *next;
    struct ip_endpoint src, dst;  /* as packets arrive */
    unsigned worker;
};
struct worker_pins {
    pthread_mutex_t lock;
    struct pin *at[65536];        /* by the local port */
};

int worker_pins_create(struct worker_pins **out)
{
    *out = calloc(1, sizeof(**out)); /* untouched pages are none */
    if (!*out)
        return -ENOMEM;
    pthread_mutex_init(&(*out)->lock, NULL);
    return 0;
}

void worker_pins_free(struct worker_pins *ps)
{
    if (!ps)
        return;
    for (unsigned i = 0; i < 65536; i++)
        for (struct pin *p = ps->at[i], *next; p; p = next) {
            next = p->next;
            free(p);
        }
    pthread_mutex_destroy(&ps->lock);
    free(ps);
}

static bool port_has(const struct worker_pins *ps, be16 port) { return __atomic_load_n(&ps->at[be16_get(port)], __ATOMIC_RELAXED); }

static bool is_of(const struct pin *p, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
    return p->src.port.raw == src->port.raw && ip_addr_eq(&p->src.ip, &src->ip) && ip_addr_eq(&p->dst.ip, &dst->ip);
}

bool worker_pin_of(const struct stack *s, const struct ip_endpoint *src, const struct ip_endpoint *dst, unsigned *worker)
{
    struct worker_pins *ps = s->priv->pins;
    const struct pin *p;

    if (hs_likely(!port_has(ps, dst->port)))
        return false;
    pthread_mutex_lock(&ps->lock);
    for (p = ps->at[be16_get(dst->port)]; p && !is_of(p, src, dst); p = p->next)
        ;
    if (p)
        *worker = p->worker;
    pthread_mutex_unlock(&ps->lock);
    return p != NULL;
}

int worker_pin_add(struct worker *w, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
    struct worker_pins *ps = w->stack->priv->pins;
    struct pin *p;

    if (!ps || worker_rss_owner(w->stack, IPPROTO_TCP, src, dst) == w->index)
        return 0;
    p = malloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    pthread_mutex_lock(&ps->lock);
    *p = (struct pin){ .next = ps->at[be16_get(dst->port)], .src = *src, .dst = *dst, .worker = w->index };
    __atomic_store_n(&ps->at[be16_get(dst->port)], p, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&ps->lock);
    return 0;
}

void worker_pin_del(struct worker *w, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
    struct worker_pins *ps = w->stack->priv->pins;
    struct pin **at, *p;

    if (hs_likely(!ps || !port_has(ps, dst->port)))
        return;
    pthread_mutex_lock(&ps->lock);
    for (at = &ps->at[be16_get(dst->port)]; (p = *at) && !(p->worker == w->index && is_of(p, src, dst)); at = &p->next)
        ;
    if (p)
        __atomic_store_n(at, p->next, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&ps->lock);
    free(p);
}
