/* vcl_config.c - reads vcl.conf and the environment (vcl.conf(5)) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/conf.h"
#include "common/runtime_dir.h"
#include "vcl/vcl.h"
#include "vcl/vcl_internal.h"

enum word_kind { W_SIZE, W_NUMBER, W_TIME, W_FLAG, W_TEXT, W_IGNORED_FLAG, W_IGNORED_VALUE };
struct word_row {
    const char *word;
    uint8_t kind;
    uint16_t at;
    uint16_t len;         /* W_TEXT: room */
    uint64_t min, max;
};
#define AT(f) (uint16_t)offsetof(struct vcl_config, f)
#define TEXT(f) W_TEXT, AT(f), sizeof(((struct vcl_config *)0)->f), 0, 0

static const struct word_row words[] = {
    { "app-socket-api", TEXT(app_socket) },
    { "api-socket-name", W_IGNORED_VALUE, 0, 0, 0, 0 },
    { "app-name", TEXT(app_name) },
    { "namespace-id", TEXT(ns_name) },
    { "rx-fifo-size", W_SIZE, AT(rx_fifo_size), 0, 4096, 1u << SVM_RING_MAX_LOG2 },
    { "tx-fifo-size", W_SIZE, AT(tx_fifo_size), 0, 4096, 1u << SVM_RING_MAX_LOG2 },
    { "event-queue-size", W_NUMBER, AT(event_queue_size), 0, 16, 1 << 20 },
    { "max-workers", W_NUMBER, AT(max_workers), 0, 1, 64 },
    { "app-timeout", W_TIME, AT(app_timeout_s), 0, 0, 86400 },
    { "session-timeout", W_TIME, AT(session_timeout_s), 0, 0, 86400 },
    { "app-scope-local", W_FLAG, AT(scope_local), 0, 0, 0 },
    { "app-scope-global", W_FLAG, AT(scope_global), 0, 0, 0 },
    { "use-mq-eventfd", W_FLAG, AT(use_mq_eventfd), 0, 0, 0 },
    { "multi-thread-workers", W_FLAG, AT(multi_thread_workers), 0, 0, 0 },
    { "heapsize", W_IGNORED_VALUE, 0, 0, 0, 0 },
    { "preallocated-fifo-pairs", W_IGNORED_VALUE, 0, 0, 0, 0 },
    { "tls-engine", W_IGNORED_VALUE, 0, 0, 0, 0 },
    { "app-proxy-transport-tcp", W_IGNORED_FLAG, 0, 0, 0, 0 },
    { "app-proxy-transport-udp", W_IGNORED_FLAG, 0, 0, 0, 0 },
    { "huge_page", W_IGNORED_FLAG, 0, 0, 0, 0 },
    { "app_original_dst", W_IGNORED_FLAG, 0, 0, 0, 0 },
};

static void defaults(struct vcl_config *c)
{
    char dir[RUNTIME_DIR_MAX];

    memset(c, 0, sizeof(*c));
    if (runtime_dir_default(dir) == 0)
        snprintf(c->app_socket, sizeof(c->app_socket), "%s/app.sock", dir);
    c->rx_fifo_size = c->tx_fifo_size = VCL_DEFAULT_FIFO;
    c->event_queue_size = 4096;
    c->max_workers = 16;
    c->app_timeout_s = 600;
    c->session_timeout_s = 600;
}

static void ignored(const char *word)
{
    vcl_log(0, "'%s' has no meaning here, it is ignored", word);
}

/* ---- values of words ---- */
static int take_mb(struct conf_reader *r, const char *what, uint32_t *out)
{
    uint64_t v;
    int rc = conf_take_size(r, what, 1 << 20, 1ull << 36, &v);

    *out = rc ? *out : (uint32_t)((v + (1 << 20) - 1) >> 20);
    return rc;
}

static int take_secret(struct conf_reader *r, uint64_t *out)
{
    return conf_take_number(r, "namespace-secret", 0, UINT64_MAX, out);
}

static int take_row(struct conf_reader *r, struct vcl_config *c, const struct word_row *row)
{
    uint8_t *at = (uint8_t *)c + row->at;
    uint64_t v = 0;
    int rc = 0;

    switch (row->kind) {
    case W_FLAG:
        *(bool *)at = true;
        return 0;
    case W_IGNORED_FLAG:
        ignored(row->word);
        return 0;
    case W_IGNORED_VALUE:
        rc = conf_take_word(r, row->word);
        if (!rc)
            ignored(row->word);
        return rc;
    case W_TEXT:
        return conf_take_text(r, row->word, (char *)at, row->len);
    case W_SIZE:
        rc = conf_take_size(r, row->word, row->min, row->max, &v);
        break;
    case W_TIME: /* VCL users write bare seconds */
        rc = conf_take_word(r, row->word);
        if (!rc && conf_parse_number(r->word, &v) != 0) {
            rc = conf_parse_time_us(r->word, &v);
            v /= 1000000;
        }
        if (rc || v > row->max)
            return conf_fail(r, "%s: '%s' is not a number of seconds up to %llu", row->word, r->word, (unsigned long long)row->max);
        break;
    default:
        rc = conf_take_number(r, row->word, row->min, row->max, &v);
    }
    if (!rc)
        *(uint32_t *)(void *)at = (uint32_t)v;
    return rc;
}

