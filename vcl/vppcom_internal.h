/* vppcom_internal.h - handles of the native API: what a number stands for
 * Owner:  one table per process; an entry belongs to its handle from create or accept to close.
 * Thread: look-ups take no lock; entries come and go under the table's lock. */
#ifndef HOSTSTACK_VCL_VPPCOM_INTERNAL_H
#define HOSTSTACK_VCL_VPPCOM_INTERNAL_H

#include "vcl/vcl.h"
#include "vcl/vppcom.h"

enum { VPPCOM_INDEX_BITS = 24, VPPCOM_INDEX_MASK = (1 << VPPCOM_INDEX_BITS) - 1 };

struct vppcom_entry {
    struct vcl_socket *s;   /* or: */
    struct vcl_set *set;
    int epfd;               /* of the set */
    uint32_t index, worker;
    uint32_t listener;      /* handle, INVALID_SESSION_ID = none */
    uint32_t n_accepted;
    bool unused;            /* VPPCOM_ATTR_*_UNUSED */
    uint64_t cookie;
};
int vppcom_entry_new(struct vppcom_entry **out);           /* 0 or -ENOMEM, -EMFILE */
void vppcom_entry_free(struct vppcom_entry *e);
struct vppcom_entry *vppcom_entry_get(uint32_t handle);    /* NULL = no such session */
uint32_t vppcom_entry_handle(const struct vppcom_entry *e);
uint32_t vppcom_entry_limit(void);                         /* indexes in use are below */
struct vcl_socket *vppcom_socket(uint32_t handle);         /* NULL = no session, or an epoll */
int vppcom_ep_get(const vppcom_endpt_t *ep, struct ip_endpoint *out);
void vppcom_ep_put(const struct ip_endpoint *e, vppcom_endpt_t *ep);
void vppcom_close_all(void);

#endif
