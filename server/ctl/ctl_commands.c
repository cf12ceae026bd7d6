/* ctl_commands.c - the table of commands, and the ones that need no more than a few lines */
#include "server/ctl/ctl_command.h"

#include <string.h>
#include <unistd.h>

#include "config.h"
#include "common/clock.h"
#include "server/app/app_server.h"
#include "server/autoconf/autoconf.h"
#include "server/config/config.h"
#include "server/ctl/ctl_capture.h"
#include "server/ctl/ctl_net.h"
#include "server/ctl/ctl_show.h"
#include "server/dhcp/dhcp.h"
#include "server/neigh/neigh.h"
#include "server/session/session_rules.h"
#include "server/worker/eal.h"

static void begin_help(struct stack *s HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    for (unsigned i = 0; i < ctl_n_commands; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "command", json_string(ctl_commands[i].name));
        if (ctl_commands[i].argument)
            json_object_set_new(o, "argument", json_string(ctl_commands[i].argument));
        json_object_set_new(o, "help", json_string(ctl_commands[i].help));
        json_array_append_new(result, o);
    }
}

static void begin_version(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    json_object_set_new(result, "name", json_string(PACKAGE_NAME));
    json_object_set_new(result, "version", json_string(PACKAGE_VERSION));
    json_object_set_new(result, "dpdk", json_string(eal_version()));
    json_object_set_new(result, "pid", json_integer(getpid()));
    json_object_set_new(result, "workers", json_integer(s->n_workers));
    json_object_set_new(result, "configuration", json_string(s->config && s->config->file[0] ? s->config->file : "defaults"));
}

static void begin_interface(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    interface_show(s, result);
}

static void begin_route(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    route_show(s, result);
}

static void begin_autoconf(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    autoconf_show(s, result);
}

static void begin_dhcp(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    dhcp_show(s, result);
}

static void begin_rule(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    session_rules_show(s, result);
}

static void begin_app(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    if (s->apps)
        app_server_show(s->apps, result);
}

static uint32_t piece_neighbor(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    neigh_show(w, result);
    return CTL_DONE;
}

/* Rows end where they have nothing more. Of two names that begin alike the longer one stands first. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
const struct ctl_command ctl_commands[] = {
    { "help", NULL, "list the commands", true, begin_help, NULL, NULL },
    { "show version", NULL, "versions, process, configuration file", false, begin_version, NULL, NULL },
    { "show interface", NULL, "interfaces with their addresses and port counters", true, begin_interface, NULL, NULL },
    { "show neighbor", NULL, "link-layer addresses of neighbours (ARP, ND)", true, NULL, piece_neighbor, NULL },
    { "show route", NULL, "routes, with where they come from", true, begin_route, NULL, NULL },
    { "show autoconf", NULL, "routers, prefixes and redirects that the network told", true, begin_autoconf, NULL, NULL },
    { "show dhcp", NULL, "leases of interfaces, and what was asked and answered", true, begin_dhcp, NULL, NULL },
    { "show rule", NULL, "rules of namespaces, and how often each decided", true, begin_rule, NULL, NULL },
    { "show app", NULL, "programs attached, and what is held for them", false, begin_app, NULL, NULL },
    { "show session", "verbose", "connections and listeners; verbose adds what the transport knows", true, NULL, ctl_show_session, NULL },
    { "show tcp", "timers", "TCP counters of each worker; timers: what each connection waits for", true, NULL, ctl_show_tcp, NULL },
    { "show tls", NULL, "TLS counters of each worker", true, NULL, ctl_show_tls, NULL },
    { "show sctp", "paths", "SCTP counters of each worker; paths: the addresses of the peer of each association", true, NULL, ctl_show_sctp, NULL },
    { "show trace session", NULL, "what happened to connections since tracing was switched on", true, NULL, ctl_show_trace, NULL },
    { "show trace", NULL, "stops and verdicts of the packets that trace add follows", true, NULL, ctl_show_packets, NULL },
    { "trace add", "N", "follow the next N packets through every stop", false, NULL, NULL, ctl_trace_add },
    { "trace clear", NULL, "follow no more packets, and forget", false, NULL, NULL, ctl_trace_clear },
    { "trace session on", NULL, "record changes of state, losses and windows of connections", true, NULL, ctl_trace_on, NULL },
    { "trace session off", NULL, "record no more, and forget what was recorded", true, NULL, ctl_trace_off, NULL },
    { "show udp", NULL, "UDP counters of each worker", true, NULL, ctl_show_udp, NULL },
    { "show worker", NULL, "where the workers' processor time goes", true, ctl_show_worker, NULL, NULL },
    { "show errors", NULL, "packets dropped, by reason", true, ctl_show_errors_ip, ctl_show_errors, NULL },
    { .name = "capture start", .argument = "FILE [FILTER...]", .help = "write packets to a pcapng file of the caller",
      .run_file = ctl_capture_start },
    { "capture stop", NULL, "end the capture; the file is complete", false, NULL, NULL, ctl_capture_stop },
    { "capture show", NULL, "packets and bytes of the capture", false, ctl_capture_show, NULL, NULL },
    { "route add", "PREFIX [via ADDRESS] [dev INTERFACE] ... [table N]", "add a static route, of one or several next hops", false, NULL,
      NULL, ctl_route_add },
    { "route del", "PREFIX [table N]", "remove a static route", false, NULL, NULL, ctl_route_del },
    { "address add", "INTERFACE ADDRESS/LENGTH", "add an address", false, NULL, NULL, ctl_address_add },
    { "address del", "INTERFACE ADDRESS/LENGTH", "remove an address", false, NULL, NULL, ctl_address_del },
    { "neighbor add", "INTERFACE ADDRESS MAC", "a neighbour that is not asked for", false, NULL, NULL, ctl_neighbor_add },
    { "neighbor del", "INTERFACE ADDRESS", "forget a neighbour", false, NULL, NULL, ctl_neighbor_del },
};
#pragma GCC diagnostic pop
const unsigned ctl_n_commands = HS_ARRAY_LEN(ctl_commands);

/* Matches "show session" against ["show", "session", …]; *rest gets how many words the name has. */
static bool name_matches(const char *name, const json_t *words, size_t *rest)
{
    for (*rest = 0; *name; (*rest)++) {
        const char *word = json_string_value(json_array_get(words, *rest));
        size_t n = strcspn(name, " ");
        if (!word || strlen(word) != n || memcmp(word, name, n) != 0)
            return false;
        name += n + (name[n] == ' ');
    }
    return true;
}

const struct ctl_command *ctl_command_find(const json_t *words, bool *with_argument, size_t *first, json_t **error)
{
    size_t n_words = json_array_size(words), used;

    *with_argument = false;
    for (unsigned i = 0; i < ctl_n_commands; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        if (!name_matches(c->name, words, &used))
            continue;
        *first = used;
        if (n_words == used || c->run || c->run_file)
            return c;
        const char *extra = json_string_value(json_array_get(words, used));
        if (c->argument && n_words == used + 1 && extra && strcmp(extra, c->argument) == 0) {
            *with_argument = true;
            return c;
        }
        if (c->argument)
            *error = json_sprintf("after %s only %s is accepted", c->name, c->argument);
        else
            *error = json_sprintf("after %s nothing more is accepted", c->name);
        return NULL;
    }
    char list[2048] = "";
    for (unsigned i = 0; i < ctl_n_commands; i++) {
        strcat(list, i ? ", " : "");
        strcat(list, ctl_commands[i].name);
    }
    *error = json_sprintf("no such command; accepted are %s", list);
    return NULL;
}
