/* vcl_arena_test.c - ring memory of the client: no overlap, all of it usable again, joined when freed */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include "vcl/vcl_internal.h"

enum { AREA = 1 << 20, BASE = 8192, MIN = SVM_RING_MIN_LOG2, BLOCKS = AREA >> MIN };

Test(vcl_arena, everything_can_be_taken_and_comes_back)
{
    struct vcl_arena a;
    uint64_t at, whole;

    cr_assert_eq(vcl_arena_init(&a, BASE, AREA), 0);
    for (int i = 0; i < BLOCKS; i++) {
        cr_assert_eq(vcl_arena_alloc(&a, SVM_RING_MIN_LOG2, &at), 0, "block %d", i);
        cr_assert_eq(at % 64, 0);
        cr_assert(at >= BASE && at + (1 << SVM_RING_MIN_LOG2) <= BASE + AREA);
    }
    cr_assert_eq(vcl_arena_alloc(&a, SVM_RING_MIN_LOG2, &at), -ENOMEM);
    for (int i = 0; i < BLOCKS; i++)
        vcl_arena_free(&a, SVM_RING_MIN_LOG2, BASE + ((uint64_t)i << SVM_RING_MIN_LOG2));
    cr_assert_eq(a.n_used, 0);
    cr_assert_eq(vcl_arena_alloc(&a, 20, &whole), 0, "small blocks have joined to the whole again");
    cr_assert_eq(whole, BASE);
    vcl_arena_fini(&a);
}

Test(vcl_arena, an_odd_size_is_used_to_the_last_block)
{
    struct vcl_arena a;
    uint64_t at;
    int n = 0;

    cr_assert_eq(vcl_arena_init(&a, 0, (13 << SVM_RING_MIN_LOG2) + 100), 0);
    while (vcl_arena_alloc(&a, SVM_RING_MIN_LOG2, &at) == 0)
        n++;
    cr_assert_eq(n, 13);
    vcl_arena_fini(&a);
}

Test(vcl_arena, random_use_never_overlaps)
{
    static uint8_t owner[BLOCKS];
    struct { uint64_t at; uint8_t log2; } held[256];
    struct vcl_arena a;
    unsigned seed = 1;

    memset(held, 0, sizeof(held));
    cr_assert_eq(vcl_arena_init(&a, BASE, AREA), 0);
    for (int round = 0; round < 100000; round++) {
        unsigned k = (unsigned)rand_r(&seed) % 256;

        if (held[k].log2) {
            for (uint64_t b = (held[k].at - BASE) >> MIN; b < ((held[k].at - BASE) >> MIN) + (1u << (held[k].log2 - MIN)); b++)
                owner[b] = 0;
            vcl_arena_free(&a, held[k].log2, held[k].at);
            held[k].log2 = 0;
            continue;
        }
        held[k].log2 = (uint8_t)(MIN + (unsigned)rand_r(&seed) % 8);
        if (vcl_arena_alloc(&a, held[k].log2, &held[k].at) != 0) {
            held[k].log2 = 0;
            continue;
        }
        for (uint64_t b = (held[k].at - BASE) >> MIN; b < ((held[k].at - BASE) >> MIN) + (1u << (held[k].log2 - MIN)); b++) {
            cr_assert_eq(owner[b], 0, "given twice in round %d", round);
            owner[b] = 1;
        }
    }
    vcl_arena_fini(&a);
}

Test(vcl_arena, a_wrong_free_changes_nothing)
{
    struct vcl_arena a;
    uint64_t at;

    cr_assert_eq(vcl_arena_init(&a, BASE, AREA), 0);
    cr_assert_eq(vcl_arena_alloc(&a, 12, &at), 0);
    vcl_arena_free(&a, 10, at);
    vcl_arena_free(&a, 12, at + 512);
    cr_assert_eq(a.n_used, 1 << (12 - MIN));
    vcl_arena_free(&a, 12, at);
    vcl_arena_free(&a, 12, at);
    cr_assert_eq(a.n_used, 0);
    vcl_arena_fini(&a);
}

Test(vcl_arena, large_rings_leave_a_part_for_small_ones)
{
    enum { SIZE = 1 << 20, LARGE_LOG2 = 16, SMALL_LOG2 = 12 };
    struct vcl_arena a;
    unsigned large = 0, small = 0;
    uint64_t at;

    cr_assert_eq(vcl_arena_init(&a, 4096, SIZE), 0);
    vcl_arena_keep_small(&a);
    while (vcl_arena_alloc(&a, LARGE_LOG2, &at) == 0)
        large++;
    cr_assert_eq(large, 14);
    while (vcl_arena_alloc(&a, SMALL_LOG2, &at) == 0)
        small++;
    cr_assert_eq(small, 32);
    vcl_arena_fini(&a);
}
