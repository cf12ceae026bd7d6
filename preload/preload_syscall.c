/* preload_syscall.c - syscall(): programs that make socket calls by their number (libuv closes so, and sends and receives datagrams)
 *
 * Only those that programs are known to make; any other number goes to the kernel. */
#include <linux/sched.h>
#include <sys/syscall.h>
#include "preload/preload.h"

static bool is_ours(long number)
{
    return number == SYS_close || number == SYS_close_range || number == SYS_accept4 || number == SYS_recvmmsg || number == SYS_sendmmsg;
}

static void syscall_done(const int *state)
{
    if (*state >= 0)
        preload_cancel_restore(state);
}

/* A process with memory and descriptors of its own, copies of ours. No pthread_atfork handler runs for it (vsftpd begins a session so). One
 * that shares either is as vfork's child; on a stack of its own it cannot come back here. */
static bool is_fork(long number, long a, long b)
{
    uint64_t flags = 0, stack = 0;

    switch (number) {
    case SYS_clone:
        flags = (uint64_t)a;
        stack = (uint64_t)b;
        break;
    case SYS_clone3:
        if (b < CLONE_ARGS_SIZE_VER0)
            return false; /* the kernel refuses it */
        memcpy(&flags, (const void *)a, sizeof(flags));
        memcpy(&stack, (const char *)a + offsetof(struct clone_args, stack), sizeof(stack));
        break;
#ifdef SYS_fork
    case SYS_fork:
        break;
#endif
    default:
        return false;
    }
    return !(flags & (CLONE_VM | CLONE_FILES)) && !stack;
}

/* Variadic in C; on the ABIs that this is built for its arguments arrive as these do. */
HS_EXPORT long hs_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    /* syscall() is no cancellation point; who may be cancelled anywhere may be so there. */
    __attribute__((cleanup(syscall_done))) int state = -1;
    if (is_ours(number) && hs_likely(!preload_cancel.is_async))
        state = preload_cancel_off();
    switch (number) {
    case SYS_close:
        return preload_plain_close((int)a);
    case SYS_close_range:
        return preload_plain_close_range((unsigned)a, (unsigned)b, (int)c);
    case SYS_accept4:
        return preload_plain_accept4((int)a, (struct sockaddr *)b, (socklen_t *)c, (int)d);
    case SYS_recvmmsg:
        return preload_plain_recvmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d, (struct timespec *)e);
    case SYS_sendmmsg:
        return preload_plain_sendmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d);
    default:
        break;
    }
    if (hs_unlikely(is_fork(number, a, b)) && !preload_is_foreign())
        return preload_fork_by_number(number, a, b, c, d, e);
    return libc_real()->syscall(number, a, b, c, d, e, f);
}
