/* vcl_lock.c - sleeping for a lock, and waking who does (futex(2)) */
#include <linux/futex.h>
#include "vcl/vcl_lock.h"
#include "vcl/vcl_sys.h"

void vcl_lock_await(struct vcl_lock *l)
{
    int error = errno;

    /* It is marked as awaited by whoever comes out of here, too: others may sleep still, and one look too many costs little. */
    while (atomic_exchange_explicit(&l->word, VCL_LOCK_AWAITED, memory_order_acquire) != VCL_LOCK_FREE)
        syscall(SYS_futex, &l->word, FUTEX_WAIT_PRIVATE, VCL_LOCK_AWAITED, NULL, NULL, 0);
    errno = error;
}

void vcl_lock_wake(struct vcl_lock *l)
{
    int error = errno;

    syscall(SYS_futex, &l->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = error;
}