/* ---- rule { proto tcp local 0.0.0.0/0 port 80-443 serve stack } ---- */
static int take_ports(struct conf_reader *r, struct vcl_rule *rule)
{
    unsigned lo, hi;
    char extra;
    int rc = conf_take_word(r, "the port of a rule"), n;

    if (rc)
        return rc;
    n = sscanf(r->word, "%u-%u%c", &lo, &hi, &extra);
    if (n == 1 && strchr(r->word, '-') == NULL && sscanf(r->word, "%u%c", &lo, &extra) == 1)
        hi = lo;
    else if (n != 2)
        lo = 1, hi = 0;
    if (lo > hi || hi > 65535)
        return conf_fail(r, "port '%s': a number up to 65535, or LOW-HIGH", r->word);
    rule->port_lo = (uint16_t)lo;
    rule->port_hi = (uint16_t)hi;
    return 0;
}

static int take_prefix(struct conf_reader *r, struct vcl_rule *rule, bool is_remote)
{
    rule->is_remote = is_remote;
    rule->any_prefix = false;
    return conf_take_prefix(r, is_remote ? "the remote of a rule" : "the local of a rule", &rule->prefix);
}

static int take_rule(struct conf_reader *r, struct vcl_config *c)
{
    static const char *const protos[] = { "tcp", "udp", "any" };
    static const uint8_t numbers[] = { SVM_PROTO_TCP, SVM_PROTO_UDP, SVM_PROTO_NONE };
    static const char *const serves[] = { "stack", "kernel", "both" };
    struct vcl_rule rule = { .proto = SVM_PROTO_NONE, .any_prefix = true, .port_hi = 65535 };
    bool has_serve = false;
    unsigned v;
    int rc = conf_take_open(r, "rule");

    if (!rc && c->n_rules == VCL_MAX_RULES)
        rc = conf_fail(r, "more than %d rules", VCL_MAX_RULES);
    while (!rc) {
        enum conf_token t = conf_next(r);

        if (t == CONF_CLOSE)
            break;
        if (t != CONF_WORD) {
            rc = conf_fail(r, "rule: words proto, local, remote, port, serve, then '}'");
        } else if (!strcmp(r->word, "proto")) {
            rc = conf_take_choice(r, "the proto of a rule", protos, 3, &v);
            rule.proto = rc ? SVM_PROTO_NONE : numbers[v];
        } else if (!strcmp(r->word, "local") || !strcmp(r->word, "remote")) {
            rc = take_prefix(r, &rule, r->word[0] == 'r');
        } else if (!strcmp(r->word, "port")) {
            rc = take_ports(r, &rule);
        } else if (!strcmp(r->word, "serve")) {
            rc = conf_take_choice(r, "who a rule lets serve", serves, 3, &v);
            rule.serve = (uint8_t)v;
            has_serve = true;
        } else {
            rc = conf_fail(r, "rule: unknown word '%s'; accepted: proto, local, remote, port, serve", r->word);
        }
    }
    if (!rc && !has_serve)
        rc = conf_fail(r, "rule: 'serve stack', 'serve kernel' or 'serve both' is missing");
    if (rc)
        return rc;
    snprintf(rule.name, sizeof(rule.name), "rule %u of vcl.conf", c->n_rules + 1);
    c->rules[c->n_rules++] = rule;
    return 0;
}

