/* libc_calls.h - declarations of the calls that we stand in for, and the real ones behind them
 * Owner:  one table per process, filled once.
 * Thread: any, also before constructors run (whoever comes first fills it; all write the same values).
 * Errors: a call that this libc lacks (epoll_pwait2 before 2.35) is NULL. */
#ifndef HOSTSTACK_PRELOAD_LIBC_CALLS_H
#define HOSTSTACK_PRELOAD_LIBC_CALLS_H

#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include "common/types.h"

#define HS_EXPORT __attribute__((visibility("default")))

/* The exported symbol is `name`; in C it is called hs_name. */
#define CALL(ret, name, params, args) HS_EXPORT ret hs_##name params __asm__(#name);
#define VCALL(ret, name, params, args) CALL(ret, name, params, args)
#include "preload/libc_calls.def"
#undef CALL
#undef VCALL

struct libc_calls {
#define CALL(ret, name, params, args) ret (*name) params;
#define VCALL(ret, name, params, args) CALL(ret, name, params, args)
#include "preload/libc_calls.def"
#undef CALL
#undef VCALL
};

/* The same with cancellation off (preload_cancel.h), for who holds something: LIBC_UNCANCELLED(close)(fd). */
#define CALL(ret, name, params, args) ret __wrap_##name params;
#define VCALL(ret, name, params, args)
#include "preload/libc_calls.def"
#undef CALL
#undef VCALL
#define LIBC_UNCANCELLED(name) __wrap_##name

/* Hidden; use libc_real(). */
extern struct libc_calls libc_calls_table;
extern bool libc_calls_ready;
void libc_calls_load(void);

static inline const struct libc_calls *libc_real(void)
{
    if (hs_unlikely(!__atomic_load_n(&libc_calls_ready, __ATOMIC_ACQUIRE)))
        libc_calls_load();
    return &libc_calls_table;
}

#endif
