/* vcl_sctp_many.c - one-to-many sockets (RFC 6458 s3): one socket in front of its associations
 *
 * Each association is a socket of its own that nobody but this file knows; the one-to-many socket has none of its own session but the
 * bound endpoint, which listens. What happens to an association is told to who waits for the one-to-many socket (vcl_set_notify()).
 * Locks: vcl_sctp_many.lock after the worker's and before an association's own. */
#include <stdlib.h>
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

int vcl_sctp_make_many(struct vcl_socket *s)
{
    struct vcl_sctp_many *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    pthread_mutex_init(&m->lock, NULL);
    s->sctp->many = m;
    return 0;
}

void vcl_sctp_many_free(struct vcl_sctp_many *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- the list. Lock held ---- */
static void link_last(struct vcl_sctp_many *m, struct vcl_socket *a)
{
    struct vcl_socket **at = &m->first;

    while (*at)
        at = &(*at)->sctp->next;
    a->sctp->next = NULL;
    *at = a;
    m->n++;
}

static bool unlink_one(struct vcl_sctp_many *m, struct vcl_socket *a)
{
    for (struct vcl_socket **at = &m->first; *at; at = &(*at)->sctp->next) {
        if (*at != a)
            continue;
        *at = a->sctp->next;
        a->sctp->next = NULL;
        a->sctp->parent = NULL;
        if (m->current == a)
            m->current = NULL;
        m->n--;
        return true;
    }
    return false;
}

void vcl_sctp_many_adopt(struct vcl_socket *s, struct vcl_socket *a)
{
    struct vcl_sctp_many *m = s->sctp->many;

    a->sctp->is_branch = true;
    pthread_mutex_lock(&m->lock);
    a->sctp->parent = s;
    link_last(m, a);
    pthread_mutex_unlock(&m->lock);
}

/* It has ended, or is another's from now on: the list's reference passes to the caller. */
static bool let_go(struct vcl_socket *s, struct vcl_socket *a)
{
    bool was;

    pthread_mutex_lock(&s->w->lock); /* notices of it look at its parent under this one */
    pthread_mutex_lock(&s->sctp->many->lock);
    was = unlink_one(s->sctp->many, a);
    pthread_mutex_unlock(&s->sctp->many->lock);
    pthread_mutex_unlock(&s->w->lock);
    return was;
}

static void forget(struct vcl_socket *s, struct vcl_socket *a)
{
    if (let_go(s, a))
        vcl_socket_put(a);
}

/* Associations that have ended and of which everything was told. */
static void reap(struct vcl_socket *s)
{
    struct vcl_sctp_many *m = s->sctp->many;
    struct vcl_socket *a;

    do {
        pthread_mutex_lock(&m->lock);
        for (a = m->first; a && !vcl_sctp_is_over(a); a = a->sctp->next)
            ;
        if (a)
            vcl_socket_get(a);
        pthread_mutex_unlock(&m->lock);
        if (a) {
            forget(s, a);
            vcl_socket_put(a);
        }
    } while (a);
}

void vcl_sctp_many_close(struct vcl_socket *s)
{
    struct vcl_sctp_many *m = s->sctp->many;
    struct vcl_socket *a;

    for (;;) {
        pthread_mutex_lock(&m->lock);
        a = m->first;
        pthread_mutex_unlock(&m->lock);
        if (!a)
            return;
        a->opt.linger = s->opt.linger;
        forget(s, a);
    }
}

/* Those that are not yet over count as associations. */
static bool is_alive(const struct vcl_socket *a)
{
    uint8_t state = vcl_state(a);

    return state == VCL_CONNECTING ||
           (state == VCL_CONNECTED && !a->sctp->aborted && !(a->wr_shut && svm_fifo_cons_is_fin(&a->rx)) && !svm_fifo_cons_rst(&a->rx));
}

struct vcl_socket *vcl_sctp_assoc(struct vcl_socket *s, uint32_t id)
{
    struct vcl_sctp_many *m = s->sctp->many;
    struct vcl_socket *a;

    pthread_mutex_lock(&m->lock);
    for (a = m->first; a && a->sctp->assoc_id != id; a = a->sctp->next)
        ;
    if (a)
        vcl_socket_get(a);
    pthread_mutex_unlock(&m->lock);
    return a;
}

/* One of its peer's addresses, as far as it is known here (RFC 6458 s3.1.3: any of them names the association). */
static bool is_of_peer(struct vcl_socket *a, const struct ip_endpoint *rmt)
{
    const struct vcl_sctp *c = a->sctp;
    bool yes;

    if (a->rmt.port.raw != rmt->port.raw)
        return false;
    vcl_socket_lock(a);
    yes = ip_addr_eq(&a->rmt.ip, &rmt->ip) || (c->has_from && ip_addr_eq(&c->from, &rmt->ip));
    for (uint32_t i = 0; !yes && i < c->n_peers; i++)
        yes = ip_addr_eq(&c->peers[i], &rmt->ip);
    vcl_socket_unlock(a);
    return yes;
}

/* Once for each association, when an address was missed among them. */
static int learn_peers(struct vcl_socket *a, void *arg)
{
    const struct ip_endpoint *rmt = arg;
    struct ip_addr ip[SVM_SCTP_ADDRS_MAX], *peers;
    uint32_t n;
    bool known;

    vcl_socket_lock(a);
    known = a->sctp->peers != NULL;
    vcl_socket_unlock(a);
    if (known || vcl_sctp_is_near(a) || a->rmt.port.raw != rmt->port.raw || vcl_state(a) != VCL_CONNECTED)
        return 0;
    n = vcl_sctp_ask_peers(a, ip);
    peers = n ? malloc(n * sizeof(*peers)) : NULL;
    if (!peers)
        return 0;
    memcpy(peers, ip, n * sizeof(*peers));
    vcl_socket_lock(a);
    if (!a->sctp->peers) {
        a->sctp->peers = peers;
        a->sctp->n_peers = n;
        peers = NULL;
    }
    vcl_socket_unlock(a);
    free(peers);
    return 0;
}

static struct vcl_socket *assoc_known(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    struct vcl_sctp_many *m = s->sctp->many;
    struct vcl_socket *a;

    pthread_mutex_lock(&m->lock);
    for (a = m->first; a; a = a->sctp->next)
        if (is_of_peer(a, rmt) && is_alive(a))
            break;
    if (a)
        vcl_socket_get(a);
    pthread_mutex_unlock(&m->lock);
    return a;
}

static struct vcl_socket *assoc_of_peer(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    struct vcl_socket *a = assoc_known(s, rmt);
    struct ip_endpoint want = *rmt;

    if (a)
        return a;
    (void)vcl_sctp_many_each(s, learn_peers, &want);
    return assoc_known(s, rmt);
}

uint32_t vcl_sctp_many_ids(struct vcl_socket *s, sctp_assoc_t *ids, uint32_t room)
{
    struct vcl_sctp_many *m = s->sctp->many;
    uint32_t n = 0;

    pthread_mutex_lock(&m->lock);
    for (struct vcl_socket *a = m->first; a; a = a->sctp->next) {
        if (!is_alive(a))
            continue;
        if (n < room)
            ids[n] = (sctp_assoc_t)a->sctp->assoc_id;
        n++;
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

int vcl_sctp_many_each(struct vcl_socket *s, int (*fn)(struct vcl_socket *a, void *arg), void *arg)
{
    struct vcl_socket *a[VCL_SCTP_BATCH];
    uint32_t last = 0;
    int rc = 0, n;

    do { /* by id, which only grows, in batches: fn takes locks that must not be taken inside of the list's */
        n = 0;
        pthread_mutex_lock(&s->sctp->many->lock);
        for (struct vcl_socket *x = s->sctp->many->first; x && n < VCL_SCTP_BATCH; x = x->sctp->next)
            if (x->sctp->assoc_id > last)
                a[n++] = vcl_socket_get(x);
        pthread_mutex_unlock(&s->sctp->many->lock);
        for (int i = 0; i < n; i++) {
            int r = rc ? 0 : fn(a[i], arg);

            rc = rc ? rc : r;
            last = hs_max_u32(last, a[i]->sctp->assoc_id);
            vcl_socket_put(a[i]);
        }
    } while (n == VCL_SCTP_BATCH && !rc);
    return rc;
}

/* ---- after a fork: the socket is several processes' ---- */
static int claim_one(struct vcl_socket *a, void *arg)
{
    (void)arg;
    if (a->shared && vcl_state(a) == VCL_CONNECTED)
        (void)vcl_socket_enter_soon(a); /* not now: it says so again when it is here */
    return 0;
}

/* Who uses it gets what calls from now on, and has the associations that there are. */
static void take_over(struct vcl_socket *s)
{
    if (vcl_state(s) == VCL_LISTENING && s->armed != VCL_ARM_ON) {
        pthread_mutex_lock(&s->w->lock);
        vcl_accept_arm(s, VCL_ARM_ON);
        pthread_mutex_unlock(&s->w->lock);
    }
    (void)vcl_sctp_many_each(s, claim_one, NULL);
}

/* ---- readiness: of all of them ---- */
bool vcl_sctp_many_arm_read(struct vcl_socket *s)
{
    struct vcl_sctp_many *m = s->sctp->many;
    bool ready = false;

    pthread_mutex_lock(&m->lock);
    for (struct vcl_socket *a = m->first; a; a = a->sctp->next)
        if ((a->has_fifos && vcl_arm_read(a)) || a->sctp->due || atomic_load(&a->peer_gone))
            ready = vcl_sctp_has_news(a) || ready;
    pthread_mutex_unlock(&m->lock);
    return ready;
}

static bool has_room(struct vcl_socket *a)
{
    bool yes = true;

    vcl_socket_lock(a);
    if (a->has_fifos && a->sctp->tx_want && !a->wr_shut && !svm_fifo_prod_peer_closed(&a->tx)) {
        int64_t space = svm_fifo_prod_space(&a->tx);

        yes = space < 0 || space >= hs_min_u32(a->sctp->tx_want, a->tx.max_size);
    }
    vcl_socket_unlock(a);
    return yes;
}

/* Writable unless a message did not fit and would still not. */
static bool many_has_room(struct vcl_socket *s, bool arm)
{
    struct vcl_sctp_many *m = s->sctp->many;
    bool yes = true;

    pthread_mutex_lock(&m->lock);
    for (struct vcl_socket *a = m->first; a; a = a->sctp->next)
        if (a->sctp->tx_want && !has_room(a) && !(arm && vcl_arm_write(a)))
            yes = false;
    pthread_mutex_unlock(&m->lock);
    return yes;
}

bool vcl_sctp_many_arm_write(struct vcl_socket *s) { return many_has_room(s, true); }

uint32_t vcl_sctp_many_poll(struct vcl_socket *s)
{
    struct vcl_sctp_many *m = s->sctp->many;
    uint32_t ev = atomic_load_explicit(&s->error, memory_order_relaxed) ? EPOLLERR : 0;

    if (many_has_room(s, false))
        ev |= EPOLLOUT;
    pthread_mutex_lock(&m->lock);
    for (struct vcl_socket *a = m->first; a && !(ev & EPOLLIN); a = a->sctp->next)
        ev |= vcl_sctp_has_news(a) ? EPOLLIN : 0;
    pthread_mutex_unlock(&m->lock);
    return ev;
}

/* ---- receiving ---- */

/* Whose turn it is: who has begun a message goes on, else the next one that has something (s8.1.20: no interleaving). */
static struct vcl_socket *next_readable(struct vcl_socket *s)
{
    struct vcl_sctp_many *m = s->sctp->many;
    struct vcl_socket *start, *a;

    pthread_mutex_lock(&m->lock);
    start = m->current ? m->current : m->first;
    a = start;
    if (m->current && !m->in_message)
        a = m->current->sctp->next ? m->current->sctp->next : m->first;
    start = a;
    while (a && !vcl_sctp_has_news(a)) {
        if (m->in_message) {
            a = NULL;
            break;
        }
        a = a->sctp->next ? a->sctp->next : m->first;
        if (a == start)
            a = NULL;
    }
    if (a) {
        m->current = a;
        vcl_socket_get(a);
    }
    pthread_mutex_unlock(&m->lock);
    return a;
}

static void went_on(struct vcl_socket *s, struct vcl_socket *a, bool in_message)
{
    pthread_mutex_lock(&s->sctp->many->lock);
    if (s->sctp->many->current == a)
        s->sctp->many->in_message = in_message;
    pthread_mutex_unlock(&s->sctp->many->lock);
}

ssize_t vcl_sctp_many_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    struct vcl_tries tries = vcl_tries_begin(s, flags);
    struct vcl_msg_info own = { .flags = 0 };

    for (;;) {
        struct vcl_socket *a;
        bool is_away;
        ssize_t n;
        int rc;

        if (hs_unlikely(s->shared))
            take_over(s);
        a = next_readable(s);
        if (a) {
            if (!info)
                info = &own;
            n = vcl_sctp_recv(a, iov, n_iov, flags | MSG_DONTWAIT, info);
            went_on(s, a, n > 0 && !(info->flags & MSG_EOR) && !(flags & MSG_PEEK));
            if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR)) /* over, and nothing more to tell of it */
                forget(s, a);
            is_away = n == -EAGAIN && a->shared; /* another process has it, and hands it over */
            vcl_socket_put(a);
            if (n > 0)
                return n;
            if (!is_away)
                continue;
        }
        reap(s);
        rc = atomic_exchange(&s->error, 0);
        if (rc)
            return rc;
        if (vcl_state(s) == VCL_DEAD)
            return -ENOTCONN;
        rc = vcl_again_read(s, &tries);
        if (rc)
            return rc;
    }
}

