/* guard_op.h - an operation whose instructions are counted: a function that callgrind sees by this very name
 * guard.sh divides what callgrind attributes to op_NAME, and all that it calls, by the number in guard_done(). */
#ifndef HOSTSTACK_TESTS_GUARD_OP_H
#define HOSTSTACK_TESTS_GUARD_OP_H

#include <stdio.h>
#include <stdlib.h>

#define GUARD_OP(name) static void __attribute__((noipa)) op_##name

static inline void guard_done(const char *name, unsigned times)
{
    printf("%s %u\n", name, times);
}
static inline void guard_must(int is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "guard: %s\n", what);
    exit(1);
}

#endif
