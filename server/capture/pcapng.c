/* pcapng.c - blocks of the pcapng file format: section, interfaces, packets with a comment, statistics */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "server/capture/capture_internal.h"

enum pcapng_block { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_STATISTICS = 5, BLOCK_PACKET = 6 };
enum pcapng_option {
    OPT_END = 0, OPT_COMMENT = 1, OPT_SECTION_OS = 3, OPT_SECTION_APPLICATION = 4, OPT_INTERFACE_NAME = 2, OPT_PACKET_FLAGS = 2,
    OPT_STAT_RECEIVED = 4, OPT_STAT_DROPPED = 5,
};
enum { LINKTYPE_ETHERNET = 1, DIRECTION_IN = 1, DIRECTION_OUT = 2, COMMENT_MAX = 160 };

static uint32_t padded(uint32_t n) { return (n + 3) & ~3u; }

/* ---------------------------------------------------------------- few, in flat memory */

struct flat { uint8_t *at; size_t room; bool is_full; };

static void put(struct flat *f, const void *data, uint32_t len)
{
    static const uint8_t zeros[4];
    uint32_t whole = padded(len);

    if (f->is_full || whole > f->room) {
        f->is_full = true;
        return;
    }
    memcpy(f->at, data, len);
    memcpy(f->at + len, zeros, whole - len);
    f->at += whole;
    f->room -= whole;
}
static void put32(struct flat *f, uint32_t v) { put(f, &v, 4); }
static void put_option(struct flat *f, uint16_t code, const void *data, uint16_t len)
{
    put32(f, code | (uint32_t)len << 16);
    put(f, data, len);
}

static uint8_t *block_begin(struct flat *f, uint32_t type)
{
    uint8_t *begin = f->at;

    put32(f, type);
    put32(f, 0);
    return begin;
}
static void block_end(struct flat *f, uint8_t *begin)
{
    uint32_t total = (uint32_t)(f->at - begin) + 4;

    put32(f, total);
    if (!f->is_full)
        memcpy(begin + 4, &total, 4);
}

size_t pcapng_header(const struct stack *s, uint8_t *out, size_t room)
{
    struct flat f = { out, room, false };
    const uint64_t unknown = UINT64_MAX;
    uint8_t *b = block_begin(&f, BLOCK_SECTION);

    put32(&f, 0x1a2b3c4d); /* our byte order */
    put32(&f, 1);          /* version 1.0 */
    put(&f, &unknown, 8);  /* length of the section */
    put_option(&f, OPT_SECTION_OS, "Linux", 5);
    put_option(&f, OPT_SECTION_APPLICATION, PACKAGE_STRING, sizeof(PACKAGE_STRING) - 1);
    put32(&f, OPT_END);
    block_end(&f, b);
    for (unsigned i = 0; i < s->n_ports; i++) {
        b = block_begin(&f, BLOCK_INTERFACE);
        put32(&f, LINKTYPE_ETHERNET);
        put32(&f, CAPTURE_SNAP_LEN);
        put_option(&f, OPT_INTERFACE_NAME, s->port[i]->name, (uint16_t)strlen(s->port[i]->name));
        put32(&f, OPT_END);
        block_end(&f, b);
    }
    return f.is_full ? 0 : (size_t)(f.at - out);
}

size_t pcapng_statistics(const struct stack *s, uint64_t packets, uint64_t missed, uint8_t *out, size_t room)
{
    struct flat f = { out, room, false };

    /* What was missed was missed by all together: it stands with the first. */
    if (s->n_ports == 0)
        return 0;
    uint8_t *b = block_begin(&f, BLOCK_STATISTICS);
    put32(&f, 0);
    put32(&f, 0);
    put32(&f, 0);
    put_option(&f, OPT_STAT_RECEIVED, &packets, 8);
    put_option(&f, OPT_STAT_DROPPED, &missed, 8);
    put32(&f, OPT_END);
    block_end(&f, b);
    return f.is_full ? 0 : (size_t)(f.at - out);
}

/* ---------------------------------------------------------------- packets, into the ring */

static void ring_put(struct capture_ring *ring, uint64_t *head, const void *data, uint32_t len)
{
    uint32_t at = *head & (CAPTURE_RING - 1), first = hs_min_u32(len, CAPTURE_RING - at);

    memcpy(ring->bytes + at, data, first);
    memcpy(ring->bytes, (const uint8_t *)data + first, len - first);
    *head += len;
}

bool pcapng_packet(struct capture_ring *ring, const struct capture_record *r, const uint8_t *data)
{
    static const uint8_t zeros[4];
    char comment[COMMENT_MAX];
    uint32_t comment_len = 0;

    if (r->why)
        comment_len = hs_min_u32((uint32_t)snprintf(comment, sizeof(comment), "dropped: %s: %s", r->layer, r->why), sizeof(comment) - 1);
    uint32_t options = 8 + (comment_len ? 4 + padded(comment_len) : 0) + 4;
    uint32_t total = 28 + padded(r->cap_len) + options + 4;
    uint64_t head = ring->head; /* ours */
    if (head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) + total > CAPTURE_RING) /* pairs with the release in writer.c */
        return false;
    const uint32_t fixed[7] = { BLOCK_PACKET, total, r->port, (uint32_t)(r->time_us >> 32), (uint32_t)r->time_us, r->cap_len, r->len };
    const uint32_t flags[2] = { OPT_PACKET_FLAGS | 4u << 16, r->is_out ? DIRECTION_OUT : DIRECTION_IN };
    ring_put(ring, &head, fixed, sizeof(fixed));
    ring_put(ring, &head, data, r->cap_len);
    ring_put(ring, &head, zeros, padded(r->cap_len) - r->cap_len);
    ring_put(ring, &head, flags, sizeof(flags));
    if (comment_len) {
        uint32_t option = OPT_COMMENT | comment_len << 16;
        ring_put(ring, &head, &option, 4);
        ring_put(ring, &head, comment, comment_len);
        ring_put(ring, &head, zeros, padded(comment_len) - comment_len);
    }
    ring_put(ring, &head, zeros, 4); /* end of options */
    ring_put(ring, &head, &total, 4);
    __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE); /* pairs with the acquire in writer.c */
    return true;
}
