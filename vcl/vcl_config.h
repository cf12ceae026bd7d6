/* vcl_config.h - vcl.conf and the VCL_*, LDP_* environment (vcl.conf(5))
 * Owner:  one per process, read once, constant afterwards. */
#ifndef HOSTSTACK_VCL_VCL_CONFIG_H
#define HOSTSTACK_VCL_VCL_CONFIG_H

#include "common/ip_addr.h"
#include "svm/svm_proto.h"

enum { VCL_MAX_RULES = 64 };
struct vcl_rule {            /* rule { proto tcp local 0.0.0.0/0 port 80-443 serve stack|kernel|both } */
    uint8_t proto;           /* enum svm_proto, SVM_PROTO_NONE = any */
    bool is_remote;          /* `remote` instead of `local` */
    struct ip_prefix prefix;
    bool any_prefix;
    uint16_t port_lo, port_hi;
    uint8_t serve;           /* enum vcl_serve */
    char name[28];           /* "rule 2 of vcl.conf", for reports */
};
struct vcl_config {
    char app_socket[108];    /* app-socket-api, VCL_VPP_SAPI_SOCKET, else the runtime directory's app.sock */
    char app_name[SVM_APP_NAME_MAX];
    char ns_name[SVM_NAMESPACE_MAX];
    uint64_t ns_secret;
    uint32_t rx_fifo_size, tx_fifo_size; /* bytes */
    uint32_t event_queue_size;
    uint32_t segment_mb, add_segment_mb;
    uint32_t max_workers;
    uint32_t app_timeout_s, session_timeout_s;
    bool scope_local, scope_global;
    bool fallback_kernel;
    bool multi_thread_workers;
    bool use_mq_eventfd;
    int debug;               /* VCL_DEBUG, LDP_DEBUG */
    unsigned n_rules;
    struct vcl_rule rules[VCL_MAX_RULES];
};
/* 0; -EINVAL with err = "file:line: what is wrong and what is accepted". A missing file named by VCL_CONFIG is an error. */
int vcl_config_load(struct vcl_config *cfg, char *err, size_t err_len);

#endif
