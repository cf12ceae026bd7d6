/* sim_router.c - a path that gets narrower and wider on its way: larger packets go no further, with an ICMP error to their sender or without
 * (RFC 1191 s3, RFC 8201 s4, RFC 2923 for the black hole) */
#include "tests/sim/sim_router.h"

enum { ETH = 14, V4_HDR = 20, V6_HDR = 40, ICMP_HDR = 8, QUOTE_MAX = 256 };

static void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static uint32_t sum_add(uint32_t sum, const uint8_t *p, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    return sum;
}
static unsigned sum_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* From the packet's destination, as the first router that all packets to it pass might call itself. Returns the frame's length. */
static uint32_t too_big(const uint8_t *frame, uint32_t len, unsigned mtu, uint8_t *out)
{
    bool v4 = frame[12] == 0x08;
    unsigned hdr = v4 ? V4_HDR : V6_HDR, quote = len - ETH < QUOTE_MAX ? len - ETH : QUOTE_MAX;
    uint8_t *ip = out + ETH, *icmp = ip + hdr;
    const uint8_t *in = frame + ETH;

    memset(out, 0, ETH + V6_HDR + ICMP_HDR);
    memcpy(out, frame + 6, 6);
    memcpy(out + 6, frame, 6);
    memcpy(out + 12, frame + 12, 2);
    memcpy(icmp + ICMP_HDR, in, quote);
    if (v4) {
        ip[0] = 0x45;
        put16(ip + 2, hdr + ICMP_HDR + quote);
        ip[8] = 64;
        ip[9] = 1;
        memcpy(ip + 12, in + 16, 4);
        memcpy(ip + 16, in + 12, 4);
        put16(ip + 10, sum_fold(sum_add(0, ip, V4_HDR)));
        icmp[0] = 3;
        icmp[1] = 4;
        put16(icmp + 6, mtu);
        put16(icmp + 2, sum_fold(sum_add(0, icmp, ICMP_HDR + quote)));
    } else {
        ip[0] = 0x60;
        put16(ip + 4, ICMP_HDR + quote);
        ip[6] = 58;
        ip[7] = 64;
        memcpy(ip + 8, in + 24, 16);
        memcpy(ip + 24, in + 8, 16);
        icmp[0] = 2;
        put16(icmp + 6, mtu);
        put16(icmp + 2, sum_fold(sum_add(sum_add(ICMP_HDR + quote + 58, ip + 8, 32), icmp, ICMP_HDR + quote)));
    }
    return ETH + hdr + ICMP_HDR + quote;
}

bool sim_router_passes(const struct sim_router *r, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us)
{
    uint8_t answer[ETH + V6_HDR + ICMP_HDR + QUOTE_MAX];
    bool v4 = frame[12] == 0x08 && frame[13] == 0x00, v6 = frame[12] == 0x86 && frame[13] == 0xdd;
    const struct sim_router_step *now = NULL;

    for (unsigned i = 0; i < r->n && r->step[i].from_us <= now_us; i++)
        now = &r->step[i];
    if (!now || !now->mtu || len <= ETH + now->mtu || !(v4 || v6))
        return true;
    if (now->tells)
        sim_link_inject(l, end, answer, too_big(frame, len, now->mtu, answer));
    return false;
}
