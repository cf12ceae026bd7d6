/* tcp_ao.c - traffic keys and message authentication codes of TCP-AO (RFC 5925 s5, RFC 5926), and extended sequence numbers (s6.2) */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "server/tcp/tcp_auth.h"

enum { PIECES_MAX = 64, CONTEXT_MAX = 44, AES_KEY = 16 };

static const struct {
    const char *mac, *param, *value;
    uint8_t key_len;          /* of traffic keys, which is the MAC's length before it is cut, too */
} algs[] = {
    [SVM_TCP_AO_HMAC_SHA1] = { "HMAC", OSSL_MAC_PARAM_DIGEST, "SHA1", 20 },
    [SVM_TCP_AO_AES_CMAC] = { "CMAC", OSSL_MAC_PARAM_CIPHER, "AES-128-CBC", 16 },
};

unsigned tcp_ao_digest_len(uint8_t alg) { return alg < HS_ARRAY_LEN(algs) ? algs[alg].key_len : 0; }

static EVP_MAC_CTX *ctx_of(struct tcp_worker *tw, uint8_t alg)
{
    EVP_MAC *mac;

    if (!tw->mac_ctx[alg]) {
        mac = EVP_MAC_fetch(NULL, algs[alg].mac, NULL);
        tw->mac_ctx[alg] = mac ? EVP_MAC_CTX_new(mac) : NULL;
        EVP_MAC_free(mac);
    }
    return tw->mac_ctx[alg];
}

void tcp_ao_fini(struct tcp_worker *tw)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(tw->mac_ctx); i++) {
        EVP_MAC_CTX_free(tw->mac_ctx[i]);
        tw->mac_ctx[i] = NULL;
    }
}

static EVP_MAC_CTX *begin(struct tcp_worker *tw, uint8_t alg, const uint8_t *key, size_t len)
{
    EVP_MAC_CTX *x = ctx_of(tw, alg);
    OSSL_PARAM p[2] = { OSSL_PARAM_construct_utf8_string(algs[alg].param, (char *)(uintptr_t)algs[alg].value, 0), OSSL_PARAM_construct_end() };

    return x && EVP_MAC_init(x, key, len, p) == 1 ? x : NULL;
}

static bool end(EVP_MAC_CTX *x, uint8_t out[TCP_AO_KEY_MAX])
{
    size_t n = 0;

    return EVP_MAC_final(x, out, &n, TCP_AO_KEY_MAX) == 1;
}

/* RFC 5926 s3.1.1.2: a master key of another length is made one of 128 bits. */
static bool cmac_master(struct tcp_worker *tw, const struct tcp_ao_key *k, uint8_t out[TCP_AO_KEY_MAX])
{
    static const uint8_t zero[AES_KEY];
    EVP_MAC_CTX *x;

    if (k->key_len == AES_KEY) {
        memcpy(out, k->key, AES_KEY);
        return true;
    }
    x = begin(tw, k->alg, zero, AES_KEY);
    return x && EVP_MAC_update(x, k->key, k->key_len) == 1 && end(x, out);
}

/* RFC 5925 s5.2: both sockets and both initial sequence numbers, the sender's first. */
static unsigned put_context(uint8_t *p, const struct tcp_ao_flow *f)
{
    unsigned ip = ip_addr_is_v4(&f->src.ip) ? 4 : 16, skip = 16 - ip;
    be32 sisn = be32_of(f->src_isn), disn = be32_of(f->dst_isn);

    memcpy(p, (const uint8_t *)&f->src.ip + skip, ip);
    memcpy(p + ip, (const uint8_t *)&f->dst.ip + skip, ip);
    p += 2 * ip;
    memcpy(p, &f->src.port, 2);
    memcpy(p + 2, &f->dst.port, 2);
    memcpy(p + 4, &sisn, 4);
    memcpy(p + 8, &disn, 4);
    return 2 * ip + 12;
}

