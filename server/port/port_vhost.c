/* port_vhost.c - what a net_vhost port's guest decides: whether it takes super-frames, and how its kicks wake a worker that sleeps
 *
 * The guest is not trusted, and may come, go, and change its rings' descriptors at any time; the driver says so on the one thread that
 * speaks with guests, and only there are a guest's descriptors touched. A worker waits on an epoll instance of ours, which stays. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>
#include <rte_spinlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "server/port/port_internal.h"

enum {
    VHOST_TSO_MAX = 65000,
    VHOST_POLL_NS = 200000,     /* a guest that has no descriptor to kick with */
    VHOST_OPEN_WAIT_US = 100,
};

struct port_vhost_queue {
    int epfd;                   /* readable after a kick, and when something has changed: then notifications are asked for anew */
    int bell;                   /* rung with each change */
    int kick;                   /* ours: a copy of the guest's, or a timer; -1 = no guest. The driver's thread's */
};

struct port_vhost {
    struct port *port;
    uint16_t device;
    bool is_open;               /* atomic: the driver's queues are there */
    unsigned n;
    rte_spinlock_t lock;        /* vid: a worker holds it while it uses the guest's rings, so that the guest stays */
    int vid;                    /* -1 = no guest */
    struct port_vhost_queue queue[];
};

/* All of it, or nothing: 64 KB without MRG_RXBUF would need buffers of that size. */
static bool takes_super_frames(int vid)
{
    const uint64_t need = 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |
                          1ull << VIRTIO_NET_F_MRG_RXBUF;
    uint64_t features = 0;

    return vid >= 0 && rte_vhost_get_negotiated_features(vid, &features) == 0 && (features & need) == need;
}

/* Anything may be sent as "an eventfd": waiting for a file of a file system in user space, for one, would hang us. */
static bool is_eventfd(int fd)
{
    char path[32], name[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, name, sizeof(name));
    return n == (ssize_t)strlen("anon_inode:[eventfd]") && memcmp(name, "anon_inode:[eventfd]", (size_t)n) == 0;
}

static int timer_new(void)
{
    const struct itimerspec every = { { 0, VHOST_POLL_NS }, { 0, VHOST_POLL_NS } };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd >= 0)
        timerfd_settime(fd, 0, &every, NULL);
    return fd;
}

static int watch_fd(int epfd, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET }; /* the edge: nobody has to read a guest's descriptor */

    return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
}

static void forget_kick(struct port_vhost_queue *q)
{
    if (q->kick < 0)
        return;
    epoll_ctl(q->epfd, EPOLL_CTL_DEL, q->kick, NULL); /* closing is not enough: the guest has that file open, too */
    close(q->kick);
    q->kick = -1;
}

static void take_kick(struct port_vhost_queue *q, int vid, unsigned index)
{
    struct rte_vhost_vring ring = { .kickfd = -1 };

    forget_kick(q);
    if (vid >= 0 && rte_vhost_get_vhost_vring(vid, (uint16_t)(index * 2 + 1), &ring) == 0) {
        q->kick = ring.kickfd >= 0 && is_eventfd(ring.kickfd) ? fcntl(ring.kickfd, F_DUPFD_CLOEXEC, 0) : -1;
        if (q->kick < 0)
            q->kick = timer_new();
        if (q->kick >= 0)
            watch_fd(q->epfd, q->kick);
    }
    eventfd_write(q->bell, 1);
}

/* A guest has come, gone, or changed a ring; on the driver's thread. */
static int guest_changed(uint16_t device, enum rte_eth_event_type event, void *arg, void *ret HS_UNUSED)
{
    struct port_vhost *v = arg;

    /* It may come while the port is being opened: the driver cannot tell its id before its queues are there. */
    while (!__atomic_load_n(&v->is_open, __ATOMIC_ACQUIRE))
        usleep(VHOST_OPEN_WAIT_US);
    int vid = rte_eth_vhost_get_vid_from_port_id(device);
    if (event == RTE_ETH_EVENT_INTR_LSC) {
        /* Not for a change of one ring: the driver holds that ring's lock then, for which a worker may be waiting. */
        rte_spinlock_lock(&v->lock);
        v->vid = vid;
        rte_spinlock_unlock(&v->lock);
        if (takes_super_frames(vid))
            __atomic_fetch_or(&v->port->offloads, PORT_TX_TSO, __ATOMIC_RELAXED);
        else
            __atomic_fetch_and(&v->port->offloads, ~(uint32_t)PORT_TX_TSO, __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; i < v->n; i++)
        take_kick(&v->queue[i], vid, i);
    return 0;
}

int port_vhost_wait_fd(const struct port_vhost *v, unsigned queue) { return v->queue[queue].epfd; }

void port_vhost_notify(struct port_vhost *v, unsigned queue, bool on)
{
    struct epoll_event ev[2];

    rte_spinlock_lock(&v->lock);
    if (v->vid >= 0)
        rte_vhost_enable_guest_notification(v->vid, (uint16_t)(queue * 2 + 1), on);
    rte_spinlock_unlock(&v->lock);
    if (on)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish is seen by the guest before we look for packets once more */
    else
        epoll_wait(v->queue[queue].epfd, ev, HS_ARRAY_LEN(ev), 0); /* what has come counts as seen */
}

static void vhost_free(struct port_vhost *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        forget_kick(&v->queue[i]);
        if (v->queue[i].bell >= 0)
            close(v->queue[i].bell);
        if (v->queue[i].epfd >= 0)
            close(v->queue[i].epfd);
    }
    free(v);
}

static struct port_vhost *vhost_new(struct port *p, uint16_t device)
{
    struct port_vhost *v = calloc(1, sizeof(*v) + p->n_rx_queues * sizeof(v->queue[0]));
    bool ok = v != NULL;

    for (unsigned i = 0; ok && i < p->n_rx_queues; i++) {
        struct port_vhost_queue *q = &v->queue[v->n++];
        q->kick = -1;
        q->epfd = epoll_create1(EPOLL_CLOEXEC);
        q->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        ok = q->epfd >= 0 && q->bell >= 0 && watch_fd(q->epfd, q->bell) == 0;
    }
    if (!ok) {
        if (v)
            vhost_free(v);
        return NULL;
    }
    v->port = p;
    v->device = device;
    v->vid = -1;
    rte_spinlock_init(&v->lock);
    return v;
}

struct port_vhost *port_vhost_watch(struct port *p, uint16_t device)
{
    struct port_vhost *v = vhost_new(p, device);

    if (!v)
        return NULL;
    p->tso_max = VHOST_TSO_MAX;
    if (rte_eth_dev_callback_register(device, RTE_ETH_EVENT_INTR_LSC, guest_changed, v) != 0 ||
        rte_eth_dev_callback_register(device, RTE_ETH_EVENT_QUEUE_STATE, guest_changed, v) != 0) {
        port_vhost_unwatch(v);
        return NULL;
    }
    return v;
}

void port_vhost_opened(struct port_vhost *v) { __atomic_store_n(&v->is_open, true, __ATOMIC_RELEASE); }

void port_vhost_unwatch(struct port_vhost *v)
{
    port_vhost_opened(v);
    while (rte_eth_dev_callback_unregister(v->device, RTE_ETH_EVENT_INTR_LSC, guest_changed, v) == -EAGAIN ||
           rte_eth_dev_callback_unregister(v->device, RTE_ETH_EVENT_QUEUE_STATE, guest_changed, v) == -EAGAIN)
        ; /* it runs just now */
    vhost_free(v);
}
