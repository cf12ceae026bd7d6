/* dhcp_client.h - one DHCP client (RFC 2131 s4.4), without packets and clock
 *
 *              DISCOVER          OFFER            ACK           nobody has it
 *   INIT ---------------> SELECTING ----> REQUESTING ----> CHECKING ----> BOUND
 *    ^                                        | NAK           | DECLINE    | T1      ^ ACK
 *    |<---------------------------------------+<--------------+            v         |
 *    |                                  NAK                            RENEWING -----+
 *    |<--------------------------------------------------------------------| T2      |
 *    |                                  NAK, the lease is over             v         |
 *    +<---------------------------------------------------------------- REBINDING ---+
 *
 * With a lease of the run before: REBOOTING --ACK--> CHECKING; NAK or no answer --> INIT (s3.2).
 *
 * Owner:  the caller; nothing is allocated.
 * Thread: one; time comes in.
 * Errors: messages that do not fit the state are counted as ignored. */
#ifndef HOSTSTACK_SERVER_DHCP_CLIENT_H
#define HOSTSTACK_SERVER_DHCP_CLIENT_H

#include "server/dhcp/dhcp_msg.h"

enum dhcp_state {
    DHCP_INIT, DHCP_SELECTING, DHCP_REQUESTING, DHCP_REBOOTING, DHCP_CHECKING, DHCP_BOUND, DHCP_RENEWING, DHCP_REBINDING, DHCP_STATES
};
enum dhcp_client_limits {
    DHCP_FIRST_RETRY_S = 4,      /* RFC 2131 s4.1: doubled each time, plus or minus a second */
    DHCP_LAST_RETRY_S = 64,
    DHCP_REQUEST_TRIES = 4,      /* s3.1.5 */
    DHCP_REBOOT_TRIES = 2,       /* s3.2.4: then a lease is asked for as if there had been none */
    DHCP_DECLINE_WAIT_S = 10,    /* s3.1.5 */
    DHCP_NAK_WAIT_S = 1,         /* so that server and client do not chase each other */
    DHCP_RENEW_RETRY_S = 60,     /* s4.4.5: at least, between two renewals */
};

struct dhcp_client_ops {         /* what a client does to the world */
    /* src any: from nobody's address, by broadcast. */
    void (*send)(void *arg, const uint8_t *msg, uint32_t len, const struct ip_addr *src, const struct ip_addr *dst);
    int (*bind)(void *arg, const struct dhcp_msg *lease);   /* the address, to be checked: dhcp_client_checked(); 0 or -errno */
    void (*apply)(void *arg, const struct dhcp_msg *lease); /* routes and MTU; again after each renewal */
    void (*unbind)(void *arg, const struct dhcp_msg *lease, const char *why);
    /* For the next run: the address and how long it is ours (UINT64_MAX: for ever); NULL: it is not ours any more. */
    void (*remember)(void *arg, const struct ip_addr *address, uint64_t expire_us);
    uint32_t (*random)(void *arg);
};

struct dhcp_counters { uint64_t discovers, offers, requests, acks, naks, declines, releases, ignored; };

struct dhcp_client {
    const struct dhcp_client_ops *ops;
    void *arg;
    uint8_t mac[6];
    uint8_t state;               /* enum dhcp_state */
    unsigned tries;              /* of what was sent last */
    uint32_t xid;
    uint64_t started_us;         /* of this attempt */
    uint64_t asked_us;           /* when the lease was asked for: it counts from there (s4.4.1) */
    uint64_t due_us;             /* dhcp_client_tick(); UINT64_MAX = never */
    uint64_t renew_us, rebind_us, expire_us; /* UINT64_MAX = never */
    struct dhcp_msg lease;       /* as acknowledged; from SELECTING on as offered */
    char text[DHCP_TEXT_MAX];    /* of the last refusal */
    struct dhcp_counters count;
};

/* ops, arg and mac are set, the rest is zero. former: the address of the last run, whose lease is not over; NULL = none. */
void dhcp_client_start(struct dhcp_client *c, const struct ip_addr *former, uint64_t now_us);
void dhcp_client_input(struct dhcp_client *c, const struct dhcp_msg *m, uint64_t now_us);
void dhcp_client_tick(struct dhcp_client *c, uint64_t now_us);  /* when due, or at any other time */
void dhcp_client_checked(struct dhcp_client *c, bool is_free, uint64_t now_us); /* in CHECKING */
void dhcp_client_release(struct dhcp_client *c, uint64_t now_us); /* tells the server, and stays INIT for ever */
static inline bool dhcp_client_has_address(const struct dhcp_client *c) { return c->state >= DHCP_BOUND; }
const char *dhcp_state_name(uint8_t state);

#endif
