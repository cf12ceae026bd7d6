/* pkt.c - packet pools, access over several pieces, and Internet checksums (RFC 1071) */
#include "server/pkt/pkt.h"

#include <errno.h>
#include <netinet/in.h>
#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <stdio.h>
#include "common/crc32c.h"

enum { SCTP_CRC_OFFSET = 8, PKT_COMPACT_MAX = 16384 };

static_assert(RTE_PKTMBUF_HEADROOM == PKT_HEADROOM, "room for headers");

static struct rte_mempool *pool_create(const char *name, const char *kind, unsigned n, uint32_t data_len)
{
    char full[RTE_MEMPOOL_NAMESIZE];
    /* Per-lcore caches: one worker's hand-out never goes through the shared ring. A cache may hold half as much again. */
    unsigned cache = n / 8 > 256 ? 256 : n / 8;

    if (snprintf(full, sizeof(full), "%s_%s", name, kind) >= (int)sizeof(full)) {
        rte_errno = ENAMETOOLONG;
        return NULL;
    }
    return rte_pktmbuf_pool_create(full, n, cache, PKT_PRIV_SIZE, (uint16_t)(PKT_HEADROOM + data_len), SOCKET_ID_ANY);
}

int pkt_pools_create(struct pkt_pools *pools, const char *name, unsigned n_small, unsigned n_big)
{
    pools->small = pool_create(name, "s", n_small, PKT_SMALL_DATA);
    if (!pools->small)
        return -rte_errno;
    pools->big = pool_create(name, "b", n_big, PKT_BIG_DATA);
    if (!pools->big) {
        int err = -rte_errno;
        pkt_pools_destroy(pools);
        return err;
    }
    return 0;
}

void pkt_pools_destroy(struct pkt_pools *pools)
{
    rte_mempool_free(pools->small);
    rte_mempool_free(pools->big);
    pools->small = pools->big = NULL;
}

struct pkt *pkt_alloc(struct pkt_pools *pools, uint32_t len)
{
    struct rte_mbuf *m;

    if (len <= PKT_SMALL_DATA)
        m = rte_pktmbuf_alloc(pools->small);
    else if (len <= PKT_BIG_DATA)
        m = rte_pktmbuf_alloc(pools->big);
    else
        return NULL;
    if (hs_unlikely(!m))
        return NULL;
    memset(m + 1, 0, sizeof(struct pkt_meta));
    return pkt_of_mbuf(m);
}

struct pkt *pkt_compact(struct pkt_pools *pools, struct pkt *p)
{
    const struct rte_mbuf *from = &p->m;
    uint32_t front = from->data_off, room = PKT_HEADROOM + PKT_SMALL_DATA, done;
    struct pkt *head;

    if (hs_likely(from->pool != pools->big) || from->nb_segs != 1 || from->data_len > PKT_COMPACT_MAX || front >= room)
        return p;
    head = pkt_alloc(pools, 1);
    if (!head)
        return p;
    done = hs_min_u32(from->data_len, room - front);
    head->m.data_off = from->data_off;
    memcpy(head->m.buf_addr, from->buf_addr, front + done);
    head->m.data_len = (uint16_t)done;
    head->m.pkt_len = done;
    while (done < from->data_len) {
        uint32_t n = hs_min_u32(from->data_len - done, PKT_SMALL_DATA);
        struct pkt *piece = pkt_alloc(pools, n);
        if (!piece) {
            pkt_free(head);
            return p;
        }
        memcpy(pkt_append(piece, (uint16_t)n), rte_pktmbuf_mtod_offset(from, const uint8_t *, done), n);
        pkt_chain(head, piece);
        done += n;
    }
    *pkt_meta(head) = *pkt_meta(p);
    pkt_vlan_tci_set(head, pkt_vlan_tci(p));
    pkt_free(p);
    return head;
}