/* ---- sending ---- */

/* A new association, from the socket's address and port and with its options; the caller gets a reference, the list has one. */
static int new_assoc(struct vcl_socket *s, const struct ip_endpoint *rmt, const struct vcl_sctp_msg *m, struct vcl_socket **out)
{
    struct vcl_socket *a;
    int rc = 0;

    reap(s);
    if (vcl_state(s) == VCL_NEW && !s->has_lcl)
        rc = vcl_bind(s, &(struct ip_endpoint){ ip_addr_any(!s->is_v6), { 0 } });
    if (rc == 0)
        rc = vcl_sctp_name_also(s, rmt, m);
    if (rc)
        return rc;
    a = vcl_socket_alloc(s->w, SVM_PROTO_SCTP, s->is_v6);
    if (!a)
        return -ENOMEM;
    if (vcl_options_inherit(a, s) != 0) {
        vcl_socket_free(a);
        return -ENOMEM;
    }
    vcl_sctp_inherit(a, s);
    a->lcl = s->lcl;
    a->has_lcl = s->has_lcl;
    a->rmt = *rmt;
    atomic_store(&a->nonblock, true);
    vcl_sctp_many_adopt(s, vcl_socket_get(a));
    rc = vcl_connect(a, rmt);
    atomic_store(&a->nonblock, false); /* messages wait as the program's calls say */
    if (rc == 0 || rc == -EINPROGRESS) {
        *out = a;
        return 0;
    }
    forget(s, a);
    vcl_socket_put(a);
    return rc;
}

