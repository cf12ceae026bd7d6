/* tls_openssl_dtls.c - what DTLS has beside TLS (RFC 6347): cookies, retransmission, path MTU */
#include <string.h>
#include <time.h>
#include <openssl/err.h>
#include "common/siphash.h"
#include "server/tls/tls_openssl.h"

enum { COOKIE_LIFE_S = 60, COOKIE_BYTES = 16, OVERHEAD_V4 = 20 + 8, OVERHEAD_V6 = 40 + 8 };

static unsigned overhead(const struct tls_session *s) { return ip_addr_is_v4(&s->rmt.ip) ? OVERHEAD_V4 : OVERHEAD_V6; }

/* What OpenSSL asks of its BIO about datagrams. RFC 6347 s4.1.1.1: the path's MTU, less what is below; when flights are lost again and again, what
 * every path takes. */
long tls_openssl_dgram_ctrl(const struct tls_session *s, int cmd)
{
    switch (cmd) {
    case BIO_CTRL_DGRAM_QUERY_MTU:
        return (long)s->io.mtu(s->io.arg);
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return ip_addr_is_v4(&s->rmt.ip) ? 576 - OVERHEAD_V4 : 1280 - OVERHEAD_V6;
    case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
        return (long)overhead(s);
    default:
        return 0;
    }
}

/* ---- cookies: nothing is kept of who asks (RFC 6347 s4.2.1) ---- */

static uint64_t period(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec / COOKIE_LIFE_S;
}

static void make_cookie(const struct tls_session *s, uint64_t when, unsigned char out[COOKIE_BYTES])
{
    struct {
        struct ip_addr lcl, rmt;
        uint64_t when;
        uint32_t ports, half;
    } k;

    memset(&k, 0, sizeof(k));
    k.lcl = s->lcl.ip;
    k.rmt = s->rmt.ip;
    k.ports = (uint32_t)s->lcl.port.raw << 16 | s->rmt.port.raw;
    k.when = when;
    for (; k.half < COOKIE_BYTES / 8; k.half++) {
        uint64_t h = siphash24(s->o->cookie_secret, &k, sizeof(k));
        memcpy(out + (size_t)k.half * 8, &h, 8);
    }
}

int tls_openssl_on_cookie(SSL *ssl, unsigned char *cookie, unsigned *len)
{
    make_cookie(SSL_get_app_data(ssl), period(), cookie);
    *len = COOKIE_BYTES;
    return 1;
}

int tls_openssl_on_cookie_back(SSL *ssl, const unsigned char *cookie, unsigned len)
{
    unsigned char want[COOKIE_BYTES];
    uint64_t now = period();

    if (len != COOKIE_BYTES)
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        make_cookie(SSL_get_app_data(ssl), now - i, want);
        if (CRYPTO_memcmp(cookie, want, COOKIE_BYTES) == 0)
            return 1;
    }
    return 0;
}

bool tls_openssl_greet(struct tls_session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    BIO_ADDR *nobody = BIO_ADDR_new(); /* must be given; the endpoints are in s */
    int rc;

    s->lcl = *lcl;
    s->rmt = *rmt;
    ERR_clear_error();
    rc = nobody ? DTLSv1_listen(s->ssl, nobody) : -1;
    BIO_ADDR_free(nobody);
    ERR_clear_error();
    return rc == 1;
}

void tls_openssl_set_io_arg(struct tls_session *s, void *arg) { s->io.arg = arg; }

/* ---- retransmission (RFC 6347 s4.2.4.1: a second at first, twice as long each time) ---- */

int64_t tls_openssl_timeout_us(const struct tls_session *s)
{
    struct timeval left;

    if (!DTLSv1_get_timeout(s->ssl, &left))
        return -1;
    return (int64_t)left.tv_sec * 1000000 + left.tv_usec;
}

enum tls_status tls_openssl_on_timeout(struct tls_session *s)
{
    int rc;

    ERR_clear_error();
    rc = (int)DTLSv1_handle_timeout(s->ssl);
    return rc >= 0 ? TLS_WANT_READ : tls_openssl_status(s, rc);
}

uint32_t tls_openssl_data_mtu(const struct tls_session *s)
{
    SSL_set_mtu(s->ssl, (long)s->io.mtu(s->io.arg)); /* it may have changed */
    return (uint32_t)DTLS_get_data_mtu(s->ssl);
}
