/* config_words.c - the words inside a stanza: the table of config_words.def and the values that need code of their own */
#include "server/config/config_internal.h"

#include <errno.h>
#include <stdio.h>

#include "common/log.h"

enum word_kind { WORD_FLAG, WORD_CLEAR, WORD_TEXT, WORD_NUMBER, WORD_SIZE, WORD_TIME, WORD_OTHER };

struct config_word {
    const char *stanza, *word;
    enum word_kind kind;
    size_t offset, size;
    uint64_t min, max;
    int (*take)(struct conf_reader *r, void *base); /* WORD_OTHER */
};

/* Rows of kind OTHER name a function, the others a field. */
#define ROW_FIELD(stanza, word, kind, type, field, lo, hi) \
    { stanza, word, kind, offsetof(struct type, field), sizeof(((struct type *)0)->field), lo, hi, NULL },
#define ROW_FLAG(stanza, word, type, field, lo, hi) ROW_FIELD(#stanza, word, WORD_FLAG, type, field, lo, hi)
#define ROW_CLEAR(stanza, word, type, field, lo, hi) ROW_FIELD(#stanza, word, WORD_CLEAR, type, field, lo, hi)
#define ROW_TEXT(stanza, word, type, field, lo, hi) ROW_FIELD(#stanza, word, WORD_TEXT, type, field, lo, hi)
#define ROW_NUMBER(stanza, word, type, field, lo, hi) ROW_FIELD(#stanza, word, WORD_NUMBER, type, field, lo, hi)
#define ROW_SIZE(stanza, word, type, field, lo, hi) ROW_FIELD(#stanza, word, WORD_SIZE, type, field, lo, hi)
#define ROW_TIME(stanza, word, type, field, lo, hi) ROW_FIELD(#stanza, word, WORD_TIME, type, field, lo, hi)
#define ROW_OTHER(stanza, word, type, field, lo, hi) \
    { #stanza, word, WORD_OTHER, 0, 0, lo, hi, config_take_##stanza##_##field },
#define CONFIG_WORD(stanza, word, kind, type, field, lo, hi) ROW_##kind(stanza, word, type, field, lo, hi)
#undef unix /* a macro of GNU C that would change the stanza's name */
static const struct config_word words[] = {
#include "server/config/config_words.def"
};

static int unknown_word(struct conf_reader *r, const char *stanza)
{
    char list[512] = "";
    size_t used = 0;

    for (unsigned i = 0; i < HS_ARRAY_LEN(words); i++) {
        if (strcmp(words[i].stanza, stanza) != 0)
            continue;
        int n = snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", words[i].word);
        if (n > 0 && used + (size_t)n < sizeof(list))
            used += (size_t)n;
    }
    return conf_fail(r, "unknown word %s in %s { }; accepted are %s", r->word, stanza, list);
}

static void store(void *at, size_t size, uint64_t v)
{
    switch (size) {
    case 1: { uint8_t x = (uint8_t)v; memcpy(at, &x, 1); break; }
    case 2: { uint16_t x = (uint16_t)v; memcpy(at, &x, 2); break; }
    case 4: { uint32_t x = (uint32_t)v; memcpy(at, &x, 4); break; }
    default: memcpy(at, &v, 8); break;
    }
}

static int take_value(struct conf_reader *r, const struct config_word *w, void *base)
{
    char *at = (char *)base + w->offset;
    char what[64];
    uint64_t v = 0;
    int rc;

    snprintf(what, sizeof(what), "%s of %s", w->word, w->stanza);
    switch (w->kind) {
    case WORD_FLAG:
    case WORD_CLEAR:
        *(bool *)at = w->kind == WORD_FLAG;
        return 0;
    case WORD_TEXT:
        return conf_take_text(r, what, at, w->size);
    case WORD_NUMBER:
        rc = conf_take_number(r, what, w->min, w->max, &v);
        break;
    case WORD_SIZE:
        rc = conf_take_size(r, what, w->min, w->max, &v);
        break;
    case WORD_TIME:
        rc = conf_take_time_us(r, what, w->min, w->max, &v);
        break;
    default:
        return w->take(r, base);
    }
    if (rc == 0)
        store(at, w->size, v);
    return rc;
}

static int take_word_of(struct conf_reader *r, const char *stanza, void *base)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(words); i++)
        if (strcmp(words[i].stanza, stanza) == 0 && strcmp(words[i].word, r->word) == 0)
            return take_value(r, &words[i], base);
    return unknown_word(r, stanza);
}

