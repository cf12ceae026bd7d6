/* vcl_sleep.c - the system call that a held-back signal keeps from beginning (vcl_sleep.h)
 *
 * In assembler, because the look at `came` and the call must be a range of addresses that a signal handler can know. */
#include "vcl/vcl_sleep.h"

_Thread_local struct vcl_held vcl_held;

#if defined(__x86_64__)
__asm__(".pushsection .text\n"
        ".hidden vcl_sleep_call, vcl_sleep_first, vcl_sleep_last, vcl_sleep_over\n"
        ".globl vcl_sleep_call, vcl_sleep_first, vcl_sleep_last, vcl_sleep_over\n"
        ".type vcl_sleep_call, @function\n"
        "vcl_sleep_call:\n"
        ".cfi_startproc\n"
        "    mov %rdi, %r11\n"
        "    mov %rsi, %rax\n"
        "    mov %rdx, %rdi\n"
        "    mov %rcx, %rsi\n"
        "    mov %r8, %rdx\n"
        "    mov %r9, %r10\n"
        "    mov 8(%rsp), %r8\n"
        "    mov 16(%rsp), %r9\n"
        "vcl_sleep_first:\n"
        "    cmpl $0, (%r11)\n"
        "    jne vcl_sleep_over\n"
        "    syscall\n"
        "vcl_sleep_last:\n"
        "    ret\n"
        "vcl_sleep_over:\n"
        "    mov $-4, %rax\n" /* EINTR */
        "    ret\n"
        ".cfi_endproc\n"
        ".size vcl_sleep_call, . - vcl_sleep_call\n"
        ".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
        ".hidden vcl_sleep_call\n .hidden vcl_sleep_first\n .hidden vcl_sleep_last\n .hidden vcl_sleep_over\n"
        ".globl vcl_sleep_call\n .globl vcl_sleep_first\n .globl vcl_sleep_last\n .globl vcl_sleep_over\n"
        ".type vcl_sleep_call, %function\n"
        "vcl_sleep_call:\n"
        ".cfi_startproc\n"
        "    mov x9, x0\n"
        "    mov x8, x1\n"
        "    mov x0, x2\n"
        "    mov x1, x3\n"
        "    mov x2, x4\n"
        "    mov x3, x5\n"
        "    mov x4, x6\n"
        "    mov x5, x7\n"
        "vcl_sleep_first:\n"
        "    ldr w10, [x9]\n"
        "    cbnz w10, vcl_sleep_over\n"
        "    svc 0\n"
        "vcl_sleep_last:\n"
        "    ret\n"
        "vcl_sleep_over:\n"
        "    mov x0, #-4\n" /* EINTR */
        "    ret\n"
        ".cfi_endproc\n"
        ".size vcl_sleep_call, . - vcl_sleep_call\n"
        ".popsection\n");
#else
#error "a system call that a signal keeps from beginning: write it here"
#endif
