/* session_rules.c - the rules of all namespaces: a list in the order of the configuration */
#include "server/session/session_rules.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "server/session/session_internal.h"

int session_rule_add(struct stack *s, const struct session_rule *r)
{
    struct session_stack *ss = s->session;

    if (ss->n_rules == SESSION_RULES_MAX)
        return -ENOSPC;
    struct session_rule *more = reallocarray(ss->rules, ss->n_rules + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    ss->rules = more;
    more[ss->n_rules] = *r;
    more[ss->n_rules++].hits = 0;
    return 0;
}

void session_rules_free(struct stack *s)
{
    free(s->session->rules);
    s->session->rules = NULL;
    s->session->n_rules = 0;
}

/* A source address that is not chosen yet is matched by "any" only. */
static bool end_matches(bool has, const struct ip_prefix *p, uint16_t lo, uint16_t hi, const struct ip_endpoint *e)
{
    uint16_t port = be16_get(e->port);

    return port >= lo && port <= hi && (!has || ip_prefix_contains(p, &e->ip));
}

static bool rule_matches(const struct session_rule *r, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    return (r->proto == SESSION_RULE_ANY_PROTO || r->proto == proto) && end_matches(r->has_lcl, &r->lcl, r->lcl_lo, r->lcl_hi, lcl) &&
           end_matches(r->has_rmt, &r->rmt, r->rmt_lo, r->rmt_hi, rmt);
}

enum session_rule_action session_rules_match(struct stack *s, enum session_rule_scope scope, uint8_t proto, uint32_t ns,
                                             const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t *to_port)
{
    struct session_stack *ss = s->session;

    for (unsigned i = 0; i < ss->n_rules; i++) {
        struct session_rule *r = &ss->rules[i];
        if (r->scope != scope || r->ns != ns || !rule_matches(r, proto, lcl, rmt))
            continue;
        __atomic_fetch_add(&r->hits, 1, __ATOMIC_RELAXED);
        *to_port = r->to_port;
        return r->action;
    }
    return SESSION_RULE_ALLOW;
}

bool session_rules_find_redirect(struct stack *s, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                                 uint32_t *ns, uint16_t *to_port)
{
    const struct session_stack *ss = s->session;

    for (unsigned i = 0; i < ss->n_rules; i++) {
        const struct session_rule *r = &ss->rules[i];
        if (r->action != SESSION_RULE_REDIRECT || r->scope != SESSION_RULE_GLOBAL || !rule_matches(r, proto, lcl, rmt))
            continue;
        *ns = r->ns;
        if (session_rules_match(s, SESSION_RULE_GLOBAL, proto, r->ns, lcl, rmt, to_port) == SESSION_RULE_REDIRECT)
            return true;
    }
    return false;
}

/* A redirect is for what comes in. */
bool session_may_send(struct worker *w, const struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    uint16_t port;

    if (hs_likely(!w->stack->session->n_rules) || (!s->app && !s->listener))
        return true;
    uint32_t ns = s->listener ? s->listener->ns : s->app->ns;
    return session_rules_match(w->stack, SESSION_RULE_GLOBAL, s->proto, ns, lcl, rmt, &port) != SESSION_RULE_DENY;
}

/* ---------------------------------------------------------------- show */

static void show_end(json_t *o, const char *what, bool has, const struct ip_prefix *p, uint16_t lo, uint16_t hi)
{
    char addr[IP_ADDR_TEXT_MAX], text[IP_ADDR_TEXT_MAX + 24];
    size_t used = 0;

    if (has)
        used = (size_t)snprintf(text, sizeof(text), "%s/%u", ip_addr_format(&p->ip, addr), p->len);
    else
        used = (size_t)snprintf(text, sizeof(text), "any");
    if (lo == hi)
        snprintf(text + used, sizeof(text) - used, " port %u", lo);
    else if (lo != 0 || hi != 65535)
        snprintf(text + used, sizeof(text) - used, " port %u-%u", lo, hi);
    json_object_set_new(o, what, json_string(text));
}

void session_rules_show(struct stack *s, json_t *array)
{
    static const char *const actions[] = { [SESSION_RULE_ALLOW] = "allow", [SESSION_RULE_DENY] = "deny",
                                           [SESSION_RULE_REDIRECT] = "redirect" };
    const struct session_stack *ss = s->session;

    for (unsigned i = 0; i < ss->n_rules; i++) {
        const struct session_rule *r = &ss->rules[i];
        const struct transport_ops *ops = r->proto == SESSION_RULE_ANY_PROTO ? NULL : transport_get(r->proto);
        json_t *o = json_object();
        json_object_set_new(o, "namespace", json_integer(r->ns));
        json_object_set_new(o, "scope", json_string(r->scope == SESSION_RULE_LOCAL ? "local" : "global"));
        json_object_set_new(o, "action", json_string(actions[r->action]));
        json_object_set_new(o, "proto", json_string(ops ? ops->name : "any"));
        show_end(o, "local", r->has_lcl, &r->lcl, r->lcl_lo, r->lcl_hi);
        show_end(o, "remote", r->has_rmt, &r->rmt, r->rmt_lo, r->rmt_hi);
        if (r->action == SESSION_RULE_REDIRECT)
            json_object_set_new(o, "to_port", json_integer(r->to_port));
        json_object_set_new(o, "hits", json_integer((json_int_t)__atomic_load_n(&r->hits, __ATOMIC_RELAXED)));
        json_array_append_new(array, o);
    }
}
