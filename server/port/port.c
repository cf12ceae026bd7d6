/* port.c - opens a port by the first word of its device line */
#include "server/port/port_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void port_fail(char *err, size_t err_len, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, err_len, fmt, ap);
    va_end(ap);
}

/* "word rest": is the first word this one? *args = the rest. */
static bool first_word_is(const char *device, const char *word, const char **args)
{
    size_t n = strlen(word);

    if (strncmp(device, word, n) != 0 || (device[n] != '\0' && device[n] != ' ' && device[n] != '\t'))
        return false;
    *args = device + n + strspn(device + n, " \t");
    return true;
}

int port_option_next(const char **args, char *key, size_t key_len, char *val, size_t val_len)
{
    const char *s = *args + strspn(*args, " \t,");
    size_t n = strcspn(s, " \t,");
    const char *eq = memchr(s, '=', n);
    size_t k = eq ? (size_t)(eq - s) : n;
    size_t v = eq ? n - k - 1 : 0;

    if (n == 0)
        return 0;
    if (k >= key_len || v >= val_len)
        return -EINVAL;
    memcpy(key, s, k);
    key[k] = '\0';
    if (v)
        memcpy(val, eq + 1, v);
    val[v] = '\0';
    *args = s + n;
    return 1;
}

/* Devices that take the frames of an interface of the kernel's, the same for both: what it is called there. Of a tap the kernel has the
 * other end. */
static void note_kernel_name(struct port *p, const char *device)
{
    static const char *const words[] = { "packet", "net_af_packet", "net_af_xdp" };
    char key[32], val[256];
    const char *args = device;
    bool is_one = false;

    for (unsigned i = 0; i < HS_ARRAY_LEN(words); i++)
        is_one |= strncmp(device, words[i], strlen(words[i])) == 0; /* "net_af_packet0,iface=veth0", too */
    while (is_one && port_option_next(&args, key, sizeof(key), val, sizeof(val)) == 1)
        if (strcmp(key, "iface") == 0)
            snprintf(p->kernel_name, sizeof(p->kernel_name), "%.15s", val);
}

int port_open(const struct port_config *cfg, struct pkt_pools *pools, struct port **out, char *err, size_t err_len)
{
    const char *args;
    struct port *p;

    p = calloc(1, sizeof(*p));
    if (!p) {
        port_fail(err, err_len, "out of memory");
        return -ENOMEM;
    }
    snprintf(p->name, sizeof(p->name), "%s", cfg->name);
    p->pools = pools;
    int ret;
    if (first_word_is(cfg->device, "tap", &args))
        ret = port_tap_open(p, cfg, args, err, err_len);
    else if (first_word_is(cfg->device, "packet", &args))
        ret = port_packet_open(p, cfg, args, err, err_len);
    else if (first_word_is(cfg->device, "loopback", &args))
        ret = port_loop_open(p, cfg, args, err, err_len);
    else
        ret = port_ethdev_open(p, cfg, err, err_len);
    if (ret < 0) {
        free(p);
        return ret;
    }
    note_kernel_name(p, cfg->device);
    *out = p;
    return 0;
}

void port_close(struct port *p)
{
    if (!p)
        return;
    p->ops->close(p);
    free(p);
}
