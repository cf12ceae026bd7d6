/* sctp_index.c - the ordered index: expected depth is logarithmic whatever the order of insertion, for priorities are random */
#include "server/sctp/sctp_index.h"

struct sctp_node *sctp_index_upto(const struct sctp_index *x, uint32_t key)
{
    struct sctp_node *n = x->root, *best = NULL;

    while (n) {
        if ((int32_t)(n->key - key) <= 0) {
            best = n;
            n = n->child[1];
        } else {
            n = n->child[0];
        }
    }
    return best;
}

static void put_in_place(struct sctp_index *x, struct sctp_node *old, struct sctp_node *now)
{
    struct sctp_node *up = old->parent;

    if (now)
        now->parent = up;
    if (!up)
        x->root = now;
    else
        up->child[up->child[1] == old] = now;
}

/* n goes above its parent, the order stays. */
static void rotate_up(struct sctp_index *x, struct sctp_node *n)
{
    struct sctp_node *p = n->parent;
    unsigned side = p->child[1] == n;

    put_in_place(x, p, n);
    p->child[side] = n->child[!side];
    if (p->child[side])
        p->child[side]->parent = p;
    n->child[!side] = p;
    p->parent = n;
}

void sctp_index_add(struct sctp_index *x, struct sctp_node *after, struct sctp_node *n)
{
    struct sctp_node *at = after ? after->child[1] : x->root;

    n->child[0] = n->child[1] = NULL;
    n->parent = after;
    if (at) { /* left of everything that is behind `after` */
        while (at->child[0])
            at = at->child[0];
        at->child[0] = n;
        n->parent = at;
    } else if (after) {
        after->child[1] = n;
    } else {
        x->root = n;
    }
    while (n->parent && n->parent->prio < n->prio)
        rotate_up(x, n);
}

void sctp_index_del(struct sctp_index *x, struct sctp_node *n)
{
    while (n->child[0] && n->child[1])
        rotate_up(x, n->child[n->child[0]->prio < n->child[1]->prio]);
    put_in_place(x, n, n->child[0] ? n->child[0] : n->child[1]);
}
