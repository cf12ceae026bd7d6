/* interface.h - IP interfaces: the addresses, MTU and interface table (fib) of a port, or of a VLAN of it
 *
 * State of an address (IPv6: RFC 4862 s5.4; IPv4: RFC 5227 s2.1, then announced):
 *
 *   TENTATIVE -- no answer to the probes --> PREFERRED
 *   TENTATIVE -- somebody has it ----------> DUPLICATE      (stays out of use until the server is started again)
 *
 * Owner:  struct stack; freed by ip_stack_destroy().
 * Thread: changed by the control thread, before workers run or while they are held (stack_pause()), but for addr->state: worker 0
 *         (atomic byte, any thread reads).
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_INTERFACE_H
#define HOSTSTACK_SERVER_INTERFACE_H

#include "server/session/transport.h"
#include "server/worker/worker.h"

enum interface_limits {
    INTERFACE_MAX_ADDRS = 32,
    INTERFACES_MAX = 64,
    INTERFACE_DEV_LO = INTERFACES_MAX + 1, /* a device, see interface_dev() */
    VLAN_ID_MAX = 4094,            /* IEEE 802.1Q s9.6: 0 is no VLAN, 4095 is reserved */
    INTERFACE_DAD_TRANSMITS = 1,   /* RFC 4862 s5.1 DupAddrDetectTransmits */
    INTERFACE_TOLD_BY = 4,         /* routers that an address remembers */
};
enum interface_addr_state { INTERFACE_ADDR_TENTATIVE, INTERFACE_ADDR_PREFERRED, INTERFACE_ADDR_DUPLICATE, INTERFACE_ADDR_REMOVED };
enum interface_addr_flags {
    INTERFACE_ADDR_NO_DAD = 1u << 0,  /* usable at once (tests, links with one owner of all addresses) */
    INTERFACE_ADDR_AUTO = 1u << 1,    /* the generated link-local address */
    INTERFACE_ADDR_DEPRECATED = 1u << 2, /* RFC 4862 s5.5.4: for what is under way, not for what begins */
    INTERFACE_ADDR_TEMPORARY = 1u << 3,  /* RFC 8981; only the kernel makes some, see linux_sync/ */
};

struct interface_addr {
    struct ip_addr ip;
    uint8_t len;                 /* prefix length, 0..32 or 0..128 */
    uint8_t flags;               /* enum interface_addr_flags */
    uint8_t state;               /* enum interface_addr_state */
    uint8_t probes_left;         /* worker 0: DAD probes or IPv4 announcements still to send */
    uint64_t defended_us;        /* worker 0: last defence of an IPv4 address (RFC 5227 s2.4) */
    struct timer_node timer;     /* worker 0 */
    struct interface *ifc;
    struct ip_addr told_by[INTERFACE_TOLD_BY]; /* routers that advertise its prefix, any = free; changed while workers are held */
};

struct interface {
    struct stack *stack;
    unsigned port;               /* index in stack->port */
    unsigned index;              /* in interfaces->ifc */
    uint16_t vlan;               /* 802.1Q tag of its frames; 0 = frames without one, and priority-tagged ones */
    uint16_t fib;
    uint16_t mtu;                /* IP bytes */
    uint8_t mac[6];
    uint8_t n_addrs;
    uint8_t hop_limit;           /* IPv6, as a router has told (RFC 4861 s6.3.4); 0 = the default. These three: read without a lock */
    uint32_t reachable_ms, retrans_ms; /* neighbours, likewise; 0 = the defaults of RFC 4861 s10 */
    bool has_dhcp;               /* dhcp/ takes what comes to its port */
    struct mcast_ifc *mcast;     /* mcast/: the groups joined here */
    char name[32];               /* the port's, or PORT.VLAN */
    int32_t ifindex;             /* as programs know it: the kernel's, or SVM_DEVICE_OWN and more */
    struct interface_addr addr[INTERFACE_MAX_ADDRS];
};

struct interfaces {
    unsigned n;
    struct interface *ifc[INTERFACES_MAX];
    struct interface *by_port[STACK_MAX_PORTS]; /* of frames without a tag; NULL: no interface, its packets are dropped */
    struct interface **by_vlan[STACK_MAX_PORTS]; /* [VLAN_ID_MAX + 1]; NULL: the port has no VLANs */
};

/* ---- configuration: control thread, before workers run ---- */