int vcl_sctp_many_connect(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    struct vcl_socket *a = assoc_of_peer(s, rmt);
    struct vcl_deadline d = vcl_deadline_ns(s->opt.snd_timeout_ns);
    int rc;

    if (a) {
        rc = vcl_state(a) == VCL_CONNECTING ? -EALREADY : -EISCONN;
        vcl_socket_put(a);
        return rc;
    }
    rc = new_assoc(s, rmt, NULL, &a);
    if (rc)
        return rc;
    s->sctp->many->connected_id = a->sctp->assoc_id;
    if (atomic_load(&s->nonblock)) {
        rc = -EINPROGRESS;
    } else {
        rc = vcl_wait_socket(a, vcl_ready_connect, &d);
        if (rc == 0 && vcl_state(a) != VCL_CONNECTED) {
            rc = atomic_exchange(&a->error, 0);
            rc = rc ? rc : -ECONNABORTED;
            forget(s, a);
        }
    }
    vcl_socket_put(a);
    return rc;
}

struct one_message {
    const struct iovec *iov;
    int n_iov, flags;
    const struct vcl_msg_info *info;
    size_t len;
};

static int send_to(struct vcl_socket *a, void *arg)
{
    const struct one_message *o = arg;
    ssize_t n = vcl_state(a) == VCL_CONNECTED ? vcl_sctp_send(a, o->iov, o->n_iov, o->flags, o->info) : 0;

    return n < 0 ? (int)n : 0;
}

