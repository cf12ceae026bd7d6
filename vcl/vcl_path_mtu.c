/* vcl_path_mtu.c - how large a packet the path to the peer takes: ip(7) IP_MTU, ipv6(7) IPV6_MTU and IPV6_PATHMTU */
#include <netinet/tcp.h>
#include "vcl/vcl_internal.h"

static int of_dgram(struct vcl_socket *s)
{
    int32_t mtu;
    int rc = vcl_handle_is_none(s->handle) ? -ENOTCONN : vcl_attr_ask(s, SVM_ATTR_MTU, NULL, 0, &mtu, sizeof(mtu));

    return rc == -EPROTO ? -ENOPROTOOPT : rc ? rc : mtu;
}

/* A cut-through connection has that of the loopback device. */
int vcl_path_mtu(struct vcl_socket *s, bool is_v6)
{
    struct tcp_info ti = { .tcpi_pmtu = 0 };
    socklen_t len = sizeof(ti);

    if (s->is_dgram || s->is_records)
        return of_dgram(s);
    if (vcl_state(s) != VCL_CONNECTED)
        return -ENOTCONN;
    if (s->local)
        return is_v6 ? 65536 : 65535;
    if (vcl_tcp_info(s, &ti, &len) != 0 || ti.tcpi_pmtu == 0)
        return -ENOPROTOOPT;
    return (int)ti.tcpi_pmtu;
}
