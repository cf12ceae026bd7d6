/* raw_call.h - a system call without libc, for what is called before this library's table of libc's functions can be made, and for the
 * client library's own calls: syscall() may be another preload library's, which takes it for the program's
 *
 * A sanitizer's runtime sets limits before any constructor has run; code that it has instrumented itself cannot run then, and so
 * callers are PRELOAD_BEFORE_ALL.
 * Thread: any, at any time.
 * Errors: -1 and errno, as syscall(2). */
#ifndef HOSTSTACK_PRELOAD_RAW_CALL_H
#define HOSTSTACK_PRELOAD_RAW_CALL_H

#include <errno.h>

#define PRELOAD_BEFORE_ALL __attribute__((no_sanitize("address", "undefined", "thread")))

__attribute__((always_inline)) static inline long preload_raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    long r;

#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    r = x0;
#else
#error "a system call without libc: name its registers here"
#endif
    if (r < 0 && r >= -4095) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

#endif
