/* config.c - hoststackd.conf as a whole: stanzas, what they refer to, defaults */
#include "server/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "server/config/config_internal.h"

enum {
    MEMORY_WITHOUT_PORT = 96 * 1024 * 1024,
    MEMORY_WITH_PORT = 320 * 1024 * 1024,
    MEMORY_OF_EAL = 24 * 1024 * 1024, /* what DPDK's own tables and the pools' caches take */
    SMALL_PACKET_COST = 4096, /* a page: DPDK lets no packet that is smaller than one cross the end of one */
    BIG_PACKET_COST = 17 * 4096,
};

/* Bytes that the packets asked for by number take, with what DPDK takes for itself. */
static uint64_t memory_asked_for(const struct stack_config *cfg)
{
    return MEMORY_OF_EAL + cfg->dpdk.small_packets * SMALL_PACKET_COST + cfg->dpdk.big_packets * BIG_PACKET_COST;
}

static void config_defaults(struct stack_config *cfg)
{
    cfg->unx.log_level = HS_LOG_INFO;
    cfg->cpu.workers = 1;
    cfg->cpu.poll_mode = CONFIG_POLL_ADAPTIVE;
    cfg->session.segment_size = 64u << 20;
    cfg->session.add_segment_size = 64u << 20;
    cfg->session.evt_q_length = 1024;
    cfg->session.max_fifo_size = 16u << 20;
    cfg->session.max_clients = 1024;
    cfg->session.max_sessions = 1u << 20;
    cfg->session.max_listeners = 65536;
    cfg->session.max_segments = 16;
    tcp_config_defaults(&cfg->tcp);
    tls_config_defaults(&cfg->tls);
    cfg->tcp.cc_algo = "cubic"; /* RFC 9438, as Linux */
}

const struct config_interface *config_find_interface(const struct stack_config *cfg, const char *name)
{
    for (unsigned i = 0; i < cfg->n_interfaces; i++)
        if (strcmp(cfg->interface[i].name, name) == 0)
            return &cfg->interface[i];
    return NULL;
}

/* One more element of a list, zeroed. NULL = no memory. */
static void *grow(void **list, unsigned *n, size_t size)
{
    char *more = reallocarray(*list, *n + 1, size);

    if (!more)
        return NULL;
    *list = more;
    memset(more + *n * size, 0, size);
    return more + (*n)++ * size;
}

/* ---------------------------------------------------------------- stanzas */

static int take_unix(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "unix", &cfg->unx);
}

static int take_cpu(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "cpu", &cfg->cpu);
}

static int take_dpdk(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "dpdk", &cfg->dpdk);
}

static int take_session(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "session", &cfg->session);
}

static int take_sctp(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "sctp", &cfg->sctp);
}

static int take_tcp(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "tcp", &cfg->tcp);
}

static int take_tls(struct conf_reader *r, struct stack_config *cfg)
{
    return config_take_stanza(r, "tls", &cfg->tls);
}

static int take_port(struct conf_reader *r, struct stack_config *cfg)
{
    struct port_config p = { .n_queues = 0 };

    if (conf_take_text(r, "the name of a port", p.name, sizeof(p.name)) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < cfg->n_ports; i++)
        if (strcmp(cfg->port[i].name, p.name) == 0)
            return conf_fail(r, "port %s is there twice", p.name);
    if (cfg->n_ports == STACK_MAX_PORTS)
        return conf_fail(r, "more than %d ports", STACK_MAX_PORTS);
    if (config_take_stanza(r, "port", &p) != 0)
        return -EINVAL;
    if (p.device[0] == '\0')
        return conf_fail(r, "port %s names no device; accepted are tap, packet or any DPDK device", p.name);
    cfg->port[cfg->n_ports++] = p;
    return 0;
}

static int take_interface(struct conf_reader *r, struct stack_config *cfg)
{
    struct config_interface ifc = { .n_addresses = 0 };

    if (conf_take_text(r, "the name of an interface", ifc.name, sizeof(ifc.name)) != 0)
        return -EINVAL;
    ifc.line = r->token_line;
    if (config_find_interface(cfg, ifc.name))
        return conf_fail(r, "interface %s is there twice", ifc.name);
    if (cfg->n_interfaces == INTERFACES_MAX)
        return conf_fail(r, "more than %d interfaces", INTERFACES_MAX);
    if (config_take_stanza(r, "interface", &ifc) != 0)
        return -EINVAL;
    cfg->interface[cfg->n_interfaces++] = ifc;
    return 0;
}

