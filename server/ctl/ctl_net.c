/* ctl_net.c - route, address and neighbor commands: words to values, then the change while all workers are held */
#include "server/ctl/ctl_net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/conf.h"
#include "common/log.h"
#include "server/app/app_server.h"
#include "server/neigh/neigh.h"
#include "server/route/route.h"

static const char *word_at(const json_t *words, size_t i)
{
    return json_string_value(json_array_get(words, i));
}

static int fail(char *err, size_t err_len, int rc, const char *what, const char *word)
{
    snprintf(err, err_len, "%s%s%s", what, word ? ": " : "", word ? word : "");
    return rc;
}

/* The change has been made, or refused with rc: workers go on, programs ask again who serves what. */
static int finish(struct stack *s, int rc, const char *what, char *err, size_t err_len)
{
    stack_resume(s);
    if (rc != 0)
        return fail(err, err_len, rc, what, rc == -ENETUNREACH ? "no interface reaches its via" : strerror(-rc));
    if (s->apps)
        app_server_net_changed(s->apps);
    return 0;
}

static int begin(struct stack *s, char *err, size_t err_len)
{
    int rc = stack_pause(s);

    return rc == 0 ? 0 : fail(err, err_len, rc, "a worker has too much to do, try again", NULL);
}

/* ---------------------------------------------------------------- routes */

struct route_hop_words {
    struct ip_addr via;
    bool has_via;
    struct interface *ifc;
};
struct route_words {
    struct ip_prefix prefix;
    unsigned n_hops;
    struct route_hop_words hop[ROUTE_MAX_HOPS];
    uint16_t table;
};

/* The hop that a via or dev belongs to, as in the configuration: the next one when the last has that already. NULL: too many. */
static struct route_hop_words *hop_for(struct route_words *r, bool via)
{
    struct route_hop_words *last = r->n_hops ? &r->hop[r->n_hops - 1] : NULL;

    if (last && !(via ? last->has_via : last->ifc != NULL))
        return last;
    return r->n_hops < ROUTE_MAX_HOPS ? &r->hop[r->n_hops++] : NULL;
}

static int parse_hop(const struct stack *s, struct route_words *r, bool via, const char *value, char *err, size_t err_len)
{
    struct route_hop_words *hop = hop_for(r, via);

    if (!hop)
        return fail(err, err_len, -EINVAL, "more next hops than a route may have, at", value);
    if (via && ip_addr_parse(value, &hop->via) != 0)
        return fail(err, err_len, -EINVAL, "not an address", value);
    hop->has_via |= via;
    if (!via && (hop->ifc = interface_by_name(s, value)) == NULL)
        return fail(err, err_len, -ENODEV, "no such interface", value);
    return 0;
}

static int parse_route(const struct stack *s, const json_t *words, size_t i, bool may_have_way, struct route_words *r, char *err,
                       size_t err_len)
{
    const char *w = word_at(words, i++), *value;
    uint64_t table;

    memset(r, 0, sizeof(*r));
    if (!w || ip_prefix_parse(w, &r->prefix) != 0)
        return fail(err, err_len, -EINVAL, "a destination such as 10.0.0.0/8 is needed", w);
    for (; (w = word_at(words, i)) != NULL; i += 2) {
        bool via = strcmp(w, "via") == 0;
        value = word_at(words, i + 1);
        if (!value)
            return fail(err, err_len, -EINVAL, "a value is missing after", w);
        if (may_have_way && (via || strcmp(w, "dev") == 0)) {
            int rc = parse_hop(s, r, via, value, err, err_len);
            if (rc != 0)
                return rc;
        } else if (strcmp(w, "table") == 0) {
            if (conf_parse_number(value, &table) != 0 || table >= ROUTE_MAX_FIBS)
                return fail(err, err_len, -EINVAL, "not a table", value);
            r->table = (uint16_t)table;
        } else {
            return fail(err, err_len, -EINVAL, may_have_way ? "accepted are via, dev and table, not" : "accepted is table, not", w);
        }
    }
    return 0;
}

/* All of its hops, or nothing. */
static int add_hops(struct stack *s, const struct route_words *r)
{
    int rc = 0;

    for (unsigned k = 0; k < r->n_hops && rc == 0; k++) {
        const struct route_hop_words *h = &r->hop[k];
        rc = (k == 0 ? route_add : route_add_hop)(s, r->table, &r->prefix, h->has_via ? &h->via : NULL, h->ifc);
        if (rc != 0 && k > 0)
            route_del(s->routes, r->table, &r->prefix, ROUTE_STATIC);
    }
    return rc;
}

