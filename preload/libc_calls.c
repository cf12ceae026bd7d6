/* libc_calls.c - looks the real calls up, and gives them to the code that is linked into this library
 *
 * The client library (vcl/) inside this shared object calls read, close, epoll_wait ... like any code. Without help those would
 * bind to our own stand-ins. The linker's --wrap sends its references to the __wrap_NAME functions below, which
 * go straight to libc (sources.am makes the list of options from the same table). Whoever calls so holds locks or references:
 * pthread_cancel() must not end the thread inside. */
#include <dlfcn.h>
#include <stdarg.h>
#include "preload/libc_calls.h"
#include "preload/preload_cancel.h"
#include "preload/raw_call.h"

struct libc_calls libc_calls_table;
bool libc_calls_ready;

static const struct {
    const char *name;
    size_t offset;
} libc_call_rows[] = {
#define CALL(ret, name, params, args) { #name, offsetof(struct libc_calls, name) },
#define VCALL(ret, name, params, args) CALL(ret, name, params, args)
#include "preload/libc_calls.def"
#undef CALL
#undef VCALL
};

void libc_calls_load(void)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(libc_call_rows); i++) {
        void **slot = (void **)((char *)&libc_calls_table + libc_call_rows[i].offset);
        /* Threads that race here store the same values. */
        __atomic_store_n(slot, dlsym(RTLD_NEXT, libc_call_rows[i].name), __ATOMIC_RELAXED);
    }
    __atomic_store_n(&libc_calls_ready, true, __ATOMIC_RELEASE); /* pairs with the acquire in libc_real() */
}

/* As early as this library can: dlsym() is not safe in signal handlers, so it should be over before there are any. */
__attribute__((constructor(101))) static void libc_calls_construct(void)
{
    libc_calls_load();
}

#define CALL(ret, name, params, args) \
    ret __wrap_##name params          \
    {                                 \
        PRELOAD_UNCANCELLED;          \
        return libc_real()->name args; \
    }
#define VCALL(ret, name, params, args) ret __wrap_##name params;
#include "preload/libc_calls.def"
#undef CALL
#undef VCALL

#define WRAP_VARIADIC(name, type2)                   \
    int __wrap_##name(int fd, type2 what, ...)       \
    {                                                \
        va_list ap;                                  \
        va_start(ap, what);                          \
        void *arg = va_arg(ap, void *);              \
        va_end(ap);                                  \
        return libc_real()->name(fd, what, arg);     \
    }
WRAP_VARIADIC(fcntl, int)
WRAP_VARIADIC(__fcntl, int)
WRAP_VARIADIC(fcntl64, int)
WRAP_VARIADIC(ioctl, unsigned long)

/* No cancellation point, and what the client library makes its calls by. Not libc's: that one is found behind this library, and may be
 * another preload library's, for which these would be the program's (torsocks). */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) { return preload_raw_call(number, a, b, c, d, e, f); }
