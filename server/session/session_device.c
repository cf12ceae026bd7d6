/* session_device.c - SO_BINDTODEVICE: sessions that are bound to an interface
 *
 * As on Linux: it receives only what came in by that one, sends by that one only, and what it accepts is bound, too. Programs of this host
 * meet at an address of it: that of another interface is reached from there by the link, if at all. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <string.h>
#include "server/ip/interface.h"

uint8_t session_dev(const struct session *s) { return s->dev; }
uint8_t session_way_dev(const struct session *s) { return s->way_dev; }
uint8_t listener_dev(const struct listener *l) { return l->dev; }

uint8_t session_device_to(struct worker *w, uint16_t fib, const struct ip_addr *ip)
{
    const struct interface_addr *a;

    if (ip_addr_is_loopback(ip) || ip_addr_is_any(ip))
        return INTERFACE_DEV_LO;
    a = interfaces_find_addr(w->stack, fib, ip);
    return a && interface_addr_state_get(a) == INTERFACE_ADDR_PREFERRED ? interface_dev(a->ifc) : 0;
}

int session_device_of(struct worker *w, uint8_t proto, uint16_t fib, int32_t index, uint8_t *dev)
{
    int found = interface_dev_of_index(w->stack, fib, index);

    if (found > 0 && proto == SVM_PROTO_SCTP)
        found = -ENODEV; /* its associations have paths of their own choice */
    *dev = found > 0 ? (uint8_t)found : 0;
    return found < 0 ? found : 0;
}

/* At any time, also of a connection: what comes in by another interface from now on does not find it, and Linux does not ask whether two
 * bound to the same port now are in each other's way. */
int session_device_set(struct worker *w, struct session *s, const void *val, uint32_t len)
{
    int32_t index;
    uint8_t dev;
    int err;

    if (len != sizeof(index))
        return -EINVAL;
    memcpy(&index, val, sizeof(index));
    err = session_device_of(w, s->proto, s->fib, index, &dev);
    if (err == 0 && s->ops->ip_proto == 0 && s->conn) /* of the one below */
        err = s->ops->attr_set(w, s->conn, SVM_ATTR_DEVICE, val, len);
    else if (err == 0 && s->ops->ip_proto == 0 && s->listener)
        err = -EISCONN; /* nobody has the one below that it listens by */
    else if (err == 0 && s->conn && s->ops->set_device)
        err = s->ops->set_device(w, s->conn, dev);
    if (err != 0)
        return err;
    s->dev = dev;
    if (s->endpoint)
        session_endpoint_dev(w, s->endpoint, dev);
    if (s->listener) {
        s->listener->dev = dev;
        if (s->state == SESSION_LISTENING && !s->ops->is_on_worker_0)
            err = listener_replicate(w, s);
    }
    return err;
}

int session_device_get(struct worker *w, const struct session *s, void *val, uint32_t *len)
{
    int32_t index = interface_index_of_dev(w->stack, s->dev);

    if (*len < sizeof(index))
        return -EINVAL;
    memcpy(val, &index, sizeof(index));
    *len = sizeof(index);
    return 0;
}
