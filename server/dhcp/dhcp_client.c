/* dhcp_client.c - the states of a DHCP client (RFC 2131 s4.4): a row a state, a function for each thing that may happen in it */
#include "server/dhcp/dhcp_client.h"

#include <string.h>

#define SECOND_US 1000000ull

static uint64_t after(uint64_t now_us, uint64_t seconds) { return now_us + seconds * SECOND_US; }

static void set_state(struct dhcp_client *c, enum dhcp_state to, uint64_t due_us)
{
    if (c->state != to)
        c->tries = 0;
    c->state = (uint8_t)to;
    c->due_us = due_us;
}

/* ---------------------------------------------------------------- out */

static void tell(struct dhcp_client *c, enum dhcp_type type, bool to_server, uint64_t now_us)
{
    const struct ip_addr any = ip_addr_any(true), broadcast = ip_addr_v4(be32_of(0xffffffff));
    bool has = c->state >= DHCP_BOUND, tells = type == DHCP_DECLINE || type == DHCP_RELEASE;
    struct dhcp_request r = { .type = (uint8_t)type, .xid = c->xid, .ciaddr = any, .asked = any, .server = any, .wants_broadcast = !has };
    uint64_t secs = (now_us - c->started_us) / SECOND_US;
    uint8_t b[DHCP_MSG_MAX];

    memcpy(r.mac, c->mac, 6);
    r.secs = secs > UINT16_MAX ? UINT16_MAX : (uint16_t)secs;
    /* RFC 2131 s4.3.6 table 4, s4.4.1 table 5: who has an address says so by ciaddr, who has not by the option. */
    if (has)
        r.ciaddr = c->lease.yours;
    else if (type != DHCP_DISCOVER)
        r.asked = c->lease.yours;
    if (tells || c->state == DHCP_REQUESTING)
        r.server = c->lease.server;
    if (tells)
        r.wants_broadcast = false;
    uint32_t len = dhcp_msg_build(&r, b);
    c->ops->send(c->arg, b, len, has ? &c->lease.yours : &any, to_server ? &c->lease.server : &broadcast);
    c->tries++;
}

/* s4.1: 4, 8, 16, 32, 64 seconds, each plus or minus one at random. */
static uint64_t next_try(struct dhcp_client *c, uint64_t now_us)
{
    uint64_t s = DHCP_FIRST_RETRY_S;

    for (unsigned i = 1; i < c->tries && s < DHCP_LAST_RETRY_S; i++)
        s *= 2;
    return after(now_us, s) - SECOND_US + c->ops->random(c->arg) % (2 * SECOND_US);
}

static void discover(struct dhcp_client *c, uint64_t now_us)
{
    set_state(c, DHCP_SELECTING, 0);
    c->count.discovers++;
    tell(c, DHCP_DISCOVER, false, now_us);
    c->due_us = next_try(c, now_us);
}

static void request(struct dhcp_client *c, uint64_t now_us)
{
    c->count.requests++;
    c->asked_us = now_us;
    tell(c, DHCP_REQUEST, c->state == DHCP_RENEWING, now_us);
}

static void begin(struct dhcp_client *c, uint64_t now_us)
{
    c->xid = c->ops->random(c->arg);
    c->started_us = now_us;
    discover(c, now_us);
}

static void begin_in(struct dhcp_client *c, unsigned seconds, uint64_t now_us)
{
    set_state(c, DHCP_INIT, after(now_us, seconds));
}

static void forget(struct dhcp_client *c) { c->ops->remember(c->arg, NULL, 0); }

static void lose(struct dhcp_client *c, unsigned seconds, const char *why, uint64_t now_us)
{
    forget(c);
    c->ops->unbind(c->arg, &c->lease, why);
    begin_in(c, seconds, now_us);
}

/* ---------------------------------------------------------------- leases */

