/* ip_mailbox.h - what workers heard, brought to the control thread, with a clock: for protocols that change addresses and routes
 * Owner:  whoever embeds it (autoconf/, dhcp/).
 * Thread: ip_mailbox_put(): any worker; the others: control thread.
 * Errors: 0 or -errno; a message that finds no room is lost, as on the link. */
#ifndef HOSTSTACK_SERVER_IP_MAILBOX_H
#define HOSTSTACK_SERVER_IP_MAILBOX_H

#include <pthread.h>
#include "server/ip/interface.h"

enum ip_mailbox_limits { IP_MAILBOX_LEN = 16, IP_MAILBOX_MSG_MAX = 1472 };

struct ip_mailbox_msg { struct interface *ifc; struct ip_addr src; uint32_t len; uint8_t b[IP_MAILBOX_MSG_MAX]; };
struct ip_mailbox {
    int epoll_fd, event_fd, timer_fd;
    pthread_mutex_t lock;
    unsigned n;
    struct ip_mailbox_msg msg[IP_MAILBOX_LEN];
};

int ip_mailbox_init(struct ip_mailbox *m);
void ip_mailbox_fini(struct ip_mailbox *m);
static inline int ip_mailbox_fd(const struct ip_mailbox *m) { return m->epoll_fd; } /* readable: a message, or the clock */
void ip_mailbox_put(struct ip_mailbox *m, struct pkt *p);   /* a copy of p from where it is; at most IP_MAILBOX_MSG_MAX bytes */
/* A message of no bytes about an address; it leaves half of the room to the others. */
void ip_mailbox_note(struct ip_mailbox *m, struct interface *ifc, const struct ip_addr *ip);
bool ip_mailbox_take(struct ip_mailbox *m, struct ip_mailbox_msg *out);
bool ip_mailbox_is_empty(struct ip_mailbox *m);
void ip_mailbox_quiet(struct ip_mailbox *m);                /* not readable until the next message, or the clock */
/* The clock: in first_us, then every every_us (0 = once). */
int ip_mailbox_wake(struct ip_mailbox *m, uint64_t first_us, uint64_t every_us);

#endif
