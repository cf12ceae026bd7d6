/* sim_net.c - the simulated network's clock, event heap and stacks; everything follows from the seed */
#include "server/port/port_sim_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "common/splitmix.h"

enum { SIM_MAX_ROUNDS = 200000 }; /* at one instant; a stack that sends for ever to itself is caught here */
#define SIM_START_MASK ((1ull << 43) - 1)

/* SplitMix64 seeds, xoroshiro128+ runs (Blackman and Vigna, 2018): quick, and the same on every machine. */
uint64_t sim_net_random(struct sim_net *n)
{
    uint64_t a = n->rng[0], b = n->rng[1], out = a + b;

    b ^= a;
    n->rng[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    n->rng[1] = (b << 37) | (b >> 27);
    return out >> 8; /* the low bits are the weak ones */
}

struct sim_net *sim_net_create(uint64_t seed)
{
    struct sim_net *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->rng[0] = hs_splitmix(&seed);
    n->rng[1] = hs_splitmix(&seed);
    /* Not 0, so that "never" and "at the start" differ, and anywhere in the rounds of 32-bit clocks of µs and ms. */
    n->now_us = 1000000 + (hs_splitmix(&seed) & SIM_START_MASK);
    return n;
}

void sim_net_destroy(struct sim_net *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n_heap; i++)
        free(n->heap[i]);
    free(n->heap);
    for (unsigned i = 0; i < n->n_links; i++) {
        for (unsigned e = 0; e < n->link[i]->n_ends; e++)
            free(n->link[i]->end[e]);
        free(n->link[i]);
    }
    free(n);
}

uint64_t sim_net_now_us(const struct sim_net *n) { return n->now_us; }

int sim_net_add_stack(struct sim_net *n, struct stack *s)
{
    for (unsigned i = 0; i < n->n_stacks; i++) {
        if (n->stack[i] == s)
            return 0;
    }
    if (n->n_stacks == SIM_MAX_STACKS)
        return -ENOSPC;
    n->stack[n->n_stacks++] = s;
    for (unsigned i = 0; i < s->n_workers; i++) /* what is done before the first step is done at the net's time */
        s->worker[i]->now_us = n->now_us;
    return 0;
}

void sim_net_remove_stack(struct sim_net *n, struct stack *s)
{
    for (unsigned i = 0; i < n->n_stacks; i++) {
        if (n->stack[i] == s) {
            n->n_stacks--;
            for (; i < n->n_stacks; i++) /* the others keep their order of stepping */
                n->stack[i] = n->stack[i + 1];
            return;
        }
    }
}

void sim_net_set_hook(struct sim_net *n, sim_hook_fn fn, void *arg)
{
    n->hook = fn;
    n->hook_arg = arg;
}

int sim_net_add_link(struct sim_net *n, struct sim_link **out)
{
    if (n->n_links == SIM_MAX_LINKS)
        return -ENOSPC;
    struct sim_link *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->net = n;
    l->up = true;
    l->index = n->n_links;
    n->link[n->n_links++] = l;
    *out = l;
    return 0;
}

int sim_net_attach(struct sim_link *l, struct stack *s, const struct sim_params *p)
{
    if (l->n_ends == SIM_MAX_ENDS)
        return -ENOSPC;
    struct sim_end *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->link = l;
    e->index = l->n_ends;
    e->params = *p;
    e->n_queues = p->n_queues ? p->n_queues : 1;
    int ret = -EINVAL;
    if (e->n_queues > SIM_MAX_QUEUES)
        goto err_free_end;
    for (unsigned q = 0; q < e->n_queues; q++)
        e->rxq[q].tail = &e->rxq[q].head;
    struct port *port = sim_port_new(e, &s->pools);
    ret = -ENOMEM;
    if (!port)
        goto err_free_end;
    ret = sim_net_add_stack(l->net, s);
    if (ret < 0)
        goto err_free_port;
    unsigned index = s->n_ports;
    ret = stack_add_port(s, port);
    if (ret < 0)
        goto err_free_port;
    l->end[l->n_ends++] = e;
    return (int)index;

err_free_port:
    free(port);
err_free_end:
    free(e);
    return ret;
}

int sim_net_link(struct sim_net *n, struct stack *s0, struct stack *s1, const struct sim_params *p, struct sim_link **out)
{
    int ret = sim_net_add_link(n, out);

    if (ret == 0)
        ret = sim_net_attach(*out, s0, p);
    if (ret >= 0 && s1)
        ret = sim_net_attach(*out, s1, p);
    return ret < 0 ? ret : 0;
}