/* Makes port `port` an IP interface of table `fib`. mtu 0 = the port's. Adds the link-local address fe80::EUI-64 (RFC 4291
 * App. A), probed unless addr_flags has INTERFACE_ADDR_NO_DAD. -EEXIST, -ENODEV (no such port), -EINVAL (mtu below 68 or above
 * the port's), -ENOMEM. An MTU below 1280 leaves the interface without IPv6 (RFC 8200 s5). */
int interface_add(struct stack *s, unsigned port, uint16_t fib, uint16_t mtu, unsigned addr_flags, struct interface **out);
/* The same for the frames of port `port` that have the 802.1Q tag `vlan` (1..VLAN_ID_MAX); it is called PORT.VLAN. -ENOSPC, too. */
int interface_add_vlan(struct stack *s, unsigned port, uint16_t vlan, uint16_t fib, uint16_t mtu, unsigned addr_flags,
                       struct interface **out);
/* Adds an address with its prefix, and the connected route. -EEXIST (on this table), -EINVAL (multicast, wildcard, loopback,
 * IPv4 network or broadcast address, IPv6 with MTU < 1280), -ENOSPC, -ENOMEM. */
int interface_add_address(struct interface *ifc, const struct ip_prefix *prefix, unsigned addr_flags);
/* Removes it, with the connected route when no other address has that prefix. A place of it stays, for the next one. -ENOENT. */
int interface_del_address(struct interface *ifc, const struct ip_prefix *prefix);
struct interface *interface_by_name(const struct stack *s, const char *name); /* NULL = none */
/* By its name or that of the kernel's interface that its port is on, as programs say it; name empty: by index. -ENODEV: table fib has none;
 * else *name (room for SVM_DEVICE_NAME) and *index are complete. Control thread. */
int interface_find_device(const struct stack *s, uint16_t fib, char *name, int32_t *index);
/* The address with this number, from 0, of the interfaces of table fib; not those that another host has. -ENOENT. Control thread. */
int interface_nth_address(const struct stack *s, uint16_t fib, unsigned number, struct svm_att_address *out);

/* ---- any worker ---- */

/* What a socket may be bound to (SO_BINDTODEVICE), as a small number: 0 = nothing, an interface of ours, or INTERFACE_DEV_LO. */
static inline uint8_t interface_dev(const struct interface *ifc) { return (uint8_t)(ifc->index + 1); }
static inline struct interface *interface_of_dev(const struct stack *s, uint8_t dev) /* NULL: nothing, or loopback */
{
    return dev != 0 && dev <= s->interfaces->n ? s->interfaces->ifc[dev - 1] : NULL;
}
/* Of the index that programs know it by. -ENODEV. */
int interface_dev_of_index(const struct stack *s, uint16_t fib, int32_t index);
int32_t interface_index_of_dev(const struct stack *s, uint8_t dev);

static inline uint8_t interface_addr_state_get(const struct interface_addr *a)
{
    return __atomic_load_n(&a->state, __ATOMIC_ACQUIRE); /* pairs with the store-release in interface_addr_state_set() */
}
void interface_addr_state_set(struct interface_addr *a, uint8_t state);
struct interface_addr *interface_find_addr(struct interface *ifc, const struct ip_addr *ip); /* any state; NULL = none */
/* In any interface of the table, any state. */
struct interface_addr *interfaces_find_addr(const struct stack *s, uint16_t fib, const struct ip_addr *ip);
bool interfaces_have_tentative(const struct stack *s);
/* Directed broadcast address of one of the interface's IPv4 prefixes, or 255.255.255.255. */
bool interface_is_broadcast(const struct interface *ifc, const struct ip_addr *ip);
/* Source for dst leaving through ifc (RFC 6724 s5, ip_source.c; IPv4: same prefix as the next hop, else the first). NULL = none. */
const struct ip_addr *interface_select_source(const struct interface *ifc, const struct ip_addr *dst,
                                              const struct ip_addr *next_hop);

/* Table and device that p came in by, as session_lookup() wants it. What stays on this host comes in where its address is, as on Linux: by
 * loopback only what was sent to an address of that. */
static inline uint32_t interface_from(const struct pkt_meta *m)
{
    return m->ifc ? session_from(m->ifc->fib, interface_dev(m->ifc)) : session_from(0, INTERFACE_DEV_LO);
}

struct json_t;
void interface_show(struct stack *s, struct json_t *array); /* one object per interface: name, mac, mtu, link, addresses, port counters */

#endif
