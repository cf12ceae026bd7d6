/* mcast_internal.h - the groups of an interface, shared by mcast.c, igmp.c and mld.c
 * Owner:  struct interface.
 * Thread: under lock, but for users (atomic) and what is marked worker 0. */
#ifndef HOSTSTACK_SERVER_MCAST_INTERNAL_H
#define HOSTSTACK_SERVER_MCAST_INTERNAL_H

#include <pthread.h>
#include "server/ip/ip_internal.h"
#include "server/mcast/mcast.h"

enum mcast_record_type { MCAST_IS_EXCLUDE = 2, MCAST_TO_INCLUDE = 3, MCAST_TO_EXCLUDE = 4 }; /* RFC 3376 s4.2.12, RFC 3810 s5.2.12 */
enum { MCAST_MAX_RECORDS = MCAST_GROUPS + INTERFACE_MAX_ADDRS };
enum mcast_times_us {
    MCAST_UNSOLICITED_US = 1000000,     /* s8.11, s9.11 */
    MCAST_OLD_QUERIER_US = 260000000,   /* s8.12, s9.12 with defaults: 2 * 125 s + 10 s */
};

struct mcast_group {
    struct ip_addr ip;
    uint32_t users;              /* atomic; 0 and changes_left 0 = free */
    uint8_t changes_left;        /* reports of the last change still to send */
    bool is_asked;               /* a query named it */
};

struct mcast_family {            /* worker 0 */
    struct timer_node changes, answer;
    bool answer_all;
    uint8_t version;             /* the oldest that a querier speaks; 0 = ours */
    uint64_t old_until_us;
    uint8_t address_changes;     /* MLD: reports of solicited-node groups still to send */
};

struct mcast_ifc {
    struct interface *ifc;
    pthread_mutex_t lock;
    struct mcast_group group[MCAST_GROUPS];
    struct mcast_family v4, v6;
};

struct mcast_record {
    uint8_t type;
    struct ip_addr group;
};

static inline struct mcast_family *mcast_family_of(struct mcast_ifc *m, bool v4) { return v4 ? &m->v4 : &m->v6; }
/* A query came: of all groups, or of one. max_us: answer within. */
void mcast_asked(struct worker *w, struct interface *ifc, const struct ip_addr *group, bool v4, uint64_t max_us);
void mcast_old_querier(struct worker *w, struct interface *ifc, bool v4, uint8_t version);
/* Mantissa and exponent of the newer versions' times; bits: of the mantissa (4 or 12). */
uint32_t mcast_float_code(uint32_t code, unsigned bits);
void igmp_send(struct worker *w, struct interface *ifc, const struct mcast_record *r, unsigned n, uint8_t version);
void mld_send(struct worker *w, struct interface *ifc, const struct mcast_record *r, unsigned n, uint8_t version);

#endif