void sim_link_set_params(struct sim_link *l, unsigned end, const struct sim_params *p)
{
    struct sim_params *own = &l->end[end]->params;
    struct sim_params old = *own;

    *own = *p;
    own->mtu = old.mtu; /* what the port has told the stack stays true */
    own->n_queues = old.n_queues;
    own->offload = old.offload;
    own->vlan = old.vlan;
}

void sim_link_set_tap(struct sim_link *l, sim_tap_fn fn, void *arg)
{
    l->tap = fn;
    l->tap_arg = arg;
}

void sim_link_set_up(struct sim_link *l, bool up) { l->up = up; }
void sim_link_stats(const struct sim_link *l, unsigned end, struct sim_link_stats *out) { *out = l->end[end]->stats; }

int sim_link_inject(struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len)
{
    if (end >= l->n_ends || len > PKT_BIG_DATA)
        return -EINVAL;
    struct sim_frame *f = malloc(sizeof(*f) + len);
    if (!f)
        return -ENOMEM;
    memset(f, 0, sizeof(*f));
    f->link = l;
    f->to = end;
    f->len = len;
    f->due_us = l->net->now_us;
    memcpy(f->data, frame, len);
    sim_net_schedule(l->net, f);
    return 0;
}

/* ---------------------------------------------------------------- event heap */

static bool frame_before(const struct sim_frame *a, const struct sim_frame *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->seq < b->seq;
}

void sim_net_schedule(struct sim_net *n, struct sim_frame *f)
{
    if (n->n_heap == n->cap_heap) {
        n->cap_heap = n->cap_heap ? 2 * n->cap_heap : 256;
        n->heap = realloc(n->heap, n->cap_heap * sizeof(*n->heap));
        if (!n->heap)
            abort();
    }
    f->seq = n->next_seq++;
    size_t i = n->n_heap++;
    for (; i > 0 && frame_before(f, n->heap[(i - 1) / 2]); i = (i - 1) / 2)
        n->heap[i] = n->heap[(i - 1) / 2];
    n->heap[i] = f;
}

static struct sim_frame *heap_pop(struct sim_net *n)
{
    struct sim_frame *top = n->heap[0], *last = n->heap[--n->n_heap];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n->n_heap)
            break;
        if (child + 1 < n->n_heap && frame_before(n->heap[child + 1], n->heap[child]))
            child++;
        if (!frame_before(n->heap[child], last))
            break;
        n->heap[i] = n->heap[child];
        i = child;
    }
    n->heap[i] = last;
    return top;
}

/* ---------------------------------------------------------------- running */

static unsigned deliver_due(struct sim_net *n)
{
    unsigned moved = 0;

    while (n->n_heap && n->heap[0]->due_us <= n->now_us) {
        struct sim_frame *f = heap_pop(n);
        struct sim_end *e = f->link->end[f->to];
        if (e->port)
            sim_end_deliver(e, f);
        else
            free(f);
        moved++;
    }
    return moved;
}

static unsigned round_of_steps(struct sim_net *n)
{
    unsigned work = deliver_due(n);

    for (unsigned s = 0; s < n->n_stacks; s++) {
        for (unsigned w = 0; w < n->stack[s]->n_workers; w++)
            work += worker_step(n->stack[s]->worker[w], n->now_us);
    }
    if (n->hook)
        work += n->hook(n->hook_arg, n->now_us);
    return work;
}

static uint64_t next_event(const struct sim_net *n)
{
    uint64_t next = n->n_heap ? n->heap[0]->due_us : UINT64_MAX;

    for (unsigned s = 0; s < n->n_stacks; s++) {
        for (unsigned w = 0; w < n->stack[s]->n_workers; w++) {
            uint64_t t = worker_next_event_us(n->stack[s]->worker[w]);
            next = t < next ? t : next;
        }
    }
    return next <= n->now_us ? n->now_us + 1 : next;
}

int sim_net_run_while(struct sim_net *n, bool (*cond)(void *arg), void *arg, uint64_t until_us)
{
    unsigned rounds = 0;

    for (;;) {
        unsigned work = round_of_steps(n);
        if (cond && cond(arg))
            return 0;
        if (work) {
            if (++rounds == SIM_MAX_ROUNDS)
                return -ELOOP;
            continue;
        }
        uint64_t next = next_event(n);
        if (next > until_us && n->now_us >= until_us)
            return cond ? -ETIMEDOUT : 0;
        /* The workers see the last instant too, so that what the test does next happens at it. */
        n->now_us = next > until_us ? until_us : next;
        rounds = 0;
    }
}

int sim_net_run_until(struct sim_net *n, uint64_t until_us)
{
    return sim_net_run_while(n, NULL, NULL, until_us);
}
