/* tls_aead_test.c - AEADs of records: published vectors, pieces of any length, both libraries beside each other, and the memory of keys
 *
 * Buffers lie between pages that may not be touched: both libraries work with whole vectors, and must not read or write beyond. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "common/splitmix.h"
#include "common/types.h"
#include "server/tls/tls_keymem.h"
#include "server/tls/tls_record.h"

enum { MOST = 20480, SMALL = 300 };

static struct tls_aeads lib[2];  /* this CPU's best, OpenSSL */
static uint64_t seed = 1;

static uint32_t rnd(uint32_t below) { return (uint32_t)(hs_splitmix(&seed) % below); }

static void fill(uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)rnd(256);
}

/* len octets that end, or begin, at a page that is not there. */
static uint8_t *fenced(size_t len, bool at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (len + page - 1) / page * page;
    uint8_t *p = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert(p != MAP_FAILED && mprotect(p + page, room, PROT_READ | PROT_WRITE) == 0);
    return at_end ? p + page + room - len : p + page;
}

static void make(void)
{
    tls_aeads_choose(&lib[0], false);
    tls_aeads_choose(&lib[1], true);
}

static void clean(void)
{
    tls_aeads_release(&lib[0]);
    tls_aeads_release(&lib[1]);
}

TestSuite(tls_aead, .init = make, .fini = clean, .timeout = 600);

/* ---- vectors ---- */

static size_t of_hex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
    return n;
}

struct vector { enum tls_aead_alg alg; const char *key, *nonce, *aad, *text, *sealed, *tag; };

#define GCM_TEXT "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
static const struct vector vectors[] = {
    { TLS_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
      "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
      "5bc94fbc3221a5db94fae95ae7121a47" }, /* GCM specification, test case 4 */
    { TLS_AES_128_GCM, "00000000000000000000000000000000", "000000000000000000000000", "", "", "", "58e2fccefa7e3061367f1d57a4e7455a" }, /* 1 */
    { TLS_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
      "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
      "76fc6ece0f4e1768cddf8853bb2d551b" }, /* 16 */
    { TLS_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
      "50515253c0c1c2c3c4c5c6c7",
      "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666657220796f75206f6e6c79206f"
      "6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
      "1ae10b594f09e26a7e902ecbd0600691" }, /* RFC 8439 s2.8.2 */
};

static void is_as_published(const struct tls_aeads *a, const struct vector *v)
{
    static struct tls_aead_key k;
    uint8_t key[32], nonce[12], aad[32], text[160], sealed[160], want[160], tag[16], good[16];
    size_t n = of_hex(v->text, text), n_aad = of_hex(v->aad, aad);

    of_hex(v->key, key);
    of_hex(v->nonce, nonce);
    of_hex(v->sealed, want);
    of_hex(v->tag, good);
    for (unsigned is_sealing = 0; is_sealing < 2; is_sealing++) {
        cr_assert(tls_aead_key_set(&k, a, v->alg, is_sealing, key));
        cr_assert(k.ops->begin(&k, nonce, aad, n_aad));
        if (n)
            cr_assert(k.ops->update(&k, sealed, is_sealing ? text : want, n));
        cr_assert_arr_eq(sealed, is_sealing ? want : text, n);
        if (is_sealing) {
            cr_assert(k.ops->seal(&k, tag));
            cr_assert_arr_eq(tag, good, sizeof(tag), "%s", k.ops->name);
        } else {
            cr_assert(k.ops->open(&k, good), "%s", k.ops->name);
            good[15] ^= 1;
            cr_assert(k.ops->begin(&k, nonce, aad, n_aad));
            if (n)
                cr_assert(k.ops->update(&k, sealed, want, n));
            cr_assert_not(k.ops->open(&k, good));
            good[15] ^= 1;
        }
        tls_aead_key_clear(&k);
    }
}

Test(tls_aead, published_vectors)
{
    for (unsigned l = 0; l < 2; l++)
        for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
            is_as_published(&lib[l], &vectors[i]);
}

/* ---- pieces ---- */

