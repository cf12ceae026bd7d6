/* tcp_auth_md5.c - the digest of a TCP segment by RFC 2385 s2.0 */
#include <openssl/evp.h>
#include "server/tcp/tcp_auth.h"

enum { PIECES_MAX = 64 };

static bool prepare(struct tcp_worker *tw)
{
    if (!tw->md5)
        tw->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    if (!tw->md_ctx)
        tw->md_ctx = EVP_MD_CTX_new();
    return tw->md5 && tw->md_ctx;
}

void tcp_auth_md5_fini(struct tcp_worker *tw)
{
    EVP_MD_free(tw->md5);
    EVP_MD_CTX_free(tw->md_ctx);
    tw->md5 = NULL;
    tw->md_ctx = NULL;
}

unsigned tcp_auth_pseudo_header(uint8_t out[TCP_PSEUDO_MAX], const struct ip_addr *src, const struct ip_addr *dst, uint32_t len)
{
    be16 len16 = be16_of((uint16_t)len);
    be32 len32 = be32_of(len);

    memset(out, 0, TCP_PSEUDO_MAX);
    if (ip_addr_is_v4(src)) {
        memcpy(out, &src->w[3], 4);
        memcpy(out + 4, &dst->w[3], 4);
        out[9] = 6;
        memcpy(out + 10, &len16, sizeof(len16));
        return 12;
    }
    memcpy(out, src, 16);
    memcpy(out + 16, dst, 16);
    memcpy(out + 32, &len32, sizeof(len32));
    out[39] = 6;
    return 40;
}

bool tcp_auth_md5(struct worker *w, const struct tcp_auth *a, struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t out[TCP_MD5_DIGEST])
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct iovec iov[PIECES_MAX];
    struct tcp_hdr h;
    uint8_t pseudo[TCP_PSEUDO_MAX];
    unsigned n_pseudo = tcp_auth_pseudo_header(pseudo, src, dst, pkt_len(p));
    int n;
    bool ok;

    memcpy(&h, pkt_data(p), sizeof(h));
    h.checksum = be16_of(0);
    n = pkt_iov(p, tcp_hdr_len(&h), iov, PIECES_MAX);
    if (n < 0 || !prepare(tw))
        return false;
    ok = EVP_DigestInit_ex2(tw->md_ctx, tw->md5, NULL) == 1 && EVP_DigestUpdate(tw->md_ctx, pseudo, n_pseudo) == 1 &&
         EVP_DigestUpdate(tw->md_ctx, &h, sizeof(h)) == 1;
    for (int i = 0; ok && i < n; i++)
        ok = EVP_DigestUpdate(tw->md_ctx, iov[i].iov_base, iov[i].iov_len) == 1;
    return ok && EVP_DigestUpdate(tw->md_ctx, a->key, a->key_len) == 1 && EVP_DigestFinal_ex(tw->md_ctx, out, NULL) == 1;
}