static int unknown(struct conf_reader *r)
{
    char word[64], list[400] = "";
    size_t at = 0;

    snprintf(word, sizeof(word), "%.60s", r->word);
    for (unsigned i = 0; i < HS_ARRAY_LEN(words) && at < sizeof(list); i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s ", words[i].word);
    return conf_fail(r, "unknown word '%s'; accepted: %ssegment-size add-segment-size namespace-secret fallback rule", word, list);
}

/* Words whose value is checked as VPP's would be, but that nothing here acts on. */
static bool is_checked_only(const char *word)
{
    static const char *const list[] = { "app-timeout", "session-timeout", "use-mq-eventfd", "multi-thread-workers" };

    for (unsigned i = 0; i < HS_ARRAY_LEN(list); i++)
        if (!strcmp(word, list[i]))
            return true;
    return false;
}

static int take_word(struct conf_reader *r, struct vcl_config *c)
{
    static const char *const fallbacks[] = { "none", "kernel" };
    unsigned v;
    int rc;

    for (unsigned i = 0; i < HS_ARRAY_LEN(words); i++)
        if (!strcmp(r->word, words[i].word)) {
            rc = take_row(r, c, &words[i]);
            if (rc == 0 && is_checked_only(words[i].word))
                ignored(words[i].word);
            return rc;
        }
    if (!strcmp(r->word, "segment-size"))
        return take_mb(r, "segment-size", &c->segment_mb);
    if (!strcmp(r->word, "add-segment-size")) {
        rc = take_mb(r, "add-segment-size", &c->add_segment_mb);
        if (rc == 0)
            ignored("add-segment-size"); /* further banks have the size that the server is configured for */
        return rc;
    }
    if (!strcmp(r->word, "namespace-secret"))
        return take_secret(r, &c->ns_secret);
    if (!strcmp(r->word, "rule"))
        return take_rule(r, c);
    if (!strcmp(r->word, "fallback")) {
        rc = conf_take_choice(r, "fallback", fallbacks, 2, &v);
        c->fallback_kernel = v == 1;
        return rc;
    }
    return unknown(r);
}

static int parse(struct conf_reader *r, struct vcl_config *c)
{
    for (;;) {
        enum conf_token t = conf_next(r);
        int rc;

        if (t == CONF_END)
            return 0;
        if (t == CONF_BAD)
            return -EINVAL;
        if (t != CONF_WORD || strcmp(r->word, "vcl"))
            return conf_fail(r, "'vcl { ... }' is all that this file holds");
        rc = conf_take_open(r, "vcl");
        while (!rc && (t = conf_next(r)) != CONF_CLOSE)
            rc = t == CONF_WORD ? take_word(r, c) : conf_fail(r, "a word or '}' is missing in 'vcl {'");
        if (rc)
            return rc;
    }
}

static int read_file(struct vcl_config *c, const char *path, bool must, char *err, size_t err_len)
{
    struct conf_reader r;
    size_t len;
    char *text;
    int rc = conf_read_file(path, &text, &len);

    if (rc == -ENOENT && !must)
        return 0;
    if (rc) {
        snprintf(err, err_len, "%s: %s (named by VCL_CONFIG)", path, strerror(-rc));
        return -EINVAL;
    }
    conf_init(&r, path, text, len);
    rc = parse(&r, c);
    if (rc)
        snprintf(err, err_len, "%s", r.error);
    free(text);
    return rc;
}

/* ---- environment ---- */
static int env_fail(char *err, size_t err_len, const char *name, const char *value, const char *accepted)
{
    snprintf(err, err_len, "%s='%s': %s", name, value, accepted);
    return -EINVAL;
}

static int env_text(const char *name, char *out, size_t size, char *err, size_t err_len)
{
    const char *v = getenv(name);

    if (!v)
        return 0;
    if (strlen(v) >= size)
        return env_fail(err, err_len, name, v, "too long");
    strcpy(out, v);
    return 0;
}

static int env_level(const char *name, int *out, char *err, size_t err_len)
{
    const char *v = getenv(name);
    uint64_t n;

    if (!v || !*v)
        return 0;
    if (conf_parse_number(v, &n) != 0 || n > 9)
        return env_fail(err, err_len, name, v, "a level from 0 to 9");
    if ((int)n > *out)
        *out = (int)n;
    return 0;
}

static int read_environment(struct vcl_config *c, char *err, size_t err_len)
{
    static const char *const none[] = { "VCL_APP_PROXY_TRANSPORT_TCP", "VCL_APP_PROXY_TRANSPORT_UDP", "LDP_SID_BIT" };
    const char *v = getenv("VCL_APP_NAMESPACE_SECRET");
    int rc = env_text("VCL_VPP_SAPI_SOCKET", c->app_socket, sizeof(c->app_socket), err, err_len);

    if (!rc)
        rc = env_text("VCL_APP_NAMESPACE_ID", c->ns_name, sizeof(c->ns_name), err, err_len);
    if (!rc)
        rc = env_text("LDP_APP_NAME", c->app_name, sizeof(c->app_name), err, err_len);
    if (!rc && v && conf_parse_number(v, &c->ns_secret) != 0)
        rc = env_fail(err, err_len, "VCL_APP_NAMESPACE_SECRET", v, "a number");
    if (getenv("VCL_APP_SCOPE_LOCAL"))
        c->scope_local = true;
    if (getenv("VCL_APP_SCOPE_GLOBAL"))
        c->scope_global = true;
    if (getenv("VCL_APP_USE_MQ_EVENTFD"))
        c->use_mq_eventfd = true;
    for (unsigned i = 0; i < HS_ARRAY_LEN(none); i++)
        if (getenv(none[i]))
            ignored(none[i]);
    return rc;
}

int vcl_config_load(struct vcl_config *c, char *err, size_t err_len)
{
    const char *path = getenv("VCL_CONFIG");
    int rc;

    defaults(c);
    rc = env_level("VCL_DEBUG", &c->debug, err, err_len);
    if (!rc)
        rc = env_level("LDP_DEBUG", &c->debug, err, err_len);
    if (!rc)
        rc = read_file(c, path && *path ? path : HS_SYSCONFDIR "/hoststack/vcl.conf", path && *path, err, err_len);
    if (!rc)
        rc = read_environment(c, err, err_len);
    if (rc)
        return rc;
    if (!c->scope_local && !c->scope_global) /* nothing asked for: everything the namespace allows */
        c->scope_local = c->scope_global = true;
    return 0;
}