static void sealed_in_pieces(const struct tls_aeads *a, enum tls_aead_alg alg, bool is_sealing, const uint8_t *in, uint8_t *out, size_t len,
                             const size_t *piece, uint8_t tag[16], bool *ok)
{
    static struct tls_aead_key k;
    static const uint8_t key[32] = { 1, 2, 3 }, nonce[12] = { 4, 5 }, aad[13] = { 6 };

    cr_assert(tls_aead_key_set(&k, a, alg, is_sealing, key));
    cr_assert(k.ops->begin(&k, nonce, aad, len & 1 ? 5 : 13));
    for (size_t at = 0, n; at < len; at += n) {
        n = hs_min_u64(*piece++, len - at);
        cr_assert(k.ops->update(&k, out + at, in + at, n));
    }
    *ok = is_sealing ? k.ops->seal(&k, tag) : k.ops->open(&k, tag);
    tls_aead_key_clear(&k);
}

/* What OpenSSL seals as a whole, the other one seals the same in these pieces, and opens. */
static void same(enum tls_aead_alg alg, const uint8_t *text, uint8_t *sealed, uint8_t *out, size_t len, const size_t *piece)
{
    static const size_t whole[] = { MOST, MOST };
    uint8_t tag[2][16];
    bool ok;

    sealed_in_pieces(&lib[1], alg, true, text, sealed, len, whole, tag[0], &ok);
    cr_assert(ok);
    sealed_in_pieces(&lib[0], alg, true, text, out, len, piece, tag[1], &ok);
    cr_assert(ok && memcmp(out, sealed, len) == 0 && memcmp(tag[0], tag[1], 16) == 0, "%zu octets, first %zu", len, piece[0]);
    sealed_in_pieces(&lib[0], alg, false, sealed, out, len, piece, tag[0], &ok);
    cr_assert(ok && memcmp(out, text, len) == 0, "%zu octets, first %zu", len, piece[0]);
    tag[0][len % 16] ^= 0x80;
    sealed_in_pieces(&lib[0], alg, false, sealed, out, len, piece, tag[0], &ok);
    cr_assert_not(ok);
}

Test(tls_aead, all_splits)
{
    for (unsigned at_end = 0; at_end < 2; at_end++)
        for (size_t len = 1; len <= SMALL; len += len < 70 || len % 16 == 15 || len % 16 == 0 ? 1 : 7) {
            uint8_t *text = fenced(SMALL, at_end) + (at_end ? SMALL - len : 0), *sealed = fenced(SMALL, at_end) + (at_end ? SMALL - len : 0),
                    *out = fenced(SMALL, at_end) + (at_end ? SMALL - len : 0);
            fill(text, len);
            for (size_t first = 1; first <= len; first++) {
                size_t piece[] = { first, rnd(40) + 1, MOST, MOST };
                same(first & 1 ? TLS_AES_128_GCM : TLS_AES_256_GCM, text, sealed, out, len, piece);
            }
        }
}

Test(tls_aead, long_ones_in_pieces)
{
    static size_t piece[MOST];
    uint8_t *text = fenced(MOST, true), *sealed = fenced(MOST, true), *out = fenced(MOST, true);

    fill(text, MOST);
    for (unsigned round = 0; round < 1500; round++) {
        size_t len = 1 + rnd(MOST), skip = MOST - len;
        uint32_t most = 1u << rnd(15);
        for (unsigned i = 0; i < MOST; i++)
            piece[i] = 1 + rnd(most);
        same(round % 3, text + skip, sealed + skip, out + skip, len, piece);
    }
}

/* ---- records ---- */

