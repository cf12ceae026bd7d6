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

/* What the guest of a net_vhost port decides. PORT_TX_TSO of p says from now on whether the guest that is there takes super-frames.
 * Watch: when queues are counted and before the device is configured; opened: when it has started. NULL: no memory. */
struct port_vhost;
struct port_vhost *port_vhost_watch(struct port *p, uint16_t device);
void port_vhost_opened(struct port_vhost *v);
void port_vhost_unwatch(struct port_vhost *v);          /* opened or not; the device must still be there */
int port_vhost_wait_fd(const struct port_vhost *v, unsigned queue);
void port_vhost_notify(struct port_vhost *v, unsigned queue, bool on); /* shall the guest kick? */

void port_fail(char *err, size_t err_len, const char *fmt, ...) HS_PRINTF(3, 4);
/* Next "key=value" or "flag" of args (blanks or commas between). 1, 0 = none left, -EINVAL = too long. */
int port_option_next(const char **args, char *key, size_t key_len, char *val, size_t val_len);

#endif