int config_take_stanza(struct conf_reader *r, const char *stanza, void *base)
{
    unsigned line = r->token_line;

    if (conf_take_open(r, stanza) != 0)
        return -EINVAL;
    for (;;) {
        switch (conf_next(r)) {
        case CONF_CLOSE:
            return 0;
        case CONF_WORD:
            if (take_word_of(r, stanza, base) != 0)
                return -EINVAL;
            break;
        case CONF_OPEN:
            return conf_fail(r, "{ where a word of %s is expected", stanza);
        case CONF_END:
            r->token_line = line; /* where it begins helps more than where the file ends */
            return conf_fail(r, "the } of %s { is missing", stanza);
        default:
            return -EINVAL;
        }
    }
}

/* ---------------------------------------------------------------- words with code of their own */

int config_take_unix_log_level(struct conf_reader *r, void *base)
{
    static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
    struct config_unix *u = base;
    unsigned i;

    if (conf_take_choice(r, "log-level of unix", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    u->log_level = HS_LOG_ERROR + i;
    return 0;
}

/* "1", "1,3", "1-3,5" as VPP's and DPDK's core lists */
int config_take_cpu_core(struct conf_reader *r, void *base)
{
    struct config_cpu *cpu = base;
    char list[CONF_WORD_MAX], *rest = list, *item;

    if (conf_take_text(r, "corelist of cpu", list, sizeof(list)) != 0)
        return -EINVAL;
    cpu->n_cores = 0;
    while ((item = strsep(&rest, ",")) != NULL) {
        char *dash = strchr(item, '-');
        uint64_t first, last;
        if (dash)
            *dash = '\0';
        if (conf_parse_number(item, &first) != 0 || conf_parse_number(dash ? dash + 1 : item, &last) != 0 ||
            first > last || last >= 1024)
            return conf_fail(r, "corelist of cpu is core numbers such as 1 or 1,3 or 1-3, not %s", r->word);
        for (uint64_t c = first; c <= last; c++) {
            if (cpu->n_cores == WORKER_MAX)
                return conf_fail(r, "corelist of cpu names more than %d cores", WORKER_MAX);
            cpu->core[cpu->n_cores++] = (unsigned)c;
        }
    }
    return 0;
}

int config_take_cpu_poll_mode(struct conf_reader *r, void *base)
{
    static const char *const names[] = {
        [CONFIG_POLL_ADAPTIVE] = "adaptive", [CONFIG_POLL_BUSY] = "busy", [CONFIG_POLL_INTERRUPT] = "interrupt",
    };
    struct config_cpu *cpu = base;

    return conf_take_choice(r, "poll-mode of cpu", names, HS_ARRAY_LEN(names), &cpu->poll_mode);
}

/* The device's name and every word after it that is an argument (name=value), separated by blanks. */
int config_take_port_device(struct conf_reader *r, void *base)
{
    struct port_config *p = base;
    const char *arg;
    size_t n;

    if (conf_take_text(r, "device of port", p->device, sizeof(p->device)) != 0)
        return -EINVAL;
    while (conf_peek_word(r, &arg, &n) && memchr(arg, '=', n) != NULL) {
        if (conf_next(r) != CONF_WORD)
            return -EINVAL;
        size_t used = strlen(p->device);
        if (used + 1 + n >= sizeof(p->device))
            return conf_fail(r, "device of port %s has more than %zu bytes of arguments", p->name, sizeof(p->device) - 1);
        p->device[used] = ' ';
        memcpy(p->device + used + 1, r->word, n + 1);
    }
    return 0;
}

int config_take_port_mac(struct conf_reader *r, void *base)
{
    struct port_config *p = base;
    unsigned b[6];
    int used = 0;

    if (conf_take_word(r, "mac of port") != 0)
        return -EINVAL;
    if (sscanf(r->word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &used) != 6 ||
        r->word[used] != '\0')
        return conf_fail(r, "mac of port is an address such as 02:00:00:00:00:01, not %s", r->word);
    if (b[0] & 1)
        return conf_fail(r, "mac of port is %s, a group address; a station's address is accepted", r->word);
    for (unsigned i = 0; i < 6; i++)
        p->mac[i] = (uint8_t)b[i];
    p->has_mac = true;
    return 0;
}

int config_take_interface_address(struct conf_reader *r, void *base)
{
    struct config_interface *ifc = base;
    struct ip_prefix p;
    const char *word;
    size_t n;

    if (conf_peek_word(r, &word, &n) && n == 4 && memcmp(word, "dhcp", 4) == 0) {
        ifc->dhcp = true;
        return conf_take_word(r, "address of interface");
    }
    if (conf_take_prefix(r, "address of interface", &p) != 0)
        return -EINVAL;
    if (ifc->n_addresses == INTERFACE_MAX_ADDRS)
        return conf_fail(r, "interface %s has more than %d addresses", ifc->name, INTERFACE_MAX_ADDRS);
    for (unsigned i = 0; i < ifc->n_addresses; i++)
        if (ip_addr_eq(&ifc->address[i].ip, &p.ip))
            return conf_fail(r, "interface %s has the address %s twice", ifc->name, r->word);
    if (ip_addr_is_any(&p.ip) || ip_addr_is_multicast(&p.ip) || ip_addr_is_loopback(&p.ip) || ip_addr_is_broadcast(&p.ip))
        return conf_fail(r, "address of interface is %s; an address of one host is accepted", r->word);
    ifc->address[ifc->n_addresses++] = p;
    return 0;
}

int config_take_tcp_mtu_probing(struct conf_reader *r, void *base)
{
    static const char *const names[] = { [TCP_MTU_PROBING_OFF] = "off", [TCP_MTU_PROBING_BLACK_HOLE] = "black-hole",
                                         [TCP_MTU_PROBING_ALWAYS] = "always" };
    unsigned i;

    if (conf_take_choice(r, "mtu-probing of tcp", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    ((struct tcp_config *)base)->mtu_probing = i;
    return 0;
}

int config_take_tcp_ecn(struct conf_reader *r, void *base)
{
    static const char *const names[] = { [TCP_ECN_OFF] = "off", [TCP_ECN_ACCEPT] = "accept", [TCP_ECN_ON] = "on" };
    unsigned i;

    if (conf_take_choice(r, "ecn of tcp", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    ((struct tcp_config *)base)->ecn = i;
    return 0;
}

int config_take_tcp_cc_algo(struct conf_reader *r, void *base)
{
    static const char *const names[] = { "cubic", "newreno", "bbr" };
    struct tcp_config *tcp = base;
    unsigned i;

    if (conf_take_choice(r, "cc-algo of tcp", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    tcp->cc_algo = names[i];
    return 0;
}

int config_take_tls_min_version(struct conf_reader *r, void *base)
{
    static const char *const names[] = { [TLS_V1_2] = "1.2", [TLS_V1_3] = "1.3" };

    return conf_take_choice(r, "min-version of tls", names, HS_ARRAY_LEN(names), &((struct tls_config *)base)->min_version);
}

int config_take_tls_verify(struct conf_reader *r, void *base)
{
    static const char *const names[] = { "none", "optional", "required" };
    unsigned i;

    if (conf_take_choice(r, "verify of tls", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    ((struct tls_config *)base)->verify = SVM_TLS_VERIFY_NONE + i;
    return 0;
}

int config_take_tls_verify_server(struct conf_reader *r, void *base)
{
    static const char *const names[] = { "none", "required" };
    unsigned i;

    if (conf_take_choice(r, "verify-server of tls", names, HS_ARRAY_LEN(names), &i) != 0)
        return -EINVAL;
    ((struct tls_config *)base)->verify_server = i ? SVM_TLS_VERIFY_REQUIRED : SVM_TLS_VERIFY_NONE;
    return 0;
}

/* Rounded up to a power of two, as FIFOs are. */
int config_take_tls_fifo_size(struct conf_reader *r, void *base)
{
    struct tls_config *tls = base;
    uint64_t v;

    if (conf_take_size(r, "fifo-size of tls", 64u << 10, 16u << 20, &v) != 0)
        return -EINVAL;
    for (tls->fifo_size = 64u << 10; tls->fifo_size < v; tls->fifo_size *= 2)
        ;
    return 0;
}