int ctl_route_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    struct route_words r;
    int rc = parse_route(s, words, first, true, &r, err, err_len);

    if (rc == 0 && r.n_hops == 0)
        rc = fail(err, err_len, -EINVAL, "a route needs via ADDRESS or dev INTERFACE", NULL);
    if (rc != 0 || (rc = begin(s, err, err_len)) != 0)
        return rc;
    return finish(s, add_hops(s, &r), "route", err, err_len);
}

int ctl_route_del(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    struct route_words r;
    int rc = parse_route(s, words, first, false, &r, err, err_len);

    if (rc != 0 || (rc = begin(s, err, err_len)) != 0)
        return rc;
    return finish(s, route_del(s->routes, r.table, &r.prefix, ROUTE_STATIC), "route", err, err_len);
}

/* ---------------------------------------------------------------- addresses */

static int parse_interface(const struct stack *s, const json_t *words, size_t i, struct interface **ifc, char *err, size_t err_len)
{
    const char *w = word_at(words, i);

    *ifc = w ? interface_by_name(s, w) : NULL;
    return *ifc ? 0 : fail(err, err_len, -ENODEV, w ? "no such interface" : "the name of an interface is needed", w);
}

static int parse_address(const struct stack *s, const json_t *words, size_t i, struct interface **ifc, struct ip_prefix *p, char *err,
                         size_t err_len)
{
    const char *w = word_at(words, i + 1);
    int rc = parse_interface(s, words, i, ifc, err, err_len);

    if (rc != 0)
        return rc;
    if (!w || ip_prefix_parse(w, p) != 0)
        return fail(err, err_len, -EINVAL, "an address such as 10.0.0.1/24 is needed", w);
    return word_at(words, i + 2) ? fail(err, err_len, -EINVAL, "nothing more is accepted, not", word_at(words, i + 2)) : 0;
}

int ctl_address_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    struct interface *ifc;
    struct ip_prefix p;
    int rc = parse_address(s, words, first, &ifc, &p, err, err_len);

    if (rc != 0 || (rc = begin(s, err, err_len)) != 0)
        return rc;
    return finish(s, interface_add_address(ifc, &p, 0), "address", err, err_len);
}

int ctl_address_del(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    struct interface *ifc;
    struct ip_prefix p;
    int rc = parse_address(s, words, first, &ifc, &p, err, err_len);

    if (rc != 0 || (rc = begin(s, err, err_len)) != 0)
        return rc;
    return finish(s, interface_del_address(ifc, &p), "address", err, err_len);
}

/* ---------------------------------------------------------------- neighbours */

static int parse_neighbor(const struct stack *s, const json_t *words, size_t i, struct interface **ifc, struct ip_addr *ip, char *err,
                          size_t err_len)
{
    const char *w = word_at(words, i + 1);
    int rc = parse_interface(s, words, i, ifc, err, err_len);

    if (rc != 0)
        return rc;
    return w && ip_addr_parse(w, ip) == 0 ? 0 : fail(err, err_len, -EINVAL, "the address of a neighbour is needed", w);
}

int ctl_neighbor_add(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    struct interface *ifc;
    struct ip_addr ip;
    unsigned b[6];
    uint8_t mac[6];
    int used = 0, rc = parse_neighbor(s, words, first, &ifc, &ip, err, err_len);

    if (rc != 0)
        return rc;
    const char *text = word_at(words, first + 2);
    if (!text || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &used) != 6 || text[used] ||
        (b[0] & 1) || word_at(words, first + 3))
        return fail(err, err_len, -EINVAL, "a station's address such as 02:00:00:00:00:01 is needed at the end", text);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
    if ((rc = begin(s, err, err_len)) != 0)
        return rc;
    for (unsigned i = 0; i < s->n_workers && rc == 0; i++)
        rc = neigh_set_permanent(s->worker[i], ifc, &ip, mac);
    return finish(s, rc, "neighbor", err, err_len);
}

int ctl_neighbor_del(struct stack *s, const json_t *words, size_t first, char *err, size_t err_len)
{
    struct interface *ifc;
    struct ip_addr ip;
    int rc = parse_neighbor(s, words, first, &ifc, &ip, err, err_len), found = -ENOENT;

    if (rc == 0 && word_at(words, first + 2))
        rc = fail(err, err_len, -EINVAL, "nothing more is accepted, not", word_at(words, first + 2));
    if (rc != 0 || (rc = begin(s, err, err_len)) != 0)
        return rc;
    for (unsigned i = 0; i < s->n_workers; i++)
        if (neigh_forget(s->worker[i], ifc, &ip) == 0)
            found = 0;
    return finish(s, found, "neighbor", err, err_len);
}
