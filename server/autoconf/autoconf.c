/* autoconf.c - what workers heard, brought to the control thread, and the control thread's clock */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
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

/* RFC 4861 s6.1.2, s8.1: from a neighbour itself, whole, code 0, with options of a length that there can be. */
static bool is_valid(const struct pkt_meta *m, const uint8_t *b, uint32_t len, uint32_t options_at)
{
    if (m->ttl != 255 || !ip_addr_is_link_local(&m->src) || len < options_at || b[1] != 0)
        return false;
    for (uint32_t at = options_at; at < len; at += b[at + 1] * 8u)
        if (at + 8 > len || b[at + 1] == 0 || at + b[at + 1] * 8u > len)
            return false;
    return true;
}

/* s8.1: the destination is one host's, the target a router or that host itself. */
static bool redirect_is_valid(const uint8_t *b)
{
    struct ip_addr target, dst;

    memcpy(target.b, b + 8, 16);
    memcpy(dst.b, b + 24, 16);
    return !ip_addr_is_multicast(&dst) && !ip_addr_is_any(&dst) && !ip_addr_is_link_local(&dst) && !ip_addr_is_v4(&dst) &&
           !ip_addr_is_loopback(&dst) && (ip_addr_is_link_local(&target) || ip_addr_eq(&target, &dst)) && !ip_addr_is_v4(&target);
}

