/* config_rule.c - the words of rule { }, and what a rule must have when it is complete */
#include "server/config/config_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int config_take_rule_scope(struct conf_reader *r, void *base)
{
    static const char *const names[] = { [SESSION_RULE_GLOBAL] = "global", [SESSION_RULE_LOCAL] = "local" };
    struct config_rule *cr = base;
    unsigned i;

    if (conf_take_choice(r, "scope of rule", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    cr->rule.scope = (uint8_t)i;
    cr->has_scope = true;
    return 0;
}

int config_take_rule_action(struct conf_reader *r, void *base)
{
    static const char *const names[] = {
        [SESSION_RULE_ALLOW] = "allow", [SESSION_RULE_DENY] = "deny", [SESSION_RULE_REDIRECT] = "redirect",
    };
    struct config_rule *cr = base;
    unsigned i;

    if (conf_take_choice(r, "action of rule", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    cr->rule.action = (uint8_t)i;
    cr->has_action = true;
    return 0;
}

int config_take_rule_proto(struct conf_reader *r, void *base)
{
    static const char *const names[] = { "any", "tcp", "udp" };
    static const uint8_t proto[] = { SESSION_RULE_ANY_PROTO, SVM_PROTO_TCP, SVM_PROTO_UDP };
    struct config_rule *cr = base;
    unsigned i;

    if (conf_take_choice(r, "proto of rule", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    cr->rule.proto = proto[i];
    return 0;
}

int config_take_rule_lcl(struct conf_reader *r, void *base)
{
    struct config_rule *cr = base;

    cr->rule.has_lcl = true;
    return conf_take_prefix(r, "local of rule", &cr->rule.lcl);
}

int config_take_rule_rmt(struct conf_reader *r, void *base)
{
    struct config_rule *cr = base;

    cr->rule.has_rmt = true;
    return conf_take_prefix(r, "remote of rule", &cr->rule.rmt);
}

/* "80" or "8000-8099" */
static int take_ports(struct conf_reader *r, const char *what, uint16_t *lo, uint16_t *hi)
{
    uint64_t first, last;

    if (conf_take_word(r, what) != 0)
        return -EINVAL;
    char text[CONF_WORD_MAX];
    strcpy(text, r->word);
    char *dash = strchr(text, '-');
    if (dash)
        *dash = '\0';
    if (conf_parse_number(text, &first) != 0 || conf_parse_number(dash ? dash + 1 : text, &last) != 0 || first < 1 || last < first ||
        last > 65535)
        return conf_fail(r, "%s is a port such as 80 or a range such as 8000-8099, not %s", what, r->word);
    *lo = (uint16_t)first;
    *hi = (uint16_t)last;
    return 0;
}

int config_take_rule_lcl_port(struct conf_reader *r, void *base)
{
    struct config_rule *cr = base;

    return take_ports(r, "lcl-port of rule", &cr->rule.lcl_lo, &cr->rule.lcl_hi);
}

int config_take_rule_rmt_port(struct conf_reader *r, void *base)
{
    struct config_rule *cr = base;

    return take_ports(r, "rmt-port of rule", &cr->rule.rmt_lo, &cr->rule.rmt_hi);
}

int config_take_rule_to_port(struct conf_reader *r, void *base)
{
    struct config_rule *cr = base;
    uint64_t v;

    if (conf_take_number(r, "to-port of rule", 1, 65535, &v) != 0)
        return -EINVAL;
    cr->rule.to_port = (uint16_t)v;
    return 0;
}

int config_rule_check(struct conf_reader *r, const struct config_rule *cr)
{
    const struct session_rule *sr = &cr->rule;

    if (!cr->has_action)
        return conf_fail(r, "a rule needs action allow, deny or redirect");
    if (!cr->has_scope)
        return conf_fail(r, "a rule needs scope global or local");
    if ((sr->action == SESSION_RULE_REDIRECT) != (sr->to_port != 0))
        return conf_fail(r, sr->to_port ? "to-port is for action redirect" : "action redirect needs to-port N");
    if (sr->action == SESSION_RULE_REDIRECT && sr->proto != SVM_PROTO_TCP) /* a datagram socket answers from its own port */
        return conf_fail(r, "action redirect needs proto tcp");
    if (sr->has_lcl && sr->has_rmt && ip_addr_is_v4(&sr->lcl.ip) != ip_addr_is_v4(&sr->rmt.ip))
        return conf_fail(r, "local and remote of a rule are of different families");
    return 0;
}