/* KDF_HMAC_SHA1 and KDF_AES_128_CMAC: one block of NIST SP 800-108's counter mode (RFC 5926 s3.1.1). */
bool tcp_ao_traffic_key(struct worker *w, const struct tcp_ao_key *k, const struct tcp_ao_flow *f, uint8_t out[TCP_AO_KEY_MAX])
{
    struct tcp_worker *tw = tcp_worker_of(w);
    uint8_t in[1 + 6 + CONTEXT_MAX + 2] = { 1, 'T', 'C', 'P', '-', 'A', 'O' }, short_key[TCP_AO_KEY_MAX];
    unsigned n = 7 + put_context(in + 7, f), bits = 8u * algs[k->alg].key_len;
    bool is_cmac = k->alg == SVM_TCP_AO_AES_CMAC;
    EVP_MAC_CTX *x;
    bool ok;

    in[n++] = (uint8_t)(bits >> 8);
    in[n++] = (uint8_t)bits;
    if (is_cmac && !cmac_master(tw, k, short_key))
        return false;
    x = is_cmac ? begin(tw, k->alg, short_key, AES_KEY) : begin(tw, k->alg, k->key, k->key_len);
    ok = x && EVP_MAC_update(x, in, n) == 1 && end(x, out);
    OPENSSL_cleanse(short_key, sizeof(short_key));
    return ok;
}

/* s5.1: with the flag, options other than TCP-AO are left out; its own MAC counts as zero in either case. sig: the option in the header. */
static unsigned put_header(uint8_t out[TCP_HDR_MAX], const uint8_t *h, const uint8_t *sig, bool exclude)
{
    unsigned hdr_len = tcp_hdr_len((const struct tcp_hdr *)(const void *)h), at = (unsigned)(sig - h), n = hdr_len;

    memcpy(out, h, hdr_len);
    out[16] = out[17] = 0; /* the checksum */
    if (exclude) {
        memmove(out + sizeof(struct tcp_hdr), out + at, sig[1]);
        at = sizeof(struct tcp_hdr);
        n = at + sig[1];
    }
    memset(out + at + 4, 0, out[at + 1] - 4u);
    return n;
}

bool tcp_ao_mac(struct worker *w, const struct tcp_ao_key *k, const uint8_t *traffic_key, uint32_t sne, struct pkt *p,
                const uint8_t *sig, const struct ip_addr *src, const struct ip_addr *dst, uint8_t out[TCP_AO_KEY_MAX])
{
    uint8_t pseudo[TCP_PSEUDO_MAX], header[TCP_HDR_MAX];
    unsigned n_pseudo = tcp_auth_pseudo_header(pseudo, src, dst, pkt_len(p));
    unsigned n_header = put_header(header, pkt_data(p), sig, k->flags & SVM_TCP_AO_EXCLUDE_OPTIONS);
    be32 be_sne = be32_of(sne);
    struct iovec iov[PIECES_MAX];
    int n = pkt_iov(p, tcp_hdr_len((const struct tcp_hdr *)(const void *)pkt_data(p)), iov, PIECES_MAX);
    EVP_MAC_CTX *x = n < 0 ? NULL : begin(tcp_worker_of(w), k->alg, traffic_key, algs[k->alg].key_len);
    bool ok = x && EVP_MAC_update(x, (const uint8_t *)&be_sne, sizeof(be_sne)) == 1 && EVP_MAC_update(x, pseudo, n_pseudo) == 1 &&
              EVP_MAC_update(x, header, n_header) == 1;

    for (int i = 0; ok && i < n; i++)
        ok = EVP_MAC_update(x, iov[i].iov_base, iov[i].iov_len) == 1;
    return ok && end(x, out);
}

/* ---- extended sequence numbers: how often they have wrapped since the initial one (s6.2) ---- */

/* Next to `near`, whose number is known. */
static uint32_t sne_near(uint32_t sne, uint32_t near, uint32_t seq)
{
    if (seq_gt(seq, near) && seq < near)
        return sne + 1;
    if (seq_lt(seq, near) && seq > near)
        return sne - 1;
    return sne;
}

/* The connection counts in 16 bits, from behind the SYN; whoever is asked for each segment misses no wrap of these. */
static uint32_t extend(uint32_t *seen, uint16_t wraps)
{
    *seen += (uint16_t)(wraps - (uint16_t)*seen);
    return *seen;
}

uint32_t tcp_ao_snd_sne(struct tcp_auth *a, const struct tcp_conn *c, uint32_t seq)
{
    return sne_near(extend(&a->snd_wraps, c->acked_wraps) + (c->iss == UINT32_MAX && c->snd_una != c->iss), c->snd_una, seq);
}

uint32_t tcp_ao_rcv_sne(struct tcp_auth *a, const struct tcp_conn *c, uint32_t seq)
{
    return sne_near(extend(&a->rcv_wraps, c->rcvd_wraps) + (c->irs == UINT32_MAX && c->rcv_nxt != c->irs), c->rcv_nxt, seq);
}
