/* other.c - another preload library that stands in for syscall(), as torsocks has it: what comes here must be the program's, and the
 * programs of these tests make no such call (stack_same_test.sh) */
#include <stdlib.h>

__attribute__((visibility("default"))) long syscall(long number, ...);

long syscall(long number, ...)
{
    (void)number;
    abort();
}
