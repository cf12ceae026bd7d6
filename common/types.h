/* types.h - byte-order types and small helpers shared by every folder
 * Owner:  nobody, header only.
 * Thread: any.
 * Errors: none. */
#ifndef HOSTSTACK_COMMON_TYPES_H
#define HOSTSTACK_COMMON_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Big-endian fields are struct types, so that the compiler refuses a plain
 * assignment or comparison with a host-order number. */
typedef struct { uint16_t raw; } __attribute__((packed)) be16;
typedef struct { uint32_t raw; } __attribute__((packed)) be32;

static inline uint16_t be16_get(be16 v) { return __builtin_bswap16(v.raw); }
static inline uint32_t be32_get(be32 v) { return __builtin_bswap32(v.raw); }
static inline be16 be16_of(uint16_t v) { return (be16){ __builtin_bswap16(v) }; }
static inline be32 be32_of(uint32_t v) { return (be32){ __builtin_bswap32(v) }; }
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hoststack supports little-endian hosts only");

#define HS_CACHE_LINE 64
#define HS_ALIGNED_LINE __attribute__((aligned(HS_CACHE_LINE)))
#define HS_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define HS_UNUSED __attribute__((unused))
#define hs_likely(x) __builtin_expect(!!(x), 1)
#define hs_unlikely(x) __builtin_expect(!!(x), 0)
#define HS_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define hs_container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline uint32_t hs_min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t hs_max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline uint64_t hs_min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Serial-number arithmetic on 32-bit counters (RFC 1982 as RFC 9293 s3.4 uses it). */
static inline bool seq_lt(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }
static inline bool seq_leq(uint32_t a, uint32_t b) { return (int32_t)(a - b) <= 0; }
static inline bool seq_gt(uint32_t a, uint32_t b) { return (int32_t)(a - b) > 0; }
static inline bool seq_geq(uint32_t a, uint32_t b) { return (int32_t)(a - b) >= 0; }

#endif