static int take_namespace(struct conf_reader *r, struct stack_config *cfg)
{
    struct config_namespace ns = { .secret = 0 }, *slot;

    if (conf_take_text(r, "the name of a namespace", ns.name, sizeof(ns.name)) != 0)
        return -EINVAL;
    ns.line = r->token_line;
    for (unsigned i = 0; i < cfg->n_namespaces; i++)
        if (strcmp(cfg->ns[i].name, ns.name) == 0)
            return conf_fail(r, "namespace %s is there twice", ns.name);
    if (cfg->n_namespaces == CONFIG_NAMESPACE_MAX)
        return conf_fail(r, "more than %d namespaces", CONFIG_NAMESPACE_MAX);
    if (config_take_stanza(r, "namespace", &ns) != 0)
        return -EINVAL;
    slot = grow((void **)&cfg->ns, &cfg->n_namespaces, sizeof(*cfg->ns));
    if (!slot)
        return -ENOMEM;
    *slot = ns;
    return 0;
}

static int take_rule(struct conf_reader *r, struct stack_config *cfg)
{
    struct config_rule rule = { .rule = { .proto = SESSION_RULE_ANY_PROTO, .lcl_hi = 65535, .rmt_hi = 65535 } }, *slot;

    rule.line = r->token_line;
    if (cfg->n_rules == SESSION_RULES_MAX)
        return conf_fail(r, "more than %d rules", SESSION_RULES_MAX);
    if (config_take_stanza(r, "rule", &rule) != 0 || config_rule_check(r, &rule) != 0)
        return -EINVAL;
    slot = grow((void **)&cfg->rule, &cfg->n_rules, sizeof(*cfg->rule));
    if (!slot)
        return -ENOMEM;
    *slot = rule;
    return 0;
}

/* True, and the word taken, when the next token is that word. */
static bool take_if(struct conf_reader *r, const char *word)
{
    const char *p;
    size_t n;

    if (!conf_peek_word(r, &p, &n) || n != strlen(word) || memcmp(p, word, n) != 0)
        return false;
    return conf_next(r) == CONF_WORD;
}

/* The hop that a via or dev belongs to: the next one when the last has that already. */
static struct config_hop *hop_for(struct config_route *route, bool via)
{
    struct config_hop *last = route->n_hops ? &route->hop[route->n_hops - 1] : NULL;

    if (last && !(via ? last->has_via : last->dev[0] != '\0'))
        return last;
    return route->n_hops < ROUTE_MAX_HOPS ? &route->hop[route->n_hops++] : NULL;
}

static int take_via(struct conf_reader *r, struct config_route *route)
{
    struct config_hop *hop = hop_for(route, true);

    if (!hop)
        return conf_fail(r, "a route has at most %d next hops", ROUTE_MAX_HOPS);
    hop->has_via = true;
    if (conf_take_addr(r, "via of route", &hop->via) != 0)
        return -EINVAL;
    if (ip_addr_is_v4(&hop->via) != ip_addr_is_v4(&route->prefix.ip))
        return conf_fail(r, "destination and via of a route are of different families");
    return 0;
}

static int take_dev(struct conf_reader *r, struct config_route *route)
{
    struct config_hop *hop = hop_for(route, false);

    if (!hop)
        return conf_fail(r, "a route has at most %d next hops", ROUTE_MAX_HOPS);
    return conf_take_text(r, "dev of route", hop->dev, sizeof(hop->dev));
}

/* route PREFIX HOP... [table N], where HOP is via ADDRESS [dev INTERFACE] or dev INTERFACE */
static int take_route(struct conf_reader *r, struct stack_config *cfg)
{
    struct config_route route = { .table = 0 }, *slot;

    if (conf_take_prefix(r, "the destination of a route", &route.prefix) != 0)
        return -EINVAL;
    route.line = r->token_line;
    for (;;) {
        int rc;
        if (take_if(r, "via"))
            rc = take_via(r, &route);
        else if (take_if(r, "dev"))
            rc = take_dev(r, &route);
        else if (take_if(r, "table"))
            rc = conf_take_number(r, "table of route", 0, ROUTE_MAX_FIBS - 1, &route.table);
        else
            break;
        if (rc != 0)
            return rc;
    }
    if (route.n_hops == 0)
        return conf_fail(r, "a route needs via ADDRESS or dev INTERFACE");
    slot = grow((void **)&cfg->route, &cfg->n_routes, sizeof(*cfg->route));
    if (!slot)
        return -ENOMEM;
    *slot = route;
    return 0;
}

