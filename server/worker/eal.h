/* eal.h - starts DPDK's environment as a guest in this process: no privilege, no hugepage and no card needed
 * Owner:  main(), once per process.
 * Thread: main thread, before all others.
 * Errors: 0 or -errno with one sentence in err. */
#ifndef HOSTSTACK_SERVER_EAL_H
#define HOSTSTACK_SERVER_EAL_H

#include "common/types.h"

struct eal_options {
    bool hugepages;
    uint64_t memory_bytes;
    const char *file_prefix;          /* unique on the machine */
    const char *const *pci_devices;   /* addresses that ports need; none: the PCI bus is not looked at */
    unsigned n_pci_devices;
};
int eal_start(const struct eal_options *opt, char *err, size_t err_len);
void eal_stop(void);
const char *eal_version(void);        /* "DPDK 22.11.11" */
bool eal_is_pci_address(const char *device, size_t len);  /* 0000:01:00.0 or 01:00.0 */

#endif
