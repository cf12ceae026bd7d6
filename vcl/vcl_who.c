/* vcl_who.c - who serves an address: the rules of vcl.conf first, then what the address is (DESIGN section 5) */
#include "vcl/vcl_internal.h"

static bool rule_matches(const struct vcl_rule *r, uint8_t proto, const struct ip_endpoint *e, bool is_remote)
{
    uint16_t port = be16_get(e->port);

    if (proto == SVM_PROTO_TLS)
        proto = SVM_PROTO_TCP;
    if (proto == SVM_PROTO_DTLS)
        proto = SVM_PROTO_UDP;
    if (r->proto != SVM_PROTO_NONE && r->proto != proto)
        return false;
    if (port < r->port_lo || port > r->port_hi)
        return false;
    return r->any_prefix || (r->is_remote == is_remote && ip_prefix_contains(&r->prefix, &e->ip));
}

/* The first that matches wins. */
static const struct vcl_rule *rule_find(uint8_t proto, const struct ip_endpoint *e, bool is_remote)
{
    const struct vcl_config *cfg = vcl_config();

    for (unsigned i = 0; i < cfg->n_rules; i++)
        if (rule_matches(&cfg->rules[i], proto, e, is_remote))
            return &cfg->rules[i];
    return NULL;
}

const char *vcl_who_by_rule(uint8_t proto, const struct ip_endpoint *e, bool is_remote)
{
    const struct vcl_rule *r = rule_find(proto, e, is_remote);

    return r ? r->name : NULL;
}

/* Bits of enum svm_who; 0 without a server: then no address is the stack's. */
static uint32_t who_bits(const struct ip_addr *ip)
{
    struct vcl_worker *w = vcl_worker_current();
    uint32_t bits = 0;

    return w && vcl_server_is_there() && vcl_worker_who(w, ip, &bits) == 0 ? bits : 0;
}

int vcl_address(uint32_t number, struct vcl_address *out)
{
    struct vcl_worker *w = vcl_worker_current();
    struct svm_att_address a;
    int rc = w && vcl_server_is_there() ? vcl_worker_address(w, number, &a) : -ENOENT;

    if (rc)
        return rc;
    *out = (struct vcl_address){ .ip = a.ip, .prefix_len = a.prefix_len, .has_link = a.has_link, .index = a.device.index };
    static_assert(sizeof(out->name) == sizeof(a.device.name), "the name of an interface fits");
    memcpy(out->name, a.device.name, sizeof(out->name));
    return 0;
}

bool vcl_mcast_is_served(const struct ip_addr *group, const struct ip_addr *ifc)
{
    if (!ip_addr_is_any(ifc))
        return (who_bits(ifc) & SVM_WHO_INTERFACE) != 0;
    return !group || (who_bits(group) & SVM_WHO_ROUTED) != 0;
}

enum vcl_serve vcl_who_serves_bind(uint8_t proto, const struct ip_endpoint *lcl)
{
    const struct vcl_rule *r = rule_find(proto, lcl, false);

    if (r)
        return (enum vcl_serve)r->serve;
    if (ip_addr_is_any(&lcl->ip) || ip_addr_is_loopback(&lcl->ip))
        return VCL_SERVE_BOTH;
    if (ip_addr_is_multicast(&lcl->ip)) /* the kernel's interfaces may be in the group, too */
        return who_bits(&lcl->ip) & SVM_WHO_ROUTED ? VCL_SERVE_BOTH : VCL_SERVE_KERNEL;
    return who_bits(&lcl->ip) & SVM_WHO_INTERFACE ? VCL_SERVE_STACK : VCL_SERVE_KERNEL;
}

enum vcl_serve vcl_who_serves_connect(uint8_t proto, const struct ip_endpoint *rmt)
{
    const struct vcl_rule *r = rule_find(proto, rmt, true);

    if (r)
        return (enum vcl_serve)r->serve;
    /* Connecting to the wildcard means this host, as on Linux. */
    if (ip_addr_is_any(&rmt->ip) || ip_addr_is_loopback(&rmt->ip))
        return vcl_config()->scope_local ? VCL_SERVE_BOTH : VCL_SERVE_KERNEL;
    return who_bits(&rmt->ip) & (SVM_WHO_INTERFACE | SVM_WHO_ROUTED) ? VCL_SERVE_STACK : VCL_SERVE_KERNEL;
}