static const struct config_stanza {
    const char *name;
    int (*take)(struct conf_reader *r, struct stack_config *cfg);
} stanzas[] = {
    { "unix", take_unix },
    { "cpu", take_cpu },
    { "dpdk", take_dpdk },
    { "port", take_port },
    { "interface", take_interface },
    { "route", take_route },
    { "session", take_session },
    { "tcp", take_tcp },
    { "sctp", take_sctp },
    { "tls", take_tls },
    { "namespace", take_namespace },
    { "rule", take_rule },
};

static int unknown_stanza(struct conf_reader *r)
{
    char list[256] = "";

    for (unsigned i = 0; i < HS_ARRAY_LEN(stanzas); i++) {
        strcat(list, i ? ", " : "");
        strcat(list, stanzas[i].name);
    }
    return conf_fail(r, "unknown word %s; accepted are %s", r->word, list);
}

static int take_stanzas(struct conf_reader *r, struct stack_config *cfg)
{
    for (;;) {
        enum conf_token t = conf_next(r);
        unsigned i;
        if (t == CONF_END)
            return 0;
        if (t == CONF_BAD)
            return -EINVAL;
        if (t != CONF_WORD)
            return conf_fail(r, "%s where a stanza such as unix or port is expected", t == CONF_OPEN ? "{" : "}");
        for (i = 0; i < HS_ARRAY_LEN(stanzas); i++)
            if (strcmp(stanzas[i].name, r->word) == 0)
                break;
        if (i == HS_ARRAY_LEN(stanzas))
            return unknown_stanza(r);
        int rc = stanzas[i].take(r, cfg);
        if (rc != 0)
            return rc;
    }
}

/* ---------------------------------------------------------------- what refers to what */

static struct port_config *port_called(struct stack_config *cfg, const char *name, size_t len)
{
    for (unsigned i = 0; i < cfg->n_ports; i++)
        if (strlen(cfg->port[i].name) == len && memcmp(cfg->port[i].name, name, len) == 0)
            return &cfg->port[i];
    return NULL;
}

/* An interface has the name of its port; one that there is no port of is PORT.VLAN. */
static int check_interface(struct conf_reader *r, struct stack_config *cfg, struct config_interface *ifc)
{
    struct port_config *port = port_called(cfg, ifc->name, strlen(ifc->name));
    const char *dot = strrchr(ifc->name, '.');
    uint64_t vlan = 0;

    if (!port && strcmp(ifc->name, "lo") == 0 && cfg->n_ports < STACK_MAX_PORTS) { /* it needs no stanza of its own */
        port = &cfg->port[cfg->n_ports++];
        *port = (struct port_config){ .name = "lo", .device = "loopback" };
    }
    if (!port && dot && (port = port_called(cfg, ifc->name, (size_t)(dot - ifc->name))) != NULL) {
        if (conf_parse_number(dot + 1, &vlan) != 0 || vlan < 1 || vlan > VLAN_ID_MAX || dot[1] == '0')
            return conf_fail(r, "interface %s: behind the port's name a VLAN from 1 to %d is accepted", ifc->name, VLAN_ID_MAX);
        port->has_vlans = true;
    }
    if (!port)
        return conf_fail(r, "interface %s: there is no port of that name", ifc->name);
    if (port->is_member)
        return conf_fail(r, "interface %s: the port is a member of a bond, which has the interface", ifc->name);
    if (port->mtu && ifc->mtu > port->mtu)
        return conf_fail(r, "interface %s: mtu %llu is more than the port's %u", ifc->name, (unsigned long long)ifc->mtu, port->mtu);
    ifc->vlan = (uint16_t)vlan;
    memcpy(ifc->port, port->name, sizeof(ifc->port));
    return 0;
}

static int check_hop(struct conf_reader *r, const struct stack_config *cfg, const struct config_route *route, const char *dev)
{
    const struct config_interface *ifc = config_find_interface(cfg, dev);

    if (dev[0] == '\0')
        return 0;
    if (!ifc)
        return conf_fail(r, "dev of route: there is no interface %s", dev);
    if (ifc->table != route->table)
        return conf_fail(r, "the route is in table %llu, but its interface %s in table %llu", (unsigned long long)route->table, ifc->name,
                         (unsigned long long)ifc->table);
    return 0;
}

