/* vppcom_epoll.c - native epoll: sets of sessions under a handle of their own */
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"
#include "vcl/vppcom_internal.h"

/* A number of time units as the API gives it; false = for ever. */
static bool to_timespec(double units, double per_second, struct timespec *ts)
{
    double s = units / per_second;

    if (units < 0)
        return false;
    if (s > 1e9)
        s = 1e9;
    ts->tv_sec = (time_t)s;
    ts->tv_nsec = (long)((s - (double)ts->tv_sec) * 1e9);
    return true;
}

int vppcom_epoll_create(void)
{
    struct vppcom_entry *e;
    int rc = vppcom_entry_new(&e);

    if (rc)
        return rc;
    e->epfd = vcl_fd_keep(sys_epoll_create());
    rc = e->epfd < 0 ? e->epfd : vcl_set_new(e->epfd, &e->set);
    if (rc) {
        vcl_fd_close(&e->epfd);
        vppcom_entry_free(e);
        return rc;
    }
    return (int)vppcom_entry_handle(e);
}

int vppcom_epoll_ctl(uint32_t epoll, int op, uint32_t session, struct epoll_event *event)
{
    struct vppcom_entry *e = vppcom_entry_get(epoll), *se = vppcom_entry_get(session);

    if (!e || !se)
        return VPPCOM_EBADFD;
    if (!e->set || !se->s) /* not an epoll; or an epoll in an epoll: vppcom_mq_epoll_fd() is for that */
        return VPPCOM_EINVAL;
    if (op != EPOLL_CTL_DEL && !event)
        return VPPCOM_EFAULT;
    switch (op) {
    case EPOLL_CTL_ADD:
        return vcl_set_add(e->set, se->s, 0, event);
    case EPOLL_CTL_MOD:
        return vcl_set_mod(e->set, se->s, 0, event);
    case EPOLL_CTL_DEL:
        return vcl_set_del(e->set, se->s, 0);
    default:
        return VPPCOM_EINVAL;
    }
}

int vppcom_epoll_wait(uint32_t epoll, struct epoll_event *events, int maxevents, double wait_for_time)
{
    struct vppcom_entry *e = vppcom_entry_get(epoll);
    struct timespec ts;
    bool bounded = to_timespec(wait_for_time, 1e3, &ts);

    if (!e || !e->set)
        return VPPCOM_EBADFD;
    if (maxevents <= 0)
        return VPPCOM_EINVAL;
    return vcl_set_wait(e->set, events, maxevents, bounded ? &ts : NULL, NULL);
}

int vppcom_mq_epoll_fd(void) { return vcl_event_fd(); }
