/* fuzz_pair.c - a self-signed certificate for fuzz targets */
#include "tests/fuzz/fuzz_pair.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static size_t to_text(BIO *b, char *out)
{
    int n = BIO_read(b, out, FUZZ_PEM_MAX);

    BIO_free(b);
    return n > 0 ? (size_t)n : 0;
}

bool fuzz_make_pair(struct fuzz_pair *p)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *b = BIO_new(BIO_s_mem()), *c = BIO_new(BIO_s_mem());

    if (!k || !x || !b || !c)
        return false;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"fuzz", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, k);
    if (!X509_sign(x, k, EVP_sha256()) || !PEM_write_bio_X509(b, x) || !PEM_write_bio_PrivateKey(c, k, NULL, NULL, 0, NULL, NULL))
        return false;
    p->cert_len = to_text(b, p->cert);
    p->key_len = to_text(c, p->key);
    X509_free(x);
    EVP_PKEY_free(k);
    return true;
}
