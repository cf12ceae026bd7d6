/* session_rules.h - who may talk to whom: rules per namespace, the first one that matches decides
 *
 * Scope local is what programs of one host have with each other (cut-through), asked when a program connects; scope global is what goes
 * over the network: connections and datagrams that a program begins, and those that come in for a listener or bound socket.
 * Nothing matches: allowed. What is open already goes on.
 *
 * Owner:  struct session_stack; made before workers run, read-only afterwards but for the hit counters (relaxed atomics).
 * Thread: any.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_SESSION_RULES_H
#define HOSTSTACK_SERVER_SESSION_RULES_H

#include "common/ip_addr.h"

struct stack;
struct json_t;

enum session_rules_limits { SESSION_RULES_MAX = 1024 }; /* looked through one by one at each new connection */
enum session_rule_scope { SESSION_RULE_GLOBAL, SESSION_RULE_LOCAL };
enum session_rule_action { SESSION_RULE_ALLOW, SESSION_RULE_DENY, SESSION_RULE_REDIRECT };
enum { SESSION_RULE_ANY_PROTO = 255 };

struct session_rule {
    uint32_t ns;                  /* index of the namespace, 0 = the nameless one */
    uint8_t scope;                /* enum session_rule_scope */
    uint8_t action;               /* enum session_rule_action */
    uint8_t proto;                /* enum svm_proto, or SESSION_RULE_ANY_PROTO */
    bool has_lcl, has_rmt;        /* false: any address of any family */
    struct ip_prefix lcl, rmt;    /* the program's own address, and its peer's */
    uint16_t lcl_lo, lcl_hi;      /* ports, both included; 0..65535 = any */
    uint16_t rmt_lo, rmt_hi;
    uint16_t to_port;             /* redirect: the listener at this port of the namespace gets it */
    uint64_t hits;
};

int session_rule_add(struct stack *s, const struct session_rule *r); /* -ENOSPC, -ENOMEM */
/* *to_port is set for a redirect. */
enum session_rule_action session_rules_match(struct stack *s, enum session_rule_scope scope, uint8_t proto, uint32_t ns,
                                             const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t *to_port);
/* Scope global, nobody listens at lcl: a namespace whose first matching rule sends it on. */
bool session_rules_find_redirect(struct stack *s, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                                 uint32_t *ns, uint16_t *to_port);
void session_rules_show(struct stack *s, struct json_t *array); /* one object a rule, in their order */
void session_rules_free(struct stack *s);

#endif
