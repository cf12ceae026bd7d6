/* crc32c.c - CRC32c (RFC 9260 App. A): SSE4.2 where the processor has it, a table elsewhere
 *
 * Not rte_hash_crc(): its header brings a mutable variable into whoever includes it. */
#include <string.h>
#include "common/crc32c.h"

/* Reflected polynomial 0x82f63b78; the bytes of the result go out lowest first. */

static uint32_t by_table(uint32_t crc, const uint8_t *b, uint32_t len)
{
    /* One entry a nibble: two steps a byte, no large table for processors that are rare by now */
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (; len; len--, b++) {
        crc = crc >> 4 ^ nibble[(crc ^ *b) & 15];
        crc = crc >> 4 ^ nibble[(crc ^ (uint32_t)*b >> 4) & 15];
    }
    return crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_sse42(uint32_t crc, const uint8_t *b, uint32_t len)
{
    uint64_t c = crc;

    for (; len >= 8; len -= 8, b += 8) {
        uint64_t v;
        memcpy(&v, b, 8);
        c = _mm_crc32_u64(c, v);
    }
    crc = (uint32_t)c;
    for (; len; len--, b++)
        crc = _mm_crc32_u8(crc, *b);
    return crc;
}
#endif

uint32_t crc32c_software(uint32_t crc, const void *data, uint32_t len)
{
    return by_table(crc, data, len);
}

uint32_t crc32c(uint32_t crc, const void *data, uint32_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return by_sse42(crc, data, len);
#endif
    return by_table(crc, data, len);
}