int pkt_pullup(struct pkt *p, uint32_t n)
{
    struct rte_mbuf *m = &p->m;

    if (hs_likely(m->data_len >= n))
        return 0;
    if (m->pkt_len < n)
        return -EINVAL;
    while (m->data_len < n) {
        struct rte_mbuf *next = m->next;
        uint16_t take = (uint16_t)hs_min_u32(n - m->data_len, next->data_len);
        if (rte_pktmbuf_tailroom(m) < take)
            return -ENOMEM;
        memcpy(rte_pktmbuf_mtod_offset(m, char *, m->data_len), rte_pktmbuf_mtod(next, char *), take);
        m->data_len = (uint16_t)(m->data_len + take);
        next->data_len = (uint16_t)(next->data_len - take);
        next->data_off = (uint16_t)(next->data_off + take);
        if (next->data_len == 0) {
            m->next = next->next;
            m->nb_segs--;
            next->next = NULL;
            next->nb_segs = 1;
            rte_pktmbuf_free_seg(next);
        }
    }
    return 0;
}

int pkt_trim(struct pkt *p, uint32_t new_len)
{
    struct rte_mbuf *m = &p->m;
    uint32_t left = new_len;

    if (new_len > m->pkt_len)
        return -EINVAL;
    if (new_len == m->pkt_len)
        return 0;
    m->pkt_len = new_len;
    uint16_t segs = 1;
    struct rte_mbuf *s = m;
    while (left > s->data_len) {
        left -= s->data_len;
        s = s->next;
        segs++;
    }
    s->data_len = (uint16_t)left;
    struct rte_mbuf *rest = s->next;
    s->next = NULL;
    m->nb_segs = segs;
    while (rest) {
        struct rte_mbuf *next = rest->next;
        rest->next = NULL;
        rest->nb_segs = 1;
        rte_pktmbuf_free_seg(rest);
        rest = next;
    }
    return 0;
}

void pkt_copy_out(struct pkt *p, uint32_t off, void *buf, uint32_t len)
{
    const void *at = rte_pktmbuf_read(&p->m, off, len, buf);

    if (at && at != buf)
        memcpy(buf, at, len);
}

int pkt_iov(struct pkt *p, uint32_t off, struct iovec *iov, int max)
{
    int n = 0;

    for (struct rte_mbuf *s = &p->m; s; s = s->next) {
        if (off >= s->data_len) {
            off -= s->data_len;
            continue;
        }
        if (n == max)
            return -E2BIG;
        iov[n++] = (struct iovec){ rte_pktmbuf_mtod_offset(s, void *, off), s->data_len - off };
        off = 0;
    }
    return n;
}

void pkt_chain(struct pkt *head, struct pkt *tail)
{
    rte_pktmbuf_chain(&head->m, &tail->m); /* fails only beyond 65535 pieces: fragments are at least 8 bytes of 65535 */
}

static void attached_freed(void *addr HS_UNUSED, void *opaque HS_UNUSED) {}

int pkt_attach(struct pkt_pools *pools, struct pkt *p, const struct iovec *iov, int n)
{
    struct rte_mbuf *last = &p->m;

    for (int i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pools->small);
        if (hs_unlikely(!m)) {
            pkt_trim(p, p->m.data_len);
            return -ENOBUFS;
        }
        /* DPDK wants to count references, which nobody takes. The private area of a piece that is not the first has no other use. */
        struct rte_mbuf_ext_shared_info *info = (struct rte_mbuf_ext_shared_info *)(m + 1);
        *info = (struct rte_mbuf_ext_shared_info){ .free_cb = attached_freed };
        rte_mbuf_ext_refcnt_set(info, 1);
        rte_pktmbuf_attach_extbuf(m, iov[i].iov_base, RTE_BAD_IOVA, (uint16_t)iov[i].iov_len, info);
        m->data_len = (uint16_t)iov[i].iov_len;
        last->next = m;
        last = m;
        p->m.nb_segs++;
        p->m.pkt_len += m->data_len;
    }
    pkt_meta(p)->flags |= PKT_ATTACHED;
    return 0;
}