/* s4.4.5: the times of the server where they are in order, else half and seven eighths of the lease. */
static void set_times(struct dhcp_client *c)
{
    const struct dhcp_msg *l = &c->lease;
    uint64_t lease = l->lease_s * SECOND_US, renew = l->renew_s * SECOND_US, rebind = l->rebind_s * SECOND_US;

    c->renew_us = c->rebind_us = c->expire_us = UINT64_MAX;
    if (l->lease_s == UINT32_MAX)
        return;
    if (rebind == 0 || rebind >= lease)
        rebind = lease / 8 * 7;
    if (renew == 0 || renew >= rebind)
        renew = lease / 2 < rebind ? lease / 2 : rebind / 2;
    c->renew_us = c->asked_us + renew;
    c->rebind_us = c->asked_us + rebind;
    c->expire_us = c->asked_us + lease;
}

static void take_lease(struct dhcp_client *c, const struct dhcp_msg *m)
{
    struct ip_addr server = c->lease.server;

    c->lease = *m;
    if (ip_addr_is_any(&m->server))
        c->lease.server = server;
    set_times(c);
}

static void check_address(struct dhcp_client *c, uint64_t now_us)
{
    if (c->ops->bind(c->arg, &c->lease) != 0) {
        begin_in(c, DHCP_DECLINE_WAIT_S, now_us);
        return;
    }
    set_state(c, DHCP_CHECKING, UINT64_MAX);
}

static void become_bound(struct dhcp_client *c)
{
    set_state(c, DHCP_BOUND, c->renew_us);
    c->ops->apply(c->arg, &c->lease);
    c->ops->remember(c->arg, &c->lease.yours, c->expire_us);
}

void dhcp_client_checked(struct dhcp_client *c, bool is_free, uint64_t now_us)
{
    if (c->state != DHCP_CHECKING)
        return;
    if (!is_free) { /* s4.4.1: another one has it */
        c->count.declines++;
        tell(c, DHCP_DECLINE, false, now_us);
        lose(c, DHCP_DECLINE_WAIT_S, "another host has it", now_us);
        return;
    }
    become_bound(c);
}

/* ---------------------------------------------------------------- what happens in a state */

static void offer_selected(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    if (ip_addr_is_any(&m->server) || m->lease_s == 0) { /* s4.3.1 table 3: must be there */
        c->count.ignored++;
        return;
    }
    c->lease = *m; /* the first one that comes (s4.4.1) */
    set_state(c, DHCP_REQUESTING, 0);
    request(c, now_us);
    c->due_us = next_try(c, now_us);
}

static void request_again(struct dhcp_client *c, uint64_t now_us)
{
    if (c->tries >= DHCP_REQUEST_TRIES) {
        begin(c, now_us);
        return;
    }
    uint64_t asked_us = c->asked_us; /* the first of them may be the one that is answered */
    request(c, now_us);
    c->asked_us = asked_us;
    c->due_us = next_try(c, now_us);
}

static void ack_of_request(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    if (m->lease_s == 0 || (!ip_addr_is_any(&m->server) && !ip_addr_eq(&m->server, &c->lease.server))) {
        c->count.ignored++;
        return;
    }
    take_lease(c, m);
    check_address(c, now_us);
}

static void nak_of_request(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    (void)m;
    begin_in(c, DHCP_NAK_WAIT_S, now_us);
}

/* s3.2, s4.3.2: by broadcast, the address as an option, no server named: whoever knows the network answers. */
static void reboot(struct dhcp_client *c, uint64_t now_us)
{
    if (c->tries >= DHCP_REBOOT_TRIES) {
        begin(c, now_us);
        return;
    }
    if (c->tries == 0) {
        c->xid = c->ops->random(c->arg);
        c->started_us = now_us;
    }
    request(c, now_us);
    c->due_us = next_try(c, now_us);
}

static void ack_of_reboot(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    if (m->lease_s == 0 || ip_addr_is_any(&m->server)) {
        c->count.ignored++;
        return;
    }
    take_lease(c, m);
    check_address(c, now_us);
}

static void nak_of_reboot(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    (void)m;
    forget(c);
    begin_in(c, DHCP_NAK_WAIT_S, now_us);
}

/* s4.4.5: half of what is left, not more often than once a minute. */
static void renew_again(struct dhcp_client *c, uint64_t end_us, uint64_t now_us)
{
    uint64_t half = (end_us - now_us) / 2, least = DHCP_RENEW_RETRY_S * SECOND_US;

    request(c, now_us);
    c->due_us = now_us + (half > least ? half : least);
    if (c->due_us > end_us)
        c->due_us = end_us;
}