static int check_references(struct conf_reader *r, struct stack_config *cfg)
{
    for (unsigned i = 0; i < cfg->n_interfaces; i++) {
        r->token_line = cfg->interface[i].line;
        if (check_interface(r, cfg, &cfg->interface[i]) != 0)
            return -EINVAL;
    }
    for (unsigned i = 0; i < cfg->n_routes; i++) {
        r->token_line = cfg->route[i].line;
        for (unsigned k = 0; k < cfg->route[i].n_hops; k++)
            if (check_hop(r, cfg, &cfg->route[i], cfg->route[i].hop[k].dev) != 0)
                return -EINVAL;
    }
    for (unsigned i = 0; i < cfg->n_rules; i++) {
        struct config_rule *rule = &cfg->rule[i];
        r->token_line = rule->line;
        for (unsigned k = 0; k < cfg->n_namespaces && rule->ns[0] && !rule->rule.ns; k++)
            rule->rule.ns = strcmp(cfg->ns[k].name, rule->ns) == 0 ? k + 1 : 0;
        if (rule->ns[0] && !rule->rule.ns)
            return conf_fail(r, "namespace of rule: there is no namespace %s", rule->ns);
    }
    for (unsigned i = 0; i < cfg->n_namespaces; i++) {
        r->token_line = cfg->ns[i].line;
        if (cfg->ns[i].interface[0] != '\0' && !config_find_interface(cfg, cfg->ns[i].interface))
            return conf_fail(r, "namespace %s: there is no interface %s", cfg->ns[i].name, cfg->ns[i].interface);
    }
    return 0;
}

static int check_limits(struct conf_reader *r, const struct stack_config *cfg)
{
    uint64_t need = memory_asked_for(cfg);

    if (cfg->dpdk.memory && need > cfg->dpdk.memory)
        return conf_fail(r, "small-packets and big-packets of dpdk need %llum, memory is %llum",
                         (unsigned long long)(need >> 20) + 1, (unsigned long long)cfg->dpdk.memory >> 20);
    if (cfg->tcp.rto_max_us < cfg->tcp.rto_min_us)
        return conf_fail(r, "rto-max of tcp is less than rto-min");
    return 0;
}

uint64_t config_memory(const struct stack_config *cfg)
{
    uint64_t base = cfg->n_ports ? MEMORY_WITH_PORT : MEMORY_WITHOUT_PORT;
    uint64_t need = memory_asked_for(cfg);

    if (cfg->dpdk.memory)
        return cfg->dpdk.memory;
    /* A kind that is not given gets its share of the base on top. */
    return need > base / 2 ? need + base / 2 : base;
}

void config_packets(const struct stack_config *cfg, unsigned *n_small, unsigned *n_big)
{
    uint64_t room = config_memory(cfg) - MEMORY_OF_EAL;
    uint64_t small = cfg->dpdk.small_packets, big = cfg->dpdk.big_packets;

    /* A quarter for small packets: most data moves in super-frames, but acknowledgments and cards take small ones. */
    if (!small)
        small = (big ? room - hs_min_u64(room, big * BIG_PACKET_COST) : room / 4) / SMALL_PACKET_COST;
    if (!big)
        big = (room - hs_min_u64(room, small * SMALL_PACKET_COST)) / BIG_PACKET_COST;
    *n_small = (unsigned)hs_min_u64(small, 1u << 24);
    *n_big = (unsigned)hs_min_u64(big, 1u << 20);
}

/* ---------------------------------------------------------------- whole files */

void config_free(struct stack_config *cfg)
{
    if (!cfg)
        return;
    free(cfg->route);
    free(cfg->ns);
    free(cfg->rule);
    free(cfg);
}

int config_parse(const char *file, const char *text, size_t len, struct stack_config **out, char *err, size_t err_len)
{
    struct stack_config *cfg = calloc(1, sizeof(*cfg));
    struct conf_reader *r = malloc(sizeof(*r));
    int rc = -ENOMEM;

    err[0] = '\0';
    if (!cfg || !r)
        goto undo;
    config_defaults(cfg);
    snprintf(cfg->file, sizeof(cfg->file), "%s", file);
    conf_init(r, file, text, len);
    rc = take_stanzas(r, cfg);
    if (rc == 0)
        rc = check_limits(r, cfg);
    if (rc == 0)
        rc = check_references(r, cfg);
    if (rc != 0)
        goto undo;
    free(r);
    *out = cfg;
    return 0;

undo:
    if (r && r->error[0] != '\0')
        snprintf(err, err_len, "%s", r->error);
    else
        snprintf(err, err_len, "%s: %s", file, strerror(-rc));
    free(r);
    config_free(cfg);
    return rc;
}

int config_load(const char *path, struct stack_config **out, char *err, size_t err_len)
{
    char *text = NULL;
    size_t len = 0;
    int rc;

    if (!path)
        return config_parse("", "", 0, out, err, err_len);
    rc = conf_read_file(path, &text, &len);
    if (rc != 0) {
        snprintf(err, err_len, "%s: %s", path, rc == -EFBIG ? "more than 1 MiB, that is no configuration" : strerror(-rc));
        return rc;
    }
    rc = config_parse(path, text, len, out, err, err_len);
    free(text);
    return rc;
}
