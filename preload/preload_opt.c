/* preload_opt.c - getsockopt, setsockopt, getsockname, getpeername
 *
 * Until it is decided who serves a socket, the kernel's answer counts and both sides are told. With BOTH it stays so for setting. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "preload/preload.h"

static struct fd_file *preload_get_told(int fd)
{
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return NULL;
    if (f->kind == FD_SOCKET && preload_serve(f) != FD_KERNEL)
        return f;
    preload_put(f);
    return NULL;
}

HS_EXPORT int hs_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
    struct fd_file *f = preload_get_told(fd);
    if (hs_likely(!f))
        return libc_real()->setsockopt(fd, level, name, val, len);
    int r = 0;
    if (preload_serve(f) != FD_STACK)
        r = (int)preload_kernel(libc_real()->setsockopt(fd, level, name, val, len));
    if (r == 0) {
        int stack = vcl_setsockopt(f->sock.vcl, level, name, val, len);
        /* What only the kernel knows is no error while the kernel may be the one who serves. */
        if (preload_serve(f) == FD_STACK)
            r = stack;
    }
    preload_put(f);
    return (int)preload_result(r);
}

HS_EXPORT int hs_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
    struct fd_file *f = preload_get_stack(fd);
    if (hs_likely(!f))
        return libc_real()->getsockopt(fd, level, name, val, len);
    int r;
    if (level == SOL_SOCKET && name == SO_ERROR && preload_is_both(f)) {
        int error = vcl_take_error(f->sock.vcl);
        r = (int)preload_kernel(libc_real()->getsockopt(fd, level, name, val, len));
        if (r == 0 && error && *len >= sizeof(int))
            *(int *)val = error;
    } else if (preload_is_both(f)) {
        r = (int)preload_kernel(libc_real()->getsockopt(fd, level, name, val, len));
    } else {
        r = vcl_getsockopt(f->sock.vcl, level, name, val, len);
    }
    preload_put(f);
    return (int)preload_result(r);
}

HS_EXPORT int hs_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct fd_file *f = preload_get_stack(fd);
    if (hs_likely(!f))
        return libc_real()->getsockname(fd, sa, len);
    struct ip_endpoint e;
    int r;
    if (!sa || !len) {
        r = -EFAULT;
    } else if ((int)*len < 0) {
        r = -EINVAL;
    } else if (preload_is_both(f)) { /* bound to the same on both sides */
        r = (int)preload_kernel(libc_real()->getsockname(fd, sa, len));
    } else if ((r = vcl_local_endpoint(f->sock.vcl, &e)) == 0) {
        preload_fill_sockaddr(&e, f->sock.is_v6, sa, len);
    }
    preload_put(f);
    return (int)preload_result(r);
}

HS_EXPORT int hs_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct fd_file *f = preload_get_stack(fd);
    if (hs_likely(!f))
        return libc_real()->getpeername(fd, sa, len);
    struct ip_endpoint e;
    int r = vcl_peer_endpoint(f->sock.vcl, &e);
    if (r == 0 && (!sa || !len))
        r = -EFAULT;
    else if (r == 0 && (int)*len < 0)
        r = -EINVAL;
    if (r == 0)
        preload_fill_sockaddr(&e, f->sock.is_v6, sa, len);
    preload_put(f);
    return (int)preload_result(r);
}
