/* autoconf.c - what workers heard, brought to the control thread, and the control thread's clock */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
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
    struct autoconf *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    int rc = ip_mailbox_init(&a->box);
    if (rc != 0) {
        free(a);
        return rc;
    }
    s->autoconf = a;
    rc = ip_mailbox_wake(&a->box, AUTOCONF_FIRST_US, AUTOCONF_TICK_US);
    return rc != 0 ? rc : make_secret(a->secret);
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

int autoconf_fd(const struct stack *s) { return s->autoconf ? ip_mailbox_fd(&s->autoconf->box) : -1; }

void autoconf_destroy(struct stack *s)
{
    struct autoconf *a = s->autoconf;

    if (!a)
        return;
    ip_mailbox_fini(&a->box);
    free(a);
    s->autoconf = NULL;
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
        ip_mailbox_put(&a->box, p);
    }
    pkt_free(p);
}

/* Workers are not held up when nothing has changed. */
static bool is_due(struct stack *s, uint64_t now_us)
{
    struct autoconf *a = s->autoconf;

    bool due = !ip_mailbox_is_empty(&a->box);
    for (unsigned i = 0; i < s->interfaces->n && !due; i++)
        due = a->ifc[i].ifc && ra_is_due(&a->ifc[i], now_us);
    return due;
}

bool autoconf_poll(struct stack *s, uint64_t now_us)
{
    struct autoconf *a = s->autoconf;
    struct ip_mailbox_msg m;
    bool changed = false;

    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (a->ifc[i].ifc)
            ra_solicit(&a->ifc[i], now_us);
    ip_mailbox_quiet(&a->box);
    if (!is_due(s, now_us) || stack_pause(s) != 0) /* not now: at the next tick */
        return false;
    while (ip_mailbox_take(&a->box, &m))
        changed |= ra_apply(a, &a->ifc[m.ifc->index], &m, now_us);
    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (a->ifc[i].ifc)
            changed |= ra_tick(a, &a->ifc[i], now_us);
    stack_resume(s);
    return changed;
}
