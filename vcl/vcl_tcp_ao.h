/* vcl_tcp_ao.h - Linux's interface to TCP-AO (linux/tcp.h since 6.7), for systems whose headers are older
 * Owner:  types only; sizes and numbers are those of the kernel. */
#ifndef HOSTSTACK_VCL_TCP_AO_H
#define HOSTSTACK_VCL_TCP_AO_H

#include <stdint.h>
#include <sys/socket.h>

enum { VCL_TCP_AO_ADD_KEY = 38, VCL_TCP_AO_DEL_KEY = 39, VCL_TCP_AO_INFO = 40, VCL_TCP_AO_GET_KEYS = 41, VCL_TCP_AO_REPAIR = 42 };
enum { VCL_TCP_AO_KEY_MAX = 80, VCL_TCP_AO_ALG_MAX = 64 };
enum { VCL_TCP_AO_KEYF_IFINDEX = 1, VCL_TCP_AO_KEYF_EXCLUDE_OPT = 2 };

struct vcl_tcp_ao_add {
    struct sockaddr_storage addr;
    char alg_name[VCL_TCP_AO_ALG_MAX];
    int32_t ifindex;
    uint32_t set_current : 1, set_rnext : 1, reserved : 30;
    uint16_t reserved2;
    uint8_t prefix, sndid, rcvid, maclen, keyflags, keylen;
    uint8_t key[VCL_TCP_AO_KEY_MAX];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct vcl_tcp_ao_add) == 288, "struct tcp_ao_add");

struct vcl_tcp_ao_del {
    struct sockaddr_storage addr;
    int32_t ifindex;
    uint32_t set_current : 1, set_rnext : 1, del_async : 1, reserved : 29;
    uint16_t reserved2;
    uint8_t prefix, sndid, rcvid, current_key, rnext, keyflags;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct vcl_tcp_ao_del) == 144, "struct tcp_ao_del");

struct vcl_tcp_ao_info {
    uint32_t set_current : 1, set_rnext : 1, ao_required : 1, set_counters : 1, accept_icmps : 1, reserved : 27;
    uint16_t reserved2;
    uint8_t current_key, rnext;
    uint64_t pkt_good, pkt_bad, pkt_key_not_found, pkt_ao_required, pkt_dropped_icmp;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct vcl_tcp_ao_info) == 48, "struct tcp_ao_info_opt");

struct vcl_tcp_ao_key {             /* of VCL_TCP_AO_GET_KEYS */
    struct sockaddr_storage addr;
    char alg_name[VCL_TCP_AO_ALG_MAX];
    uint8_t key[VCL_TCP_AO_KEY_MAX];
    uint32_t nkeys;
    uint16_t is_current : 1, is_rnext : 1, get_all : 1, reserved : 13;
    uint8_t sndid, rcvid, prefix, maclen, keyflags, keylen;
    int32_t ifindex;
    uint64_t pkt_good, pkt_bad;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct vcl_tcp_ao_key) == 304, "struct tcp_ao_getsockopt");

#endif
