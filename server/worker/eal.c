/* eal.c - DPDK's environment: arguments, start, end */
#include "server/worker/eal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_version.h>

enum { EAL_MAX_ARGS = 64 };

/* "0@(0-3,7)": the main thread may run on every CPU it may run on now. EAL would pin it to one otherwise. */
static int main_lcore_arg(char *out, size_t size)
{
    cpu_set_t set;
    size_t used;
    int first = -1;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return -errno;
    used = (size_t)snprintf(out, size, "0@(");
    for (int cpu = 0; cpu <= CPU_SETSIZE; cpu++) {
        bool on = cpu < CPU_SETSIZE && CPU_ISSET(cpu, &set);
        if (on && first < 0)
            first = cpu;
        if (on || first < 0)
            continue;
        int n = snprintf(out + used, size - used, first == cpu - 1 ? "%s%d" : "%s%d-%d", out[used - 1] == '(' ? "" : ",",
                         first, cpu - 1);
        if (n < 0 || used + (size_t)n + 2 > size)
            return -E2BIG;
        used += (size_t)n;
        first = -1;
    }
    snprintf(out + used, size - used, ")");
    return 0;
}

int eal_start(const struct eal_options *opt, char *err, size_t err_len)
{
    char lcores[512], memory[32], prefix[128];
    char *argv[EAL_MAX_ARGS];
    int argc = 0, rc;

    rc = main_lcore_arg(lcores, sizeof(lcores));
    if (rc != 0) {
        snprintf(err, err_len, "cannot tell which processors may be used: %s", strerror(-rc));
        return rc;
    }
    snprintf(memory, sizeof(memory), "%llu", (unsigned long long)(opt->memory_bytes + (1u << 20) - 1) >> 20);
    snprintf(prefix, sizeof(prefix), "--file-prefix=%s", opt->file_prefix);
    argv[argc++] = (char *)"hoststackd";
    argv[argc++] = (char *)"--log-level=error"; /* what fails is said by us, once, in our words */
    argv[argc++] = (char *)"--no-telemetry";    /* hoststackctl is the way in; a second socket would have to be guarded too */
    argv[argc++] = (char *)"--lcores";
    argv[argc++] = lcores;
    argv[argc++] = (char *)"-m";
    argv[argc++] = memory;
    /* --no-huge and --in-memory exclude each other; both leave no file behind */
    if (opt->hugepages) {
        argv[argc++] = (char *)"--in-memory";
    } else {
        argv[argc++] = (char *)"--no-huge";
        argv[argc++] = (char *)"--no-shconf";
        argv[argc++] = (char *)"--iova-mode=va";
    }
    argv[argc++] = prefix;
    if (opt->n_pci_devices == 0)
        argv[argc++] = (char *)"--no-pci";
    for (unsigned i = 0; i < opt->n_pci_devices && argc + 3 < EAL_MAX_ARGS; i++) {
        argv[argc++] = (char *)"-a"; /* only what the configuration names is taken from the kernel */
        argv[argc++] = (char *)opt->pci_devices[i];
    }
    argv[argc] = NULL;
    if (rte_eal_init(argc, argv) < 0) {
        rc = rte_errno ? -rte_errno : -EINVAL;
        snprintf(err, err_len, "DPDK does not start with %s MiB of %s: %s", memory,
                 opt->hugepages ? "hugepages (are there that many free? see /proc/meminfo)" : "memory", strerror(-rc));
        return rc;
    }
    return 0;
}

void eal_stop(void)
{
    rte_eal_cleanup();
}

const char *eal_version(void)
{
    return rte_version();
}

bool eal_is_pci_address(const char *device, size_t len)
{
    unsigned domain, bus, dev, func;
    char text[32];
    int used = 0;

    if (len >= sizeof(text))
        return false;
    memcpy(text, device, len);
    text[len] = '\0';
    if (sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &dev, &func, &used) == 4 && (size_t)used == len)
        return true;
    used = 0;
    return sscanf(text, "%2x:%2x.%1x%n", &bus, &dev, &func, &used) == 3 && (size_t)used == len;
}
