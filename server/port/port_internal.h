/* port_internal.h - shared by the kinds of ports
 * Owner:  struct port; its kind owns priv.
 * Each *_open fills ops, mac, mtu, offloads, queues and priv of a port whose name and pools are set. On failure it leaves
 * nothing behind and err holds one sentence. The close operation frees priv, never the port itself. */
#ifndef HOSTSTACK_SERVER_PORT_INTERNAL_H
#define HOSTSTACK_SERVER_PORT_INTERNAL_H

#include "server/port/port.h"

int port_tap_open(struct port *p, const struct port_config *cfg, const char *args, char *err, size_t err_len);
int port_packet_open(struct port *p, const struct port_config *cfg, const char *args, char *err, size_t err_len);
int port_loop_open(struct port *p, const struct port_config *cfg, const char *args, char *err, size_t err_len);
int port_ethdev_open(struct port *p, const struct port_config *cfg, char *err, size_t err_len);

/* net_vhost has no segmentation to report; its guest may take super-frames all the same. From now on PORT_TX_TSO of p says whether the one
 * that is there does; before the device is closed: unwatch, also where nothing was watched. */
void port_vhost_watch(struct port *p, uint16_t device);
void port_vhost_unwatch(struct port *p, uint16_t device);

void port_fail(char *err, size_t err_len, const char *fmt, ...) HS_PRINTF(3, 4);
/* Next "key=value" or "flag" of args (blanks or commas between). 1, 0 = none left, -EINVAL = too long. */
int port_option_next(const char **args, char *key, size_t key_len, char *val, size_t val_len);

#endif
