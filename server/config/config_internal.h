/* config_internal.h - between config.c (stanzas) and config_words.c (the words in them)
 * Owner:  the configuration being read (config.h).
 * Thread: control thread.
 * Errors: 0 or -EINVAL, noted in the reader. */
#ifndef HOSTSTACK_SERVER_CONFIG_INTERNAL_H
#define HOSTSTACK_SERVER_CONFIG_INTERNAL_H

#include "server/config/config.h"

/* Takes { word … } into base, the struct of that stanza. */
int config_take_stanza(struct conf_reader *r, const char *stanza, void *base);

/* Words of kind OTHER; the word itself has been taken. */
int config_take_unix_log_level(struct conf_reader *r, void *base);
int config_take_cpu_core(struct conf_reader *r, void *base);
int config_take_cpu_poll_mode(struct conf_reader *r, void *base);
int config_take_port_device(struct conf_reader *r, void *base);
int config_take_port_mac(struct conf_reader *r, void *base);
int config_take_interface_address(struct conf_reader *r, void *base);
int config_take_rule_scope(struct conf_reader *r, void *base);
int config_take_rule_action(struct conf_reader *r, void *base);
int config_take_rule_proto(struct conf_reader *r, void *base);
int config_take_rule_lcl(struct conf_reader *r, void *base);
int config_take_rule_rmt(struct conf_reader *r, void *base);
int config_take_rule_lcl_port(struct conf_reader *r, void *base);
int config_take_rule_rmt_port(struct conf_reader *r, void *base);
int config_take_rule_to_port(struct conf_reader *r, void *base);
int config_rule_check(struct conf_reader *r, const struct config_rule *cr); /* it has what it needs */
int config_take_tcp_cc_algo(struct conf_reader *r, void *base);
int config_take_tls_min_version(struct conf_reader *r, void *base);
int config_take_tls_verify(struct conf_reader *r, void *base);
int config_take_tls_verify_server(struct conf_reader *r, void *base);
int config_take_tls_fifo_size(struct conf_reader *r, void *base);
int config_take_tcp_ecn(struct conf_reader *r, void *base);
int config_take_tcp_mtu_probing(struct conf_reader *r, void *base);

#endif
