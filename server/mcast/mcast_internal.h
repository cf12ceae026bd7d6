/* mcast_internal.h - the groups of an interface, shared by the files of mcast/
 * Owner:  struct interface.
 * Thread: under lock, but for users and is_filtered (atomic) and what is marked worker 0. */
#ifndef HOSTSTACK_SERVER_MCAST_INTERNAL_H
#define HOSTSTACK_SERVER_MCAST_INTERNAL_H

#include <pthread.h>
#include "server/ip/ip_internal.h"
#include "server/mcast/mcast.h"

enum mcast_record_type {         /* RFC 3376 s4.2.12, RFC 3810 s5.2.12 */
    MCAST_IS_INCLUDE = 1, MCAST_IS_EXCLUDE, MCAST_TO_INCLUDE, MCAST_TO_EXCLUDE, MCAST_ALLOW, MCAST_BLOCK,
};
enum { MCAST_HDR_LEN = 8, MCAST_MSG_MAX = 1432 }; /* of a report, in both families: header; what is ever sent in one */
enum mcast_times_us {
    MCAST_UNSOLICITED_US = 1000000,     /* s8.11, s9.11 */
    MCAST_OLD_QUERIER_US = 260000000,   /* s8.12, s9.12 with defaults: 2 * 125 s + 10 s */
};

struct mcast_source {            /* a place is taken while somebody names it, or its change is still to be told */
    struct ip_addr ip;
    uint16_t n_include, n_exclude; /* sockets that name it, by the mode of their filter */
    uint8_t changes_left;        /* reports of the last change still to send */
    bool was_listed;             /* mcast_change()'s */
};

struct mcast_sources {
    unsigned n, n_asked;
    struct mcast_source source[MCAST_SOURCES];
    struct ip_addr asked[MCAST_SOURCES]; /* queries named them */
};

struct mcast_group {
    struct ip_addr ip;
    uint32_t users;              /* atomic; 0 and no changes = free */
    uint32_t n_exclude;          /* of the users, those that take all but what they name */
    uint8_t changes_left;        /* reports of the last change of mode still to send */
    bool is_asked;               /* a query named it, and all its sources */
    bool is_filtered;            /* atomic: not everybody's datagrams are wanted */
    struct mcast_sources *sources; /* NULL: nobody has named any */
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
    bool is_member;              /* for older versions, which know no sources */
    uint8_t n;
    struct ip_addr group, source[MCAST_SOURCES];
};

struct mcast_report {            /* being filled; see mcast_report_add() */
    struct worker *w;
    struct interface *ifc;
    bool v4;
    uint8_t version;             /* 0 = ours, else one message a group */
    unsigned room, len, n;
    uint8_t msg[MCAST_MSG_MAX];
};

static inline struct mcast_family *mcast_family_of(struct mcast_ifc *m, bool v4) { return v4 ? &m->v4 : &m->v6; }
static inline uint32_t mcast_users(const struct mcast_group *g)
{
    return __atomic_load_n(&g->users, __ATOMIC_ACQUIRE); /* pairs with the store-release in mcast_change(): the address is there */
}
/* All hosts and all nodes are joined by everybody and told to nobody; nor are groups of no scope (RFC 3376 s6, RFC 3810 s6). */
bool mcast_is_told(const struct ip_addr *group);
struct mcast_group *mcast_find(struct mcast_ifc *m, const struct ip_addr *group);
/* Is the source in the list that the interface has for the group, of the mode that it has? */
bool mcast_is_listed(const struct mcast_group *g, const struct mcast_source *s);
void mcast_sources_trim(struct mcast_group *g); /* gives up places that nobody needs */

/* A query came: of all groups, of one, or of some sources of one (n of them; more than are kept: of all). max_us: answer within. */
struct mcast_query { struct ip_addr group; uint64_t max_us; unsigned n; struct ip_addr source[MCAST_SOURCES]; };
void mcast_asked(struct worker *w, struct interface *ifc, bool v4, const struct mcast_query *q);
void mcast_old_querier(struct worker *w, struct interface *ifc, bool v4, uint8_t version);
/* Mantissa and exponent of the newer versions' times; bits: of the mantissa (4 or 12). */
uint32_t mcast_float_code(uint32_t code, unsigned bits);

/* mcast_report.c: reports of changes and answers, under worker 0's timers */
void mcast_timers_init(struct mcast_ifc *m);
int mcast_tell_change(struct mcast_ifc *m, bool v4);

/* What differs on the wire; msg: a whole report but for its checksum, or one group in the words of an older version. */
void igmp_send(struct worker *w, struct interface *ifc, uint8_t *msg, unsigned len);
void igmp_send_old(struct worker *w, struct interface *ifc, const struct ip_addr *group, bool is_leave, uint8_t version);
void mld_send(struct worker *w, struct interface *ifc, uint8_t *msg, unsigned len);
void mld_send_old(struct worker *w, struct interface *ifc, const struct ip_addr *group, bool is_leave);
unsigned igmp_room(const struct interface *ifc); /* for a report */
unsigned mld_room(const struct interface *ifc);

#endif