static void rebind(struct dhcp_client *c, uint64_t now_us)
{
    if (now_us >= c->expire_us) { /* s4.4.5: it stops being ours at once */
        lose(c, 0, "its lease is over", now_us);
        return;
    }
    set_state(c, DHCP_REBINDING, 0);
    renew_again(c, c->expire_us, now_us);
}

static void renew(struct dhcp_client *c, uint64_t now_us)
{
    if (now_us >= c->rebind_us) {
        rebind(c, now_us);
        return;
    }
    if (c->state == DHCP_BOUND) {
        c->xid = c->ops->random(c->arg);
        c->started_us = now_us;
    }
    set_state(c, DHCP_RENEWING, 0);
    renew_again(c, c->rebind_us, now_us);
}

static void ack_of_renewal(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    if (m->lease_s == 0) {
        c->count.ignored++;
        return;
    }
    if (!ip_addr_eq(&m->yours, &c->lease.yours) || m->prefix_len != c->lease.prefix_len) {
        c->ops->unbind(c->arg, &c->lease, "the server gives another one");
        take_lease(c, m);
        check_address(c, now_us);
        return;
    }
    take_lease(c, m);
    become_bound(c);
}

static void nak_of_renewal(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    (void)m;
    lose(c, DHCP_NAK_WAIT_S, "the server refuses it", now_us);
}

static void ignore(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    (void)m;
    (void)now_us;
    c->count.ignored++;
}

static void nothing(struct dhcp_client *c, uint64_t now_us)
{
    (void)now_us;
    c->due_us = UINT64_MAX;
}

static const struct state {
    const char *name;
    void (*timeout)(struct dhcp_client *c, uint64_t now_us);
    void (*offer)(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us);
    void (*ack)(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us);
    void (*nak)(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us);
} states[DHCP_STATES] = {        /* RFC 2131 s4.4, figure 5 */
    [DHCP_INIT] = { "init", begin, ignore, ignore, ignore },
    [DHCP_SELECTING] = { "selecting", discover, offer_selected, ignore, ignore },
    [DHCP_REQUESTING] = { "requesting", request_again, ignore, ack_of_request, nak_of_request },
    [DHCP_REBOOTING] = { "rebooting", reboot, ignore, ack_of_reboot, nak_of_reboot },
    [DHCP_CHECKING] = { "checking", nothing, ignore, ignore, ignore },
    [DHCP_BOUND] = { "bound", renew, ignore, ignore, ignore },
    [DHCP_RENEWING] = { "renewing", renew, ignore, ack_of_renewal, nak_of_renewal },
    [DHCP_REBINDING] = { "rebinding", rebind, ignore, ack_of_renewal, nak_of_renewal },
};

const char *dhcp_state_name(uint8_t state) { return states[state].name; }

void dhcp_client_start(struct dhcp_client *c, const struct ip_addr *former, uint64_t now_us)
{
    if (former)
        c->lease.yours = *former;
    set_state(c, former ? DHCP_REBOOTING : DHCP_INIT, now_us);
}

void dhcp_client_input(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us)
{
    const struct state *s = &states[c->state];

    if (m->xid != c->xid || memcmp(m->mac, c->mac, 6) != 0) { /* s4.4.1: somebody else's */
        c->count.ignored++;
        return;
    }
    if (m->type == DHCP_OFFER) {
        c->count.offers++;
        s->offer(c, m, now_us);
    } else if (m->type == DHCP_ACK) {
        c->count.acks++;
        s->ack(c, m, now_us);
    } else {
        c->count.naks++;
        memcpy(c->text, m->text, sizeof(c->text));
        s->nak(c, m, now_us);
    }
}

void dhcp_client_tick(struct dhcp_client *c, uint64_t now_us)
{
    if (c->due_us <= now_us)
        states[c->state].timeout(c, now_us);
}

void dhcp_client_release(struct dhcp_client *c, uint64_t now_us)
{
    if (dhcp_client_has_address(c)) {
        c->xid = c->ops->random(c->arg);
        c->count.releases++;
        tell(c, DHCP_RELEASE, true, now_us);
        forget(c);
    }
    set_state(c, DHCP_INIT, UINT64_MAX);
}
