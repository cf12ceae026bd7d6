/* ip_mailbox.c - messages from workers to the control thread, and its clock */
#include "server/ip/ip_mailbox.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

int ip_mailbox_init(struct ip_mailbox *m)
{
    struct epoll_event ev = { .events = EPOLLIN };

    pthread_mutex_init(&m->lock, NULL);
    m->n = 0;
    m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (m->epoll_fd >= 0 && m->event_fd >= 0 && m->timer_fd >= 0 && epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->event_fd, &ev) == 0 &&
        epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, m->timer_fd, &ev) == 0)
        return 0;
    int err = -errno;
    ip_mailbox_fini(m);
    return err;
}

void ip_mailbox_fini(struct ip_mailbox *m)
{
    int fds[] = { m->epoll_fd, m->event_fd, m->timer_fd };

    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&m->lock);
}

void ip_mailbox_put(struct ip_mailbox *m, struct pkt *p)
{
    const struct pkt_meta *meta = pkt_meta(p);
    uint64_t one = 1;

    pthread_mutex_lock(&m->lock);
    if (m->n < IP_MAILBOX_LEN && pkt_len(p) <= IP_MAILBOX_MSG_MAX) {
        struct ip_mailbox_msg *q = &m->msg[m->n++];
        q->ifc = meta->ifc;
        q->src = meta->src;
        q->len = pkt_len(p);
        pkt_copy_out(p, 0, q->b, q->len);
    }
    pthread_mutex_unlock(&m->lock);
    ssize_t n = write(m->event_fd, &one, sizeof(one));
    (void)n; /* full = readable already */
}

void ip_mailbox_note(struct ip_mailbox *m, struct interface *ifc, const struct ip_addr *ip)
{
    uint64_t one = 1;

    pthread_mutex_lock(&m->lock);
    if (m->n < IP_MAILBOX_LEN / 2) {
        struct ip_mailbox_msg *q = &m->msg[m->n++];
        q->ifc = ifc;
        q->src = *ip;
        q->len = 0;
    }
    pthread_mutex_unlock(&m->lock);
    ssize_t n = write(m->event_fd, &one, sizeof(one));
    (void)n; /* full = readable already */
}

bool ip_mailbox_take(struct ip_mailbox *m, struct ip_mailbox_msg *out)
{
    bool found;

    pthread_mutex_lock(&m->lock);
    found = m->n > 0;
    if (found) {
        *out = m->msg[0];
        memmove(m->msg, m->msg + 1, --m->n * sizeof(*out));
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

bool ip_mailbox_is_empty(struct ip_mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    bool empty = m->n == 0;
    pthread_mutex_unlock(&m->lock);
    return empty;
}

void ip_mailbox_quiet(struct ip_mailbox *m)
{
    uint64_t count;
    ssize_t n = read(m->timer_fd, &count, sizeof(count));

    n = read(m->event_fd, &count, sizeof(count));
    (void)n;
}

static struct timespec time_of(uint64_t us)
{
    return (struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
}

int ip_mailbox_wake(struct ip_mailbox *m, uint64_t first_us, uint64_t every_us)
{
    /* Zero would stop the clock. */
    struct itimerspec ts = { .it_value = time_of(first_us ? first_us : 1), .it_interval = time_of(every_us) };

    return timerfd_settime(m->timer_fd, 0, &ts, NULL) == 0 ? 0 : -errno;
}
