/* sctp_index.h - an ordered index of what a peer may send in any order: a treap, so that no order makes a search long
 *
 * Keys are serial numbers (RFC 1982). A peer can give keys that have no order, three of which each comes "before" the next: then the
 * order is of no use to it, but each node stays where it can be removed, for that goes by parents and not by keys.
 * Owner:  who embeds the node.
 * Thread: any, one at a time.
 * Errors: none; no memory of its own. */
#ifndef HOSTSTACK_SERVER_SCTP_INDEX_H
#define HOSTSTACK_SERVER_SCTP_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct sctp_node {
    struct sctp_node *child[2], *parent;
    uint32_t key, prio;
};
struct sctp_index { struct sctp_node *root; };

struct sctp_node *sctp_index_upto(const struct sctp_index *x, uint32_t key);   /* the last one whose key is not behind; NULL: none */
/* n (key and a random prio are set) comes right behind `after`, NULL: first of all. */
void sctp_index_add(struct sctp_index *x, struct sctp_node *after, struct sctp_node *n);
void sctp_index_del(struct sctp_index *x, struct sctp_node *n);

#endif