/* Both ends have both libraries; pieces have their borders anywhere. A record that cannot be opened leaves nothing of its text. */
static void a_record(const struct tls_record_suite suite[2], struct tls_record_keys k[2], uint32_t len)
{
    static uint8_t text[TLS_REC_PLAIN_MAX], sealed[TLS_REC_PLAIN_MAX + TLS_REC_MORE_MAX], out[TLS_REC_PLAIN_MAX];
    uint32_t all = tls_record_before(&suite[0]) + len + tls_record_after(&suite[0]), cut = rnd(len + 1), cut2 = rnd(all + 1), cut3 = rnd(len + 1);
    struct iovec from[] = { { text, cut }, { text + cut, len - cut } }, mid[] = { { sealed, cut2 }, { sealed + cut2, all - cut2 } },
                 to[] = { { out, cut3 }, { out + cut3, len - cut3 } };
    uint8_t type = TLS_CT_DATA, bad = (uint8_t)(1 + rnd(255));
    uint32_t where = TLS_REC_HEADER + rnd(all - TLS_REC_HEADER);

    fill(text, len);
    cr_assert(tls_record_seal(&k[0], &suite[0], TLS_CT_DATA, from, 2, len, mid, 2));
    sealed[where] ^= bad;
    memset(out, 0xa5, len);
    cr_assert_not(tls_record_open(&k[1], &suite[1], &type, mid, 2, all - TLS_REC_HEADER, to, 2));
    for (uint32_t i = 0; i < len; i++)
        cr_assert_eq(out[i], 0, "octet %u of a forged record", i);
    sealed[where] ^= bad;
    type = TLS_CT_DATA;
    cr_assert(tls_record_open(&k[1], &suite[1], &type, mid, 2, all - TLS_REC_HEADER, to, 2));
    cr_assert_eq(type, TLS_CT_DATA);
    cr_assert_arr_eq(out, text, len);
    k[1].seq++;
}

Test(tls_aead, records_of_one_library_are_opened_by_the_other)
{
    static const uint8_t key[32] = { 9 }, iv[TLS_REC_IV] = { 8 };
    static struct tls_record_keys k[2];

    for (unsigned how = 0; how < 2 * 2 * TLS_N_AEADS; how++) {
        struct tls_record_suite suite[2] = { { .aeads = &lib[how & 1], .md = EVP_sha256(), .alg = (uint8_t)(how >> 2), .is_1_3 = how & 2 } };
        suite[0].has_explicit = !suite[0].is_1_3 && suite[0].alg != TLS_CHACHA20_POLY1305;
        suite[1] = suite[0];
        suite[1].aeads = &lib[!(how & 1)];
        cr_assert(tls_record_keys_set(&k[0], &suite[0], true, key, iv) && tls_record_keys_set(&k[1], &suite[1], false, key, iv));
        for (uint32_t len = 1; len <= TLS_REC_PLAIN_MAX; len += 1 + rnd(len < 200 ? 3 : 900))
            a_record(suite, k, len);
        a_record(suite, k, TLS_REC_PLAIN_MAX);
        tls_record_keys_clear(&k[0]);
        tls_record_keys_clear(&k[1]);
    }
}

/* ---- memory of keys ---- */

/* What the kernel says of the page that p is in: VmFlags of proc(5). */
#ifdef __SANITIZE_ADDRESS__
#define LOCKS_PAGES false /* its mlock() does nothing */
#else
#define LOCKS_PAGES true
#endif

static bool page_has(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512], flags[512] = "";
    unsigned long from, to;
    bool is_it = false;

    cr_assert(f);
    while (!flags[0] && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_it = from <= (uintptr_t)p && (uintptr_t)p < to;
        else if (is_it && strncmp(line, "VmFlags:", 8) == 0)
            strcpy(flags, line + 8);
    }
    fclose(f);
    return strstr(flags, flag);
}

Test(tls_aead, memory_of_keys)
{
    enum { N = 100, SIZE = 2500 };
    struct tls_keymem *m = tls_keymem_new(SIZE);
    uint8_t *p[N];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < N; i++) {
            p[i] = tls_keymem_get(m);
            cr_assert(p[i] && (uintptr_t)p[i] % 64 == 0);
            for (unsigned k = 0; k < SIZE; k++)
                cr_assert_eq(p[i][k], 0, "nothing is left of another one's keys");
            memset(p[i], 0xff, SIZE);
        }
        for (unsigned i = 0; i < N; i++)
            for (unsigned k = 0; k < i; k++)
                cr_assert(p[i] + SIZE <= p[k] || p[k] + SIZE <= p[i]);
        cr_assert_leq(tls_keymem_bytes(m), N * SIZE * 5 / 4);
        for (unsigned i = 0; i < N; i++)
            tls_keymem_put(m, p[(i * 37 + round) % N]);
        cr_assert_leq(tls_keymem_bytes(m), 64 << 10, "the system has it back");
    }
    p[0] = tls_keymem_get(m);
    cr_assert(page_has(p[0], "lo") == LOCKS_PAGES && page_has(p[0], "dd"), "locked, and in no core dump");
    tls_keymem_put(m, p[0]);
    tls_keymem_put(m, NULL);
    tls_keymem_free(m);
}
