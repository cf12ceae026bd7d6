/* autoconf.c - what workers heard, brought to the control thread, and the control thread's clock */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/siphash.h"
#include "server/autoconf/autoconf_internal.h"
#include "server/icmp/icmp_internal.h"

/* The machine's id is not for showing to others: a hash of it is (machine-id(5)). Without one, identifiers change with each start. */
static int make_secret(uint8_t secret[16])
{
    static const uint8_t key[2][16] = { "hoststack ra id", "hoststack ra ie" };
    char id[64];
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, sizeof(id)) : -1;

    if (fd >= 0)
        close(fd);
    if (n < 32)
        return getrandom(secret, 16, 0) == 16 ? 0 : -errno;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t h = siphash24(key[i], id, 32);
        memcpy(secret + 8 * i, &h, 8);
    }
    return 0;
}

static int make(struct stack *s)
{
    struct itimerspec every = { .it_interval.tv_nsec = 500000000, .it_value.tv_nsec = 100000000 };
    struct epoll_event ev = { .events = EPOLLIN };
    struct autoconf *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    pthread_mutex_init(&a->lock, NULL);
    s->autoconf = a;
    a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (a->epoll_fd < 0 || a->event_fd < 0 || a->timer_fd < 0 || epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->event_fd, &ev) != 0 ||
        epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->timer_fd, &ev) != 0 || timerfd_settime(a->timer_fd, 0, &every, NULL) != 0)
        return -errno;
    return make_secret(a->secret);
}

int autoconf_enable(struct interface *ifc, unsigned addr_flags)
{
    struct stack *s = ifc->stack;
    int rc = s->autoconf ? 0 : make(s);

    if (rc != 0)
        return rc;
    if (ifc->mtu < IP6_MIN_MTU)
        return -EINVAL;
    s->autoconf->ifc[ifc->index] = (struct autoconf_ifc){
        .ifc = ifc, .addr_flags = addr_flags, .rs_left = AUTOCONF_RS_MAX,
    };
    return 0;
}

int autoconf_fd(const struct stack *s) { return s->autoconf ? s->autoconf->epoll_fd : -1; }

void autoconf_destroy(struct stack *s)
{
    struct autoconf *a = s->autoconf;

    if (!a)
        return;
    int fds[] = { a->epoll_fd, a->event_fd, a->timer_fd };
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&a->lock);
    free(a);
    s->autoconf = NULL;
}

/* On a worker. */
static void enqueue(struct autoconf *a, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    uint64_t one = 1;

    pthread_mutex_lock(&a->lock);
    if (a->n_queued < AUTOCONF_QUEUE) {
        struct autoconf_msg *q = &a->queue[a->n_queued++];
        q->ifc = m->ifc;
        q->src = m->src;
        q->len = pkt_len(p);
        pkt_copy_out(p, 0, q->b, q->len);
    }
    pthread_mutex_unlock(&a->lock);
    ssize_t n = write(a->event_fd, &one, sizeof(one));
    (void)n; /* full = readable already */
}

void autoconf_ra_input(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    struct autoconf *a = w->stack->autoconf;
    uint32_t len = pkt_len(p);
    uint8_t b[AUTOCONF_MSG_MAX];

    if (!a || !m->ifc || !a->ifc[m->ifc->index].ifc || (m->flags & PKT_LOCAL)) {
        icmp_drop(w, p, ICMP_DROP_TYPE);
        return;
    }
    bool good = m->ttl == 255 && ip_addr_is_link_local(&m->src) && len >= 16 && len <= sizeof(b); /* RFC 4861 s6.1.2 */
    if (good) {
        pkt_copy_out(p, 0, b, len);
        good = b[1] == 0;
        for (uint32_t at = 16; good && at < len; at += b[at + 1] * 8u)
            good = at + 8 <= len && b[at + 1] != 0 && at + b[at + 1] * 8u <= len;
    }
    if (!good) {
        w->ip->count.neigh[NEIGH_DROP_ND_MALFORMED]++;
        if (capture_is_on(w))
            capture_drop(w, p, "neighbor", neigh_drop_texts[NEIGH_DROP_ND_MALFORMED]);
    } else {
        enqueue(a, p);
    }
    pkt_free(p);
}

/* Workers are not held up when nothing has changed. */
static bool is_due(struct stack *s, uint64_t now_us)
{
    struct autoconf *a = s->autoconf;

    pthread_mutex_lock(&a->lock);
    bool due = a->n_queued != 0;
    pthread_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < s->interfaces->n && !due; i++)
        due = a->ifc[i].ifc && ra_is_due(&a->ifc[i], now_us);
    return due;
}

bool autoconf_poll(struct stack *s, uint64_t now_us)
{
    struct autoconf *a = s->autoconf;
    struct autoconf_msg m;
    bool changed = false;
    uint64_t count;

    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (a->ifc[i].ifc)
            ra_solicit(&a->ifc[i], now_us);
    ssize_t n = read(a->timer_fd, &count, sizeof(count));
    n = read(a->event_fd, &count, sizeof(count));
    (void)n;
    if (!is_due(s, now_us) || stack_pause(s) != 0) /* not now: at the next tick */
        return false;
    while (a->n_queued > 0) { /* workers are held: nobody queues now */
        m = a->queue[0];
        memmove(a->queue, a->queue + 1, --a->n_queued * sizeof(m));
        changed |= ra_apply(a, &a->ifc[m.ifc->index], &m, now_us);
    }
    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (a->ifc[i].ifc)
            changed |= ra_tick(a, &a->ifc[i], now_us);
    stack_resume(s);
    return changed;
}
