/* tls_openssl_resume.c - resumption (RFC 5077, RFC 8446 s4.6.1): keys of tickets and their rotation; sessions that clients go on with
 *
 * Servers keep nothing: all is in the ticket. Its keys live in locked memory, change by time, and are never written anywhere; a ticket is
 * good until the key after its own has been replaced. Clients keep the last ticket of each peer in a table that does not grow. */
#include <string.h>
#include <time.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "server/tls/tls_openssl.h"

struct ticket_key {
    unsigned char name[16], aes[32], hmac[32];
    time_t made;
};
struct tls_tickets {
    struct ticket_key key[2];  /* the one in use, the one before */
};

static time_t now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

static bool key_new(struct ticket_key *k, time_t now)
{
    k->made = now;
    return RAND_bytes(k->name, sizeof(k->name)) == 1 && RAND_priv_bytes(k->aes, sizeof(k->aes)) == 1 &&
           RAND_priv_bytes(k->hmac, sizeof(k->hmac)) == 1;
}

int tls_openssl_resume_open(struct tls_openssl *o)
{
    pthread_mutex_init(&o->lock, NULL);
    o->tickets = OPENSSL_secure_zalloc(sizeof(*o->tickets));
    return o->tickets && key_new(&o->tickets->key[0], now_s()) && key_new(&o->tickets->key[1], now_s()) ? 0 : -1;
}

void tls_openssl_resume_close(struct tls_openssl *o)
{
    for (unsigned i = 0; i < TLS_KEPT_SESSIONS; i++)
        SSL_SESSION_free(o->kept[i].session);
    OPENSSL_secure_clear_free(o->tickets, sizeof(*o->tickets));
    pthread_mutex_destroy(&o->lock);
}

/* A copy of the key to seal with (name NULL), or of the one with that name. False: none. */
static bool key_get(struct tls_openssl *o, const unsigned char *name, struct ticket_key *out, bool *is_old)
{
    struct tls_tickets *t = o->tickets;
    time_t now = now_s(), life = (time_t)(o->cfg->ticket_lifetime_us / 1000000);
    bool found = false;

    pthread_mutex_lock(&o->lock);
    if (now - t->key[0].made >= life) {
        bool both = now - t->key[0].made >= 2 * life;
        t->key[1] = t->key[0];
        if (!key_new(&t->key[0], now) || (both && !key_new(&t->key[1], now))) /* without random numbers no ticket is good */
            t->key[0].made = t->key[1].made = 0;
    }
    for (unsigned i = 0; i < 2 && !found; i++) {
        found = t->key[i].made != 0 && (name ? memcmp(name, t->key[i].name, sizeof(t->key[i].name)) == 0 : i == 0);
        if (found) {
            *out = t->key[i];
            *is_old = i > 0;
        }
    }
    pthread_mutex_unlock(&o->lock);
    return found;
}

/* RFC 5077 s4: AES-256-CBC with HMAC-SHA-256, encrypt then MAC. 1: go on; 2: go on, and give a new one; 0: no ticket. */
int tls_openssl_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    struct tls_openssl *o = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    OSSL_PARAM params[3];
    struct ticket_key k;
    bool is_old = false;
    int ok;

    if (!key_get(o, seal ? NULL : name, &k, &is_old))
        return seal ? -1 : 0;
    if (seal) {
        memcpy(name, k.name, sizeof(k.name));
        ok = RAND_bytes(iv, 16) == 1 && EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.aes, iv) == 1;
    } else {
        ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, k.aes, iv) == 1;
    }
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k.hmac, sizeof(k.hmac));
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)"sha256", 0);
    params[2] = OSSL_PARAM_construct_end();
    ok = ok && EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(&k, sizeof(k));
    return !ok ? -1 : is_old ? 2 : 1;
}

/* ---- clients ---- */

static struct tls_kept *slot_of(struct tls_openssl *o, uint64_t key) { return &o->kept[key % TLS_KEPT_SESSIONS]; }

void tls_openssl_keep(struct tls_openssl *o, uint64_t key, SSL_SESSION *session)
{
    struct tls_kept *k = slot_of(o, key);

    pthread_mutex_lock(&o->lock);
    SSL_SESSION_free(k->session);
    *k = (struct tls_kept){ key, session };
    pthread_mutex_unlock(&o->lock);
}

static bool is_expired(const SSL_SESSION *s) { return time(NULL) - (time_t)SSL_SESSION_get_time(s) >= (time_t)SSL_SESSION_get_timeout(s); }

/* A ticket of TLS 1.3 is used once, so that nobody can tell connections of one client by it (RFC 8446 C.4): each connection brings new ones. One of
 * 1.2 is all there is until the server gives another, which it does not at each resumption (RFC 5077 s3.3): the connection gets a copy. */
SSL_SESSION *tls_openssl_take_kept(struct tls_openssl *o, uint64_t key)
{
    struct tls_kept *k = slot_of(o, key);
    SSL_SESSION *s = NULL;

    pthread_mutex_lock(&o->lock);
    if (k->session && k->key == key) {
        if (SSL_SESSION_get_protocol_version(k->session) == TLS1_3_VERSION || is_expired(k->session)) {
            s = k->session;
            k->session = NULL;
        } else {
            s = SSL_SESSION_dup(k->session);
        }
    }
    pthread_mutex_unlock(&o->lock);
    return s;
}

void tls_openssl_forget_kept(struct tls_openssl *o, uint64_t key)
{
    struct tls_kept *k = slot_of(o, key);

    pthread_mutex_lock(&o->lock);
    if (k->key == key) {
        SSL_SESSION_free(k->session);
        k->session = NULL;
    }
    pthread_mutex_unlock(&o->lock);
}
