/* ring_alloc_test.c - no two rings overlap, everything merges again, trimming gives pages back, reservation */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/stat.h>
#include "svm/svm_segment.h"
#include "tests/unit/svm/svm_test.h"

enum { AREAS = 3, N = 400 };

struct block {
    uint64_t offset;
    uint16_t region;
    uint8_t log2;
};

static void random_run(uint64_t seed)
{
    static const uint64_t size[AREAS] = { 1 << 20, 700 * 1024, 4096 * 3 }, base[AREAS] = { 4096, 64, 8192 };
    static uint8_t owner[AREAS][(1 << 20) >> 9];
    struct svm_ring_alloc a;
    struct block b[N];
    uint32_t n = 0;
    uint64_t used = 0;

    memset(owner, 0, sizeof(owner));
    svm_ring_alloc_init(&a);
    for (uint16_t i = 0; i < AREAS; i++)
        cr_assert_eq(svm_ring_alloc_add(&a, i, base[i], size[i], -1, false), 0);
    for (int k = 0; k < 5000; k++) {
        if (n < N && rnd(&seed) % 2) {
            struct block x = { .log2 = (uint8_t)(9 + rnd(&seed) % (rnd(&seed) % 11 + 1)) };
            uint64_t at;

            if (svm_ring_alloc_ops.alloc(&a, x.log2, &x.region, &x.offset) < 0)
                continue;
            cr_assert(x.region < AREAS && x.offset % 64 == 0 && x.offset >= base[x.region]);
            at = x.offset - base[x.region];
            cr_assert(at + (1u << x.log2) <= size[x.region]);
            for (uint64_t u = at >> 9; u < (at + (1u << x.log2)) >> 9; u++) {
                cr_assert(!owner[x.region][u], "overlap");
                owner[x.region][u] = 1;
            }
            b[n++] = x;
            used += 1u << x.log2;
        } else if (n) {
            uint32_t i = rnd(&seed) % n;

            memset(&owner[b[i].region][(b[i].offset - base[b[i].region]) >> 9], 0, (1u << b[i].log2) >> 9);
            svm_ring_alloc_ops.free(&a, b[i].log2, b[i].region, b[i].offset);
            used -= 1u << b[i].log2;
            b[i] = b[--n];
        }
        cr_assert_eq(a.used_bytes, used);
    }
    if (n)
        cr_assert_eq(svm_ring_alloc_remove(&a, b[0].region, base[b[0].region]), -EBUSY);
    while (n--)
        svm_ring_alloc_ops.free(&a, b[n].log2, b[n].region, b[n].offset);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 20, &b[0].region, &b[0].offset), 0, "all merged again");
    cr_assert_eq(b[0].offset, 4096);
    cr_assert_eq(svm_ring_alloc_remove(&a, 1, 64), 0);
    cr_assert_eq(svm_ring_alloc_remove(&a, 1, 64), -ENOENT);
    cr_assert_eq(a.total_bytes, size[0] + size[2]);
    svm_ring_alloc_fini(&a);
}

Test(ring_alloc, random)
{
    for (uint64_t seed = 1; seed < 20; seed++)
        random_run(seed * 65537);
}

Test(ring_alloc, exhaustion_and_bounds)
{
    struct svm_ring_alloc a;
    uint16_t region;
    uint64_t offset;

    svm_ring_alloc_init(&a);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 9, &region, &offset), -ENOMEM, "no area");
    cr_assert_eq(svm_ring_alloc_add(&a, 0, 1, 4096, -1, false), -EINVAL);
    cr_assert_eq(svm_ring_alloc_add(&a, 0, 0, 100, -1, false), -EINVAL);
    cr_assert_eq(svm_ring_alloc_add(&a, 0, 0, 4096, -1, false), 0);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(svm_ring_alloc_ops_locked.alloc(&a, 9, &region, &offset), 0);
        cr_assert_eq(offset, (uint64_t)i * 512, "lowest first");
    }
    cr_assert_eq(svm_ring_alloc_ops_locked.alloc(&a, 9, &region, &offset), -ENOMEM);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 8, &region, &offset), -ENOMEM);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 29, &region, &offset), -ENOMEM);
    svm_ring_alloc_fini(&a);
}

static uint64_t bytes_backed(const struct svm_segment *s)
{
    struct stat st;

    cr_assert_eq(fstat(s->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

Test(ring_alloc, reserve_and_trim)
{
    struct svm_segment s;
    struct svm_ring_alloc a;
    uint16_t region;
    uint64_t offset, small;

    cr_assert_eq(svm_segment_create(&s, "c", 4 << 20, 0, false), 0);
    svm_ring_alloc_init(&a);
    cr_assert_eq(svm_ring_alloc_add(&a, 0, 4096, (4 << 20) - 4096, s.fd, true), 0);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 9, &region, &small), 0);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 20, &region, &offset), 0);
    cr_assert(bytes_backed(&s) >= 1 << 20, "pages are there before the first write");
    cr_assert(bytes_backed(&s) < 2 << 20, "and no more than that");
    memset(s.base + offset, 1, 1 << 20);
    cr_assert_eq(svm_ring_alloc_trim(&a), 0, "in use");
    svm_ring_alloc_ops.free(&a, 20, region, offset);
    s.base[small] = 77;
    cr_assert(svm_ring_alloc_trim(&a) >= 1 << 20);
    cr_assert(bytes_backed(&s) <= 2 << 16);
    cr_assert_eq(s.base[small], 77, "neighbours keep their bytes");
    cr_assert_eq(svm_ring_alloc_trim(&a), 0, "only once");
    svm_ring_alloc_fini(&a);
    svm_segment_unmap(&s);
}

Test(ring_alloc, sealed_area_is_reused_from_below)
{
    struct svm_segment s;
    struct svm_ring_alloc a;
    uint16_t region;
    uint64_t offset, peak;

    cr_assert_eq(svm_segment_create(&s, "s", 4 << 20, 0, true), 0);
    svm_ring_alloc_init(&a);
    cr_assert_eq(svm_ring_alloc_add(&a, 0, 0, 4 << 20, s.fd, true), 0);
    cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 18, &region, &offset), 0);
    svm_ring_alloc_ops.free(&a, 18, region, offset);
    cr_assert_eq(svm_ring_alloc_trim(&a), 0, "the seal forbids it");
    peak = bytes_backed(&s);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(svm_ring_alloc_ops.alloc(&a, 18, &region, &offset), 0);
        svm_ring_alloc_ops.free(&a, 18, region, offset);
    }
    cr_assert_eq(bytes_backed(&s), peak, "the same memory again");
    svm_ring_alloc_fini(&a);
    svm_segment_unmap(&s);
}