static void take_message(struct worker *w, struct pkt *p, uint32_t options_at)
{
    const struct pkt_meta *m = pkt_meta(p);
    struct autoconf *a = w->stack->autoconf;
    uint32_t len = pkt_len(p);
    uint8_t b[AUTOCONF_MSG_MAX];

    if (!a || !m->ifc || !a->ifc[m->ifc->index].ifc || (m->flags & PKT_LOCAL)) {
        icmp_drop(w, p, ICMP_DROP_TYPE);
        return;
    }
    bool good = len <= sizeof(b);
    if (good) {
        pkt_copy_out(p, 0, b, len);
        good = is_valid(m, b, len, options_at) && (b[0] != ICMP6_T_REDIRECT || redirect_is_valid(b));
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

void autoconf_ra_input(struct worker *w, struct pkt *p) { take_message(w, p, 16); }
void autoconf_redirect_input(struct worker *w, struct pkt *p) { take_message(w, p, 40); }

void autoconf_neighbor_failed(struct worker *w, struct interface *ifc, const struct ip_addr *ip)
{
    struct autoconf *a = w->stack->autoconf;

    if (a && a->ifc[ifc->index].ifc && !ip_addr_is_v4(ip))
        ip_mailbox_note(&a->box, ifc, ip);
}

bool autoconf_is_over(const void *list, unsigned n, size_t size, uint64_t now_us)
{
    for (const char *at = list, *end = at + n * size; at < end; at += size) {
        const struct autoconf_until *until = (const struct autoconf_until *)at;
        if (until->us && until->us <= now_us)
            return true;
    }
    return false;
}

static bool is_due(struct stack *s, uint64_t now_us)
{
    for (unsigned i = 0; i < s->interfaces->n; i++) {
        const struct autoconf_ifc *ai = &s->autoconf->ifc[i];
        if (ai->ifc && (ra_is_due(ai, now_us) || autoconf_is_over(ai->router, AUTOCONF_ROUTERS, sizeof(ai->router[0]), now_us) ||
                        autoconf_is_over(ai->redirect, AUTOCONF_REDIRECTS, sizeof(ai->redirect[0]), now_us) ||
                        autoconf_is_over(ai->route, AUTOCONF_ROUTES, sizeof(ai->route[0]), now_us)))
            return true;
    }
    return false;
}

static bool take_in(struct autoconf *a, const struct ip_mailbox_msg *m, uint64_t now_us)
{
    struct autoconf_ifc *ai = &a->ifc[m->ifc->index];

    if (m->len == 0)
        return ra_failed(ai, &m->src, now_us) | redirect_failed(ai, &m->src) | route_info_failed(ai, &m->src);
    return m->b[0] == ICMP6_T_REDIRECT ? redirect_apply(ai, m, now_us) : ra_apply(a, ai, m, now_us);
}

bool autoconf_poll(struct stack *s, uint64_t now_us)
{
    struct autoconf *a = s->autoconf;
    struct ip_mailbox_msg m;
    bool changed = false, held = false;

    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (a->ifc[i].ifc)
            ra_solicit(&a->ifc[i], now_us);
    ip_mailbox_quiet(&a->box);
    /* Workers are not held up when nothing will change. */
    while (ip_mailbox_take(&a->box, &m)) {
        if (m.len == 0 && !ra_knows(&a->ifc[m.ifc->index], &m.src))
            continue;
        if (!held && stack_pause(s) != 0)
            return false; /* it is lost, as on the link */
        held = true;
        changed |= take_in(a, &m, now_us);
    }
    if (!held && (!is_due(s, now_us) || stack_pause(s) != 0)) /* not now: at the next tick */
        return false;
    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (a->ifc[i].ifc)
            changed |= ra_tick(a, &a->ifc[i], now_us) | redirect_tick(&a->ifc[i], now_us) | route_info_tick(&a->ifc[i], now_us);
    stack_resume(s);
    return changed;
}

/* ---------------------------------------------------------------- show */

static void add_seconds(json_t *row, const char *name, uint64_t until_us, uint64_t now_us)
{
    if (until_us != UINT64_MAX)
        json_object_set_new(row, name, json_integer(until_us > now_us ? (json_int_t)((until_us - now_us) / 1000000) : 0));
}

static const char *const preference_names[] = { "low", "medium", "high" };

static json_t *routers_of(const struct autoconf_ifc *ai, uint64_t now_us)
{
    json_t *list = json_array();
    char text[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; i < AUTOCONF_ROUTERS; i++) {
        const struct autoconf_router *r = &ai->router[i];
        if (!r->until.us)
            continue;
        json_t *row = json_pack("{s:s, s:s, s:b, s:b}", "address", ip_addr_format(&r->ip, text), "preference", preference_names[r->preference + 1],
                                "reachable", !r->is_silent, "used", ip_addr_eq(&r->ip, &ai->gateway));
        add_seconds(row, "expire_s", r->until.us, now_us);
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *routes_of(const struct autoconf_ifc *ai, uint64_t now_us)
{
    json_t *list = json_array();
    char text[IP_ADDR_TEXT_MAX], via[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; i < AUTOCONF_ROUTES; i++) {
        const struct autoconf_route *r = &ai->route[i];
        if (!r->until.us)
            continue;
        json_t *row = json_pack("{s:o, s:s, s:s, s:b, s:b}", "prefix", json_sprintf("%s/%u", ip_addr_format(&r->prefix.ip, text), r->prefix.len),
                                "router", ip_addr_format(&r->router, via), "preference", preference_names[r->preference + 1], "reachable",
                                !r->is_silent, "used", r->is_in);
        add_seconds(row, "expire_s", r->until.us, now_us);
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *prefixes_of(const struct autoconf_ifc *ai, uint64_t now_us)
{
    json_t *list = json_array();
    char text[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; i < AUTOCONF_PREFIXES; i++) {
        const struct autoconf_prefix *p = &ai->prefix[i];
        if (!p->is_used)
            continue;
        json_t *row = json_pack("{s:o, s:b}", "prefix", json_sprintf("%s/%u", ip_addr_format(&p->prefix.ip, text), p->prefix.len), "on_link",
                                p->on_link);
        if (p->has_address)
            json_object_set_new(row, "address", json_string(ip_addr_format(&p->address.ip, text)));
        add_seconds(row, "valid_s", p->valid_until_us, now_us);
        add_seconds(row, "preferred_s", p->preferred_until_us, now_us);
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *redirects_of(const struct autoconf_ifc *ai, uint64_t now_us)
{
    json_t *list = json_array();
    char text[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; i < AUTOCONF_REDIRECTS; i++) {
        const struct autoconf_redirect *d = &ai->redirect[i];
        if (!d->until.us)
            continue;
        json_t *row = json_pack("{s:s}", "destination", ip_addr_format(&d->dst, text));
        json_object_set_new(row, "via", json_string(ip_addr_is_any(&d->via) ? "link" : ip_addr_format(&d->via, text)));
        add_seconds(row, "expire_s", d->until.us, now_us);
        json_array_append_new(list, row);
    }
    return list;
}

void autoconf_show(struct stack *s, json_t *array)
{
    uint64_t now_us = clock_now_us();

    for (unsigned i = 0; s->autoconf && i < s->interfaces->n; i++) {
        const struct autoconf_ifc *ai = &s->autoconf->ifc[i];
        if (ai->ifc)
            json_array_append_new(array, json_pack("{s:s, s:i, s:i, s:I, s:I, s:o, s:o, s:o, s:o}", "interface", ai->ifc->name, "mtu",
                                                   ai->ifc->mtu, "hop_limit", ai->ifc->hop_limit, "reachable_ms",
                                                   (json_int_t)ai->ifc->reachable_ms, "retrans_ms", (json_int_t)ai->ifc->retrans_ms,
                                                   "routers", routers_of(ai, now_us), "prefixes", prefixes_of(ai, now_us), "redirects",
                                                   redirects_of(ai, now_us), "routes", routes_of(ai, now_us)));
    }
}
