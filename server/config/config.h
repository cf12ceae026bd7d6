/* config.h - what hoststackd.conf says, with its defaults
 *
 *   config_load() or config_parse() -> struct stack_config -> read-only from then on -> config_free()
 *
 * Owner:  main(); workers and the control thread read it through stack->config.
 * Thread: built before workers run, read-only afterwards.
 * Memory: process-private; lists grow as the file has them.
 * Errors: 0 or -errno with one line in err: "FILE:LINE: what is wrong, what is accepted". */
#ifndef HOSTSTACK_SERVER_CONFIG_H
#define HOSTSTACK_SERVER_CONFIG_H

#include "common/conf.h"
#include "common/runtime_dir.h"
#include "server/ip/interface.h"
#include "server/port/port.h"
#include "server/route/route.h"
#include "server/session/session_rules.h"
#include "server/sctp/sctp.h"
#include "server/tcp/tcp.h"
#include "server/tls/tls.h"
#include "server/worker/worker.h"

enum config_limits {
    CONFIG_NAME_MAX = 64,
    CONFIG_NAMESPACE_MAX = 256,
};

enum config_poll_mode { CONFIG_POLL_ADAPTIVE, CONFIG_POLL_BUSY, CONFIG_POLL_INTERRUPT };

struct config_unix {
    char runtime_dir[RUNTIME_DIR_MAX];    /* empty: chosen by runtime_dir_default() */
    char state_dir[256];                  /* empty: chosen by the daemon */
    char socket_group[CONFIG_NAME_MAX];   /* empty: the server's own group */
    char user[CONFIG_NAME_MAX];           /* empty: stays the user it was started as */
    char log[256];                        /* file; empty: standard error, the journal when in the background */
    unsigned log_level;                   /* enum hs_log_level */
};

struct config_cpu {
    unsigned workers;
    unsigned n_cores;                     /* 0: workers are not pinned */
    unsigned core[WORKER_MAX];            /* worker i runs on core[i % n_cores] */
    unsigned poll_mode;                   /* enum config_poll_mode */
};

struct config_dpdk {
    bool hugepages;
    uint64_t memory;                      /* bytes of EAL memory; 0 = chosen: more with ports */
    uint64_t small_packets, big_packets;  /* 0 = as many as memory holds */
};

struct config_interface {
    char name[32];                        /* of its port, or PORT.VLAN */
    uint16_t vlan;                        /* 0 = none */
    char port[32];                        /* once the whole file is read */
    unsigned line;
    uint64_t table;                       /* fib */
    uint64_t mtu;                         /* 0 = the port's */
    bool no_dad;
    char linux_sync[32];                  /* kernel interface to have the addresses, routes and neighbours of; empty = none */
    bool dhcp;                            /* an IPv4 address, routes and the MTU from a DHCP server */
    bool autoconf;                        /* addresses and routes from router advertisements */
    unsigned n_addresses;
    struct ip_prefix address[INTERFACE_MAX_ADDRS];
};

struct config_hop {
    struct ip_addr via;
    bool has_via;
    char dev[32];                         /* empty: the interface that reaches via */
};
struct config_route {
    struct ip_prefix prefix;
    unsigned n_hops;                      /* at least one */
    struct config_hop hop[ROUTE_MAX_HOPS];
    uint64_t table;
    unsigned line;
};

struct config_session {
    uint64_t segment_size;                /* bytes of ring memory of a client's first bank */
    uint64_t add_segment_size;            /* of each further one */
    uint32_t evt_q_length;                /* messages per queue, where the client asks for nothing else */
    uint32_t max_fifo_size;               /* bytes; what a client may ask for at most */
    uint32_t max_clients;                 /* client workers of the server */
    uint32_t max_sessions;                /* of one client worker, as the next two */
    uint32_t max_listeners;
    uint32_t max_segments;
};

struct config_namespace {
    char name[CONFIG_NAME_MAX];
    uint64_t secret;                      /* 0 = none asked for */
    char interface[32];                   /* empty: table 0 */
    unsigned line;
};

struct config_rule {
    char ns[CONFIG_NAME_MAX];             /* empty: the nameless one */
    struct session_rule rule;             /* with the namespace's index once the whole file is read */
    bool has_action, has_scope;
    unsigned line;
};

struct stack_config {
    char file[256];                       /* empty: defaults only */
    struct config_unix unx;
    struct config_cpu cpu;
    struct config_dpdk dpdk;
    struct config_session session;
    struct tcp_config tcp;
    struct sctp_config sctp;
    struct tls_config tls;
    unsigned n_ports;
    struct port_config port[STACK_MAX_PORTS];
    unsigned n_interfaces;
    struct config_interface interface[INTERFACES_MAX];
    unsigned n_routes;
    struct config_route *route;
    unsigned n_namespaces;
    struct config_namespace *ns;
    unsigned n_rules;
    struct config_rule *rule;
};

/* path NULL: the defaults, which are valid as they are. err gets one line without the newline. */
int config_load(const char *path, struct stack_config **out, char *err, size_t err_len);
int config_parse(const char *file, const char *text, size_t len, struct stack_config **out, char *err, size_t err_len);
void config_free(struct stack_config *cfg);
const struct config_interface *config_find_interface(const struct stack_config *cfg, const char *name); /* NULL = none */
uint64_t config_memory(const struct stack_config *cfg);  /* bytes of EAL memory to ask for */
/* How many packets of both kinds that memory is divided into. */
void config_packets(const struct stack_config *cfg, unsigned *n_small, unsigned *n_big);

#endif
