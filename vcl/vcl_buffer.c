/* vcl_buffer.c - SO_RCVBUF, SO_SNDBUF (socket(7)), and what they do to the FIFOs */
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

/* Linux takes any size, within what the system grants, and tells the double of it, because it counts its books in; what it promises is
 * the half. Ours is a FIFO: the half of what is told. */
int vcl_buffer_set(struct vcl_socket *s, int name, int v)
{
    enum { MIN_RCV = 2304, MIN_SND = 4608 }; /* as told */
    bool is_rcv = name == SO_RCVBUF;
    uint32_t max = is_rcv ? vcl_config()->rx_fifo_size : vcl_config()->tx_fifo_size;
    uint32_t told = 2 * hs_min_u32((uint32_t)v, hs_min_u32(max, INT32_MAX / 2));

    told = hs_max_u32(told, is_rcv ? MIN_RCV : MIN_SND);
    if (is_rcv) {
        s->opt.rcvbuf = (int32_t)told;
        vcl_options_send_int(s, SVM_ATTR_RX_FIFO, (int32_t)told / 2);
    } else {
        s->opt.sndbuf = (int32_t)told;
        vcl_socket_lock(s);
        vcl_options_limit_tx(s);
        vcl_socket_unlock(s);
    }
    return 0;
}

/* SO_SNDBUF bounds the FIFO: to a power of two that holds it, and never below the ring that is there. Socket lock held. */
void vcl_options_limit_tx(struct vcl_socket *s)
{
    uint32_t want = (uint32_t)s->opt.sndbuf / 2, size = VCL_TX_FLOOR;

    if (!s->has_fifos || s->is_dgram || !want)
        return;
    while (size < want)
        size *= 2;
    size = hs_max_u32(size, s->tx.mask + 1);
    if (size < s->tx.max_size && svm_fifo_prod_unread(&s->tx) <= (int64_t)size)
        s->tx.max_size = size;
}

/* socket(7), ip(7): with CAP_NET_ADMIN, or CAP_NET_RAW, where the network belongs; the kernel knows, and is asked with a socket that nobody
 * else has. */
bool vcl_kernel_permits(int level, int name, int v)
{
    int fd = sys_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool may = fd >= 0 && syscall(SYS_setsockopt, fd, level, name, &v, sizeof(v)) == 0;

    if (fd >= 0)
        sys_close(fd);
    return may;
}

int vcl_buffer_force(struct vcl_socket *s, int name, int v)
{
    return vcl_kernel_permits(SOL_SOCKET, name, v) ? vcl_buffer_set(s, name == SO_RCVBUFFORCE ? SO_RCVBUF : SO_SNDBUF, v < 0 ? 0 : v) : -EPERM;
}