/* RFC 6458 s5.3.4 SCTP_SENDALL: one message to every association. */
static ssize_t send_all(struct vcl_socket *s, struct one_message *o, const struct vcl_sctp_msg *m)
{
    struct vcl_sctp_msg each = *m;
    struct vcl_msg_info info = { .sctp = &each };
    int rc;

    each.flags &= (uint16_t)~SCTP_SENDALL;
    o->info = &info;
    for (int i = 0; i < o->n_iov; i++)
        o->len += o->iov[i].iov_len;
    rc = vcl_sctp_many_each(s, send_to, o);
    return rc ? rc : (ssize_t)o->len;
}

ssize_t vcl_sctp_many_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    const struct vcl_sctp_msg *m = info ? info->sctp : NULL;
    bool wait = !(flags & MSG_DONTWAIT) && !atomic_load_explicit(&s->nonblock, memory_order_relaxed);
    uint16_t sflags = m && m->has_snd ? m->flags : s->sctp->o.snd.snd_flags;
    struct one_message o = { .iov = iov, .n_iov = n_iov, .flags = wait ? flags : flags | MSG_DONTWAIT, .info = info };
    struct vcl_msg_info there = { 0 };
    struct vcl_socket *a;
    ssize_t n;

    if (hs_unlikely(s->shared))
        take_over(s);
    if (m && sflags & SCTP_SENDALL)
        return send_all(s, &o, m);
    if (info && info->has_peer) {
        if (!s->is_v6 && !ip_addr_is_v4(&info->peer.ip))
            return -EINVAL;
        a = assoc_of_peer(s, &info->peer);
        if (!a && sflags & (SCTP_EOF | SCTP_ABORT))
            return -EINVAL;
        if (!a) {
            int rc = new_assoc(s, &info->peer, m, &a);

            if (rc)
                return rc;
        }
        there = *info;
        there.has_peer = (sflags & SCTP_ADDR_OVER) != 0;
        o.info = &there;
    } else {
        a = vcl_sctp_assoc(s, m && m->has_snd ? m->assoc_id : (uint32_t)s->sctp->o.snd.snd_assoc_id);
        if (!a)
            return -EPIPE;
    }
    n = vcl_sctp_send(a, o.iov, o.n_iov, wait ? o.flags & ~MSG_DONTWAIT : o.flags, o.info);
    vcl_socket_put(a);
    return n;
}

/* ---- RFC 6458 s9.2 ---- */
int vcl_sctp_peeloff(struct vcl_socket *s, uint32_t id, struct vcl_socket **out)
{
    struct vcl_socket *a;

    if (!s->sctp || !s->sctp->many)
        return -EINVAL;
    a = vcl_sctp_assoc(s, id);
    if (!a)
        return -EINVAL;
    if (!let_go(s, a)) {
        vcl_socket_put(a);
        return -EINVAL;
    }
    vcl_socket_put(a); /* the list's reference is the caller's now */
    a->sctp->is_branch = false;
    atomic_store(&a->nonblock, false);
    *out = a;
    return 0;
}
