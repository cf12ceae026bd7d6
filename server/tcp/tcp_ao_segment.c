/* tcp_ao_segment.c - which key a segment is signed with: KeyID, RNextKeyID and their change (RFC 5925 s3.3, s7) */
#include <errno.h>
#include <openssl/crypto.h>
#include "server/tcp/tcp_auth.h"

static int by_rcv_id(const struct tcp_auth *a, uint8_t id)
{
    for (int i = 0; i < a->n; i++) {
        if (a->ao[i].rcv_id == id)
            return i;
    }
    return -1;
}

static int by_snd_id(const struct tcp_auth *a, uint8_t id)
{
    for (int i = 0; i < a->n; i++) {
        if (a->ao[i].snd_id == id)
            return i;
    }
    return -1;
}

void tcp_ao_select(struct tcp_auth *a)
{
    a->opt_len = (uint8_t)((TCP_AO_HDR + a->ao[a->current].mac_len + 3) & ~3);
}

static bool is_first_syn(uint8_t flags) { return (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN; }

/* Both directions, once both initial sequence numbers are known (s5.2); they stay for the life of the connection. */
static bool derive(struct worker *w, struct tcp_auth *a, struct tcp_ao_key *k, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    struct tcp_ao_flow out = { *lcl, *rmt, a->iss, a->irs }, in = { *rmt, *lcl, a->irs, a->iss };

    if (!k->has_traffic_keys)
        k->has_traffic_keys = tcp_ao_traffic_key(w, k, &out, k->snd) && tcp_ao_traffic_key(w, k, &in, k->rcv);
    return k->has_traffic_keys;
}

static void know_isns(struct tcp_auth *a, uint32_t iss, uint32_t irs)
{
    if (a->iss == iss && a->irs == irs)
        return;
    a->iss = iss;
    a->irs = irs;
    for (unsigned i = 0; i < a->n; i++)
        a->ao[i].has_traffic_keys = false;
}

/* ---- in (s7.5) ---- */

/* A SYN has a key of its own; the SYN,ACK to ours tells the peer's initial number; at a listener, an ACK can only answer a cookie. */
static bool key_for_input(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, struct tcp_ao_key *k, const struct tcp_seg *seg,
                          uint8_t out[TCP_AO_KEY_MAX], uint32_t *sne)
{
    struct tcp_ao_flow syn = { seg->src, seg->dst, seg->seq, 0 };

    *sne = 0;
    if (is_first_syn(seg->flags))
        return tcp_ao_traffic_key(w, k, &syn, out);
    if (!c) {
        know_isns(a, seg->ack - 1, seg->seq - 1);
        *sne = seg->seq == 0;
    } else if (c->state == TCP_S_SYN_SENT) {
        know_isns(a, c->iss, seg->seq);
    } else {
        know_isns(a, c->iss, c->irs);
        *sne = tcp_ao_rcv_sne(a, c, seg->seq);
    }
    if (!derive(w, a, k, &seg->dst, &seg->src))
        return false;
    memcpy(out, k->rcv, TCP_AO_KEY_MAX);
    return true;
}

static bool is_good(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, struct tcp_ao_key *k, const struct tcp_seg *seg)
{
    uint8_t key[TCP_AO_KEY_MAX], mac[TCP_AO_KEY_MAX];
    uint32_t sne;
    bool ok = seg->o.sig[1] == TCP_AO_HDR + k->mac_len && key_for_input(w, a, c, k, seg, key, &sne) &&
              tcp_ao_mac(w, k, key, sne, seg->p, seg->o.sig, &seg->src.ip, &seg->dst.ip, mac) &&
              CRYPTO_memcmp(mac, seg->o.sig + TCP_AO_HDR, k->mac_len) == 0;

    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

/* s7.5 step 3e: the peer is ready to receive another of our keys: from now on we sign with that one. */
static void follow(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, uint8_t rnext_id)
{
    int i = a->ao[a->current].snd_id == rnext_id ? -1 : by_snd_id(a, rnext_id);

    if (i < 0)
        return;
    a->current = (uint8_t)i;
    tcp_ao_select(a);
    if (a->opt_len != c->auth_len) {
        c->auth_len = a->opt_len;
        tcp_conn_path_update(w, c);
    }
    tcp_count(w, TCP_C_sig_key_changes);
}

bool tcp_ao_check(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, const struct tcp_seg *seg)
{
    int i;

    if (!seg->o.sig || seg->o.sig[0] != TCP_OPT_AO) {
        a->counts.missing++;
        tcp_count(w, TCP_C_sig_missing);
        return false;
    }
    i = by_rcv_id(a, seg->o.sig[2]);
    if (i < 0) {
        a->counts.no_key++;
        tcp_count(w, TCP_C_sig_no_key);
        return false;
    }
    if (!is_good(w, a, c, &a->ao[i], seg)) {
        a->ao[i].bad++;
        a->counts.bad++;
        tcp_count(w, TCP_C_sig_bad);
        return false;
    }
    a->ao[i].good++;
    a->counts.good++;
    if (c)
        follow(w, a, c, seg->o.sig[3]);
    return true;
}

/* s7.3: of the SYN that begins a connection, what it was signed with is what we want to see, and what it asks for is what we sign with. */
void tcp_ao_choose(struct tcp_auth *a, const struct tcp_seg *syn)
{
    int rnext = syn->o.sig ? by_rcv_id(a, syn->o.sig[2]) : -1, current = syn->o.sig ? by_snd_id(a, syn->o.sig[3]) : -1;

    a->rnext = (uint8_t)(rnext < 0 ? 0 : rnext);
    a->current = (uint8_t)(current < 0 ? a->rnext : current);
    tcp_ao_select(a);
}

/* ---- out (s7.4) ---- */

unsigned tcp_ao_put(const struct tcp_auth *a, uint8_t *opt, unsigned opt_len)
{
    const struct tcp_ao_key *k = &a->ao[a->current];

    opt += opt_len;
    memset(opt, TCP_OPT_NOP, a->opt_len);
    opt += a->opt_len - TCP_AO_HDR - k->mac_len;
    opt[0] = TCP_OPT_AO;
    opt[1] = (uint8_t)(TCP_AO_HDR + k->mac_len);
    opt[2] = k->snd_id;
    opt[3] = a->ao[a->rnext].rcv_id;
    memset(opt + TCP_AO_HDR, 0, k->mac_len);
    return opt_len + a->opt_len;
}

bool tcp_ao_sign(struct worker *w, struct tcp_auth *a, struct tcp_conn *c, struct pkt *p, const struct ip_addr *src,
                 const struct ip_addr *dst)
{
    struct tcp_hdr *h = (struct tcp_hdr *)(void *)pkt_data(p);
    struct tcp_ao_key *k = &a->ao[a->current];
    uint8_t *sig = (uint8_t *)h + tcp_hdr_len(h) - TCP_AO_HDR - k->mac_len, key[TCP_AO_KEY_MAX], mac[TCP_AO_KEY_MAX];
    struct ip_endpoint lcl = { *src, h->src_port }, rmt = { *dst, h->dst_port };
    struct tcp_ao_flow syn = { lcl, rmt, be32_get(h->seq), 0 };
    uint32_t sne = 0;
    bool ok;

    if (is_first_syn(h->flags)) {
        ok = tcp_ao_traffic_key(w, k, &syn, key);
    } else {
        if (!c) /* SYN,ACK with a cookie */
            know_isns(a, be32_get(h->seq), be32_get(h->ack) - 1);
        else if (c->state != TCP_S_SYN_SENT) /* there it is an RST to what was just checked */
            know_isns(a, c->iss, c->irs);
        ok = derive(w, a, k, &lcl, &rmt);
        memcpy(key, k->snd, sizeof(key));
        if (c && c->state != TCP_S_SYN_SENT)
            sne = tcp_ao_snd_sne(a, c, be32_get(h->seq));
    }
    ok = ok && tcp_ao_mac(w, k, key, sne, p, sig, src, dst, mac);
    if (ok)
        memcpy(sig + TCP_AO_HDR, mac, k->mac_len);
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

/* ---- the program's wishes ---- */

int tcp_ao_set(struct tcp_auth *a, const struct svm_tcp_ao *v)
{
    int current = v->flags & SVM_TCP_AO_CURRENT ? by_snd_id(a, v->current) : a->current;
    int rnext = v->flags & SVM_TCP_AO_RNEXT ? by_rcv_id(a, v->rnext) : a->rnext;

    if (current < 0 || rnext < 0)
        return -ENOENT;
    a->current = (uint8_t)current;
    a->rnext = (uint8_t)rnext;
    a->flags = v->flags & (SVM_TCP_AO_REQUIRED | SVM_TCP_AO_ICMP);
    tcp_ao_select(a);
    return 0;
}

void tcp_ao_get(const struct tcp_auth *a, struct svm_tcp_ao *v)
{
    *v = (struct svm_tcp_ao){ .flags = a->flags | SVM_TCP_AO_CURRENT | SVM_TCP_AO_RNEXT, .current = a->ao[a->current].snd_id,
                              .rnext = a->ao[a->rnext].rcv_id, .n_keys = a->n };
}

int tcp_ao_get_key(const struct tcp_auth *a, struct svm_tcp_ao_key *v)
{
    for (unsigned i = 0; i < a->n; i++) {
        const struct tcp_ao_key *k = &a->ao[i];

        if (k->snd_id != v->snd_id || k->rcv_id != v->rcv_id)
            continue;
        v->flags = (i == a->current ? SVM_TCP_AO_CURRENT : 0) | (i == a->rnext ? SVM_TCP_AO_RNEXT : 0);
        v->good = k->good;
        v->bad = k->bad;
        return 0;
    }
    return -ENOENT;
}

static int same(const struct tcp_auth *a, const struct tcp_ao_key *k)
{
    for (int i = 0; i < a->n; i++) {
        if (a->ao[i].snd_id == k->snd_id && a->ao[i].rcv_id == k->rcv_id)
            return i;
    }
    return -1;
}

/* A key in use that the program has removed meanwhile stays, at the end. */
static uint8_t keep(struct tcp_auth *found, const struct tcp_ao_key *k)
{
    int i = same(found, k);

    if (i >= 0)
        return (uint8_t)i;
    i = found->n < TCP_AO_KEYS_MAX ? found->n++ : TCP_AO_KEYS_MAX - 1;
    found->ao[i] = *k;
    return (uint8_t)i;
}

void tcp_ao_merge(struct tcp_auth *old, struct tcp_auth *found)
{
    for (unsigned i = 0; i < found->n; i++) {
        int was = same(old, &found->ao[i]);

        if (was >= 0 && old->ao[was].key_len == found->ao[i].key_len && old->ao[was].alg == found->ao[i].alg &&
            old->ao[was].mac_len == found->ao[i].mac_len && old->ao[was].flags == found->ao[i].flags &&
            CRYPTO_memcmp(old->ao[was].key, found->ao[i].key, found->ao[i].key_len) == 0)
            found->ao[i] = old->ao[was];
    }
    found->current = keep(found, &old->ao[old->current]);
    found->rnext = keep(found, &old->ao[old->rnext]);
    found->flags = old->flags;
    found->iss = old->iss;
    found->irs = old->irs;
    found->snd_wraps = old->snd_wraps;
    found->rcv_wraps = old->rcv_wraps;
    found->counts = old->counts;
    tcp_ao_select(found);
}
