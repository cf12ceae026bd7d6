/* interface_dev.c - interfaces as programs name them: SO_BINDTODEVICE, SO_BINDTOIFINDEX, sin6_scope_id
 *
 * A program of this host knows the kernel's interfaces. A port that is on one of them has its name and number beside its own name; a VLAN of
 * such a port those of the kernel's VLAN "IFACE.ID", if there is one. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#include "server/ip/ip_internal.h"

/* false: there is none in the kernel, as far as its name says. */
static bool kernel_name_of(const struct interface *ifc, char name[SVM_DEVICE_NAME])
{
    const struct port *p = ifc->stack->port[ifc->port];

    if (ifc->vlan)
        snprintf(name, SVM_DEVICE_NAME, "%s.%u", p->kernel_name, ifc->vlan);
    else
        snprintf(name, SVM_DEVICE_NAME, "%s", p->kernel_name);
    return p->kernel_name[0] != '\0';
}

void interface_number(struct interface *ifc)
{
    char name[SVM_DEVICE_NAME];
    unsigned index = kernel_name_of(ifc, name) ? if_nametoindex(name) : 0;

    ifc->ifindex = index ? (int32_t)index : SVM_DEVICE_OWN + (int32_t)ifc->index;
}

static bool is_called(const struct interface *ifc, const char *name)
{
    char kernel[SVM_DEVICE_NAME];

    return strcmp(ifc->name, name) == 0 || (kernel_name_of(ifc, kernel) && strcmp(kernel, name) == 0);
}

/* As programs find it again: with an index of the kernel's, by the kernel's name. */
static void device_of(const struct interface *ifc, char name[SVM_DEVICE_NAME])
{
    if (ifc->ifindex >= SVM_DEVICE_OWN || !kernel_name_of(ifc, name))
        snprintf(name, SVM_DEVICE_NAME, "%s", ifc->name);
}

int interface_nth_address(const struct stack *s, uint16_t fib, unsigned number, struct svm_att_address *out)
{
    for (unsigned i = 0; s->interfaces && i < s->interfaces->n; i++) {
        const struct interface *ifc = s->interfaces->ifc[i];
        for (unsigned j = 0; ifc->fib == fib && j < ifc->n_addrs; j++) {
            const struct interface_addr *a = &ifc->addr[j];
            uint8_t state = interface_addr_state_get(a);
            if (state == INTERFACE_ADDR_REMOVED || state == INTERFACE_ADDR_DUPLICATE || number-- != 0)
                continue;
            device_of(ifc, out->device.name);
            out->device.index = ifc->ifindex;
            out->ip = a->ip;
            out->prefix_len = a->len;
            out->has_link = s->port[ifc->port]->ops->link_up(s->port[ifc->port]) > 0;
            return 0;
        }
    }
    return -ENOENT;
}

int interface_find_device(const struct stack *s, uint16_t fib, char *name, int32_t *index)
{
    for (unsigned i = 0; s->interfaces && i < s->interfaces->n; i++) {
        const struct interface *ifc = s->interfaces->ifc[i];
        if (ifc->fib != fib || (name[0] ? !is_called(ifc, name) : ifc->ifindex != *index))
            continue;
        if (!name[0])
            device_of(ifc, name);
        *index = ifc->ifindex;
        return 0;
    }
    return -ENODEV;
}

int interface_dev_of_index(const struct stack *s, uint16_t fib, int32_t index)
{
    if (index == 0)
        return 0;
    if (index == SVM_DEVICE_LO)
        return INTERFACE_DEV_LO;
    for (unsigned i = 0; s->interfaces && i < s->interfaces->n; i++) {
        const struct interface *ifc = s->interfaces->ifc[i];
        if (ifc->fib == fib && ifc->ifindex == index)
            return interface_dev(ifc);
    }
    return -ENODEV;
}

int32_t interface_index_of_dev(const struct stack *s, uint8_t dev)
{
    const struct interface *ifc = interface_of_dev(s, dev);

    return ifc ? ifc->ifindex : dev == INTERFACE_DEV_LO ? SVM_DEVICE_LO : 0;
}