int pkt_own(struct pkt_pools *pools, struct pkt *p)
{
    uint32_t first = pkt_first_len(p), len = pkt_len(p) - first;
    struct pkt *copy;

    if (!(pkt_meta(p)->flags & PKT_ATTACHED))
        return 0;
    copy = pkt_alloc(pools, len);
    if (!copy)
        return -ENOBUFS;
    pkt_copy_out(p, first, pkt_append(copy, (uint16_t)len), len);
    pkt_trim(p, first);
    pkt_chain(p, copy);
    pkt_meta(p)->flags &= (uint16_t)~PKT_ATTACHED;
    return 0;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Not rte_raw_cksum_mbuf(): DPDK 22.11's swaps the low half of an unfolded sum when a piece begins at an odd byte. */
uint16_t pkt_raw_sum(struct pkt *p, uint32_t off)
{
    uint32_t sum = 0, done = 0;

    for (const struct rte_mbuf *s = &p->m; s; s = s->next) {
        if (off >= s->data_len) {
            off -= s->data_len;
            continue;
        }
        uint16_t piece = rte_raw_cksum(rte_pktmbuf_mtod_offset(s, const char *, off), s->data_len - off);
        sum += done & 1 ? __builtin_bswap16(piece) : piece; /* at most 65535 pieces: no overflow */
        done += s->data_len - off;
        off = 0;
    }
    return fold(sum);
}

uint16_t pkt_pseudo_sum(const struct pkt_meta *m, uint32_t l4_len)
{
    uint32_t sum;

    /* RFC 9293 s3.1, RFC 8200 s8.1. */
    if (ip_addr_is_v4(&m->src)) {
        sum = rte_raw_cksum(&m->src.w[3], 4);
        sum += rte_raw_cksum(&m->dst.w[3], 4);
    } else {
        sum = rte_raw_cksum(m->src.b, 16);
        sum += rte_raw_cksum(m->dst.b, 16);
    }
    sum += be16_of((uint16_t)(l4_len >> 16)).raw;
    sum += be16_of((uint16_t)l4_len).raw;
    sum += be16_of(m->ip_proto).raw;
    return fold(sum);
}

uint16_t pkt_l4_checksum(struct pkt *p)
{
    return (uint16_t)~fold((uint32_t)pkt_raw_sum(p, 0) + pkt_pseudo_sum(pkt_meta(p), p->m.pkt_len));
}

/* RFC 9260 App. A. The field holds 0. */
static void finish_crc(struct pkt *p, uint32_t l4)
{
    uint32_t crc = UINT32_MAX, off = l4;

    for (const struct rte_mbuf *s = &p->m; s; s = s->next) {
        if (off < s->data_len)
            crc = crc32c(crc, rte_pktmbuf_mtod_offset(s, const uint8_t *, off), s->data_len - off);
        off -= hs_min_u32(off, s->data_len);
    }
    crc = ~crc;
    memcpy(pkt_data(p) + l4 + SCTP_CRC_OFFSET, &crc, sizeof(crc));
}

void pkt_finish_csum(struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    uint32_t l4 = (uint32_t)m->l2_len + m->l3_len;
    uint32_t field = l4 + (m->ip_proto == IPPROTO_UDP ? 6u : m->ip_proto == IPPROTO_SCTP ? SCTP_CRC_OFFSET + 2u : 16u);

    if (!(m->flags & PKT_L4_CSUM_NEEDED))
        return;
    m->flags = (uint16_t)(m->flags & ~PKT_L4_CSUM_NEEDED);
    if (field + 2 > p->m.data_len)
        return; /* the L4 header is always in the first piece on tx: nothing of ours ends here */
    if (m->ip_proto == IPPROTO_SCTP) {
        finish_crc(p, l4);
        return;
    }
    uint16_t sum = (uint16_t)~pkt_raw_sum(p, l4);
    if (sum == 0 && m->ip_proto == IPPROTO_UDP)
        sum = 0xffff; /* RFC 768: zero on the wire means "none" */
    memcpy(pkt_data(p) + field, &sum, 2);
}
