/* vcl_mcast.h - the groups of a datagram socket, and whom it wants to hear in them: vcl_mcast.c, vcl_mcast_source.c
 * Owner:  struct vcl_socket; vcl_mcast_free() with it.
 * Thread: setsockopt's.
 * Errors: 0 or -errno, as setsockopt gives them; nothing has changed then. */
#ifndef HOSTSTACK_VCL_MCAST_H
#define HOSTSTACK_VCL_MCAST_H

#include "vcl/vcl_internal.h"

enum { VCL_MCAST_GROUPS = 20 };          /* as Linux's igmp_max_memberships */

struct vcl_mcast_filter {
    bool is_include;
    unsigned n;
    struct ip_addr source[SVM_MCAST_SOURCES];
};
struct vcl_mcast {
    unsigned n;
    struct vcl_mcast_joined {
        struct svm_mcast at;
        struct vcl_mcast_filter *filter; /* NULL = everybody, and none was ever set */
    } joined[VCL_MCAST_GROUPS];
    struct svm_mcast out;                /* IP_MULTICAST_IF; ifc any = the stack chooses */
};

int vcl_mcast_of(struct vcl_socket *s, struct vcl_mcast **out); /* made when it is not there */
int vcl_mcast_tell(struct vcl_socket *s, uint8_t attr, const void *v, uint32_t len);  /* and wait; nothing without a session */
void vcl_mcast_post(struct vcl_socket *s, uint8_t attr, const void *v, uint32_t len);
unsigned vcl_mcast_find(const struct vcl_mcast *m, const struct svm_mcast *v, bool any_ifc); /* m->n: not joined */
int vcl_mcast_check(const struct vcl_socket *s, const struct svm_mcast *v); /* -EINVAL (no group), -ENODEV (not an interface of the stack) */
int vcl_mcast_leave(struct vcl_socket *s, unsigned i);

/* Options with sources; 1: not one of them. */
int vcl_mcast_source_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len);
void vcl_mcast_source_push(struct vcl_socket *s, const struct vcl_mcast_joined *j);

#endif
