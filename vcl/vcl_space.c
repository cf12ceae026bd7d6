/* vcl_space.c - a process whose address space is limited (RLIMIT_AS): what it asks of the server, and connections in segments that it cannot map
 *
 * Segments are address space in which memory grows. With a limit the server is asked for small ones, in proportion to what is left of it.
 * Does one of a cut-through connection not fit all the same, the connection goes through the server, which is told by a claim
 * (SVM_CLAIM_UNMAPPED); the program at the other end, which may have written to the segment already, is told as when an end changes hands. */
#include <stdio.h>
#include <sys/resource.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

enum { SHARE = 32,          /* of the room for each ring area of the first bank, and of each side of a cut-through segment */
       FIFO_A_MB = 64 << 10 /* so that a few FIFOs that nobody reads do not fill all */ };

/* Pages of it that are in use; 0 = not known (no /proc). */
static uint64_t pages_used(void)
{
    char text[64];
    unsigned long long pages = 0;
    int fd = sys_open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : sys_read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        sys_close(fd);
    if (n > 0) {
        text[n] = '\0';
        if (sscanf(text, "%llu", &pages) != 1)
            pages = 0;
    }
    return pages;
}

static uint32_t at_most(uint32_t wanted, uint32_t max)
{
    return wanted && wanted < max ? wanted : max;
}

void vcl_space_ask(struct svm_att_hello *h)
{
    enum { FIFO_MAX = 1 << 30 };
    uint64_t used = pages_used() * (uint64_t)sysconf(_SC_PAGESIZE), mb;
    struct rlimit as;

    if (getrlimit(RLIMIT_AS, &as) != 0 || as.rlim_cur == RLIM_INFINITY)
        return;
    mb = (as.rlim_cur > used ? as.rlim_cur - used : 0) / SHARE >> 20;
    mb = mb ? mb : 1;
    if (mb > UINT32_MAX || (h->segment_mb && h->segment_mb <= mb))
        return;
    h->segment_mb = (uint32_t)mb;
    if (mb < FIFO_MAX / FIFO_A_MB) {
        h->rx_fifo_size = at_most(h->rx_fifo_size, (uint32_t)mb * FIFO_A_MB);
        h->tx_fifo_size = at_most(h->tx_fifo_size, (uint32_t)mb * FIFO_A_MB);
    }
}

bool vcl_lacks_space(void) { return vcl_process()->no_space; }
bool vcl_falls_back(void) { return vcl_config()->fallback_kernel || vcl_lacks_space(); }

void vcl_space_unmapped(struct vcl_socket *s, const struct svm_msg_slot *slot)
{
    s->slot_seg = slot->seg_id;
    s->slot = slot->slot;
    s->unmapped = true;
    s->unclaimed = true;
    vcl_socket_set_shared(s);
}

void vcl_space_claim(struct vcl_socket *s)
{
    vcl_claim_unmapped(s, &(struct svm_msg_slot){ s->slot_seg, s->slot });
}
