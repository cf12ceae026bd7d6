/* tls_openssl_dtls.c - what DTLS has beside TLS (RFC 6347): cookies, retransmission, path MTU */
#include <string.h>
#include <time.h>
#include <openssl/err.h>
#include "common/siphash.h"
#include "common/types.h"
#include "server/tls/tls_openssl.h"

enum { FLIGHT_FIRST_US = 1000000, FLIGHT_MOST_US = 60000000 };
enum { FINISHED = 20 };
enum { COOKIE_LIFE_S = 60, COOKIE_BYTES = 16, OVERHEAD_V4 = 20 + 8, OVERHEAD_V6 = 40 + 8 };

static unsigned overhead(const struct tls_session *s) { return ip_addr_is_v4(&s->rmt.ip) ? OVERHEAD_V4 : OVERHEAD_V6; }

/* ---- retransmission (RFC 6347 s4.2.4.1): a second at first, twice as long each time, a minute at most ----
 *
 * OpenSSL 3.0 would ask the wall clock, which somebody may set. It shows its BIO when a flight is to go again, and where it has written that:
 * there it gets a time that never comes, and the flight goes by the clock of the session below. Later ones show a copy, and are left alone. */

/* What goes again is put together: OpenSSL has the messages of a flight in one datagram the first time only, and a ChangeCipherSpec that comes in
 * front of what was sent before it is of no use to the peer, however often (RFC 6347 s4.1.1, s4.2.3). No more than every path takes: perhaps it
 * was too long. */
struct tls_again {
    uint32_t len;
    char data[1280 - OVERHEAD_V6];
};

static unsigned taken_by_all(const struct tls_session *s) { return ip_addr_is_v4(&s->rmt.ip) ? 576 - OVERHEAD_V4 : 1280 - OVERHEAD_V6; }

/* What has no room below is lost, as on its way. */
static void again_flush(struct tls_session *s)
{
    if (s->again->len)
        (void)s->io.write(s->io.arg, s->again->data, s->again->len);
    s->again->len = 0;
}

int tls_openssl_dgram_write(struct tls_session *s, const char *buf, int len)
{
    struct tls_again *a = s->again;

    if (a->len + (uint32_t)len > taken_by_all(s))
        again_flush(s);
    if ((uint32_t)len > taken_by_all(s))
        return s->io.write(s->io.arg, buf, (size_t)len);
    memcpy(a->data + a->len, buf, (size_t)len);
    a->len += (uint32_t)len;
    return len;
}

static const struct timeval never = { INT64_C(1) << 40, 0 }, long_ago = { 1, 0 };

static unsigned wait_us(SSL *ssl, unsigned before)
{
    struct tls_session *s = SSL_get_app_data(ssl);

    s->flight_us = before == 0 ? FLIGHT_FIRST_US : hs_min_u32(2 * before, FLIGHT_MOST_US);
    return s->flight_us;
}

/* What is forged, doubled or old is dropped by OpenSSL without a word: it is what came as a protected record and was nothing. */
static void on_message(int is_written, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct tls_session *s = arg;
    const uint8_t *b = data;

    (void)version, (void)ssl;
    if (is_written)
        return;
    if (type == SSL3_RT_HEADER)
        s->n_came += len >= 5 && (b[3] | b[4]) != 0; /* its epoch */
    else if (type == SSL3_RT_ALERT || (type == SSL3_RT_HANDSHAKE && len > 0 && b[0] == FINISHED))
        s->n_opened++; /* messages before it are not protected */
}

uint64_t tls_openssl_unopened(const struct tls_session *s) { return s->n_came > s->n_opened ? s->n_came - s->n_opened : 0; }

void tls_openssl_dgram_begin(struct tls_session *s)
{
    SSL_set_msg_callback(s->ssl, on_message);
    SSL_set_msg_callback_arg(s->ssl, s);
    s->has_clock = OPENSSL_version_major() == 3 && OPENSSL_version_minor() == 0;
    DTLS_set_timer_cb(s->ssl, wait_us);
}

static void timer_set(struct tls_session *s, struct timeval *due)
{
    bool is_set = due->tv_sec != 0 || due->tv_usec != 0;

    s->openssl_timer = is_set && s->has_clock ? due : NULL;
    if (!s->openssl_timer)
        return;
    s->flight_due_us = s->io.now_us(s->io.arg) + s->flight_us;
    *due = never;
}

/* What OpenSSL asks of its BIO about datagrams. RFC 6347 s4.1.1.1: the path's MTU, less what is below; when flights are lost again and again, what
 * every path takes. */
long tls_openssl_dgram_ctrl(struct tls_session *s, int cmd, void *ptr)
{
    switch (cmd) {
    case BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT:
        timer_set(s, ptr);
        return 1;
    case BIO_CTRL_DGRAM_QUERY_MTU:
        return (long)s->io.mtu(s->io.arg);
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return (long)taken_by_all(s);
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

bool tls_openssl_has_random(const struct tls_session *s, const uint8_t random[TLS_RANDOM])
{
    uint8_t own[TLS_RANDOM];

    return SSL_get_client_random(s->ssl, own, sizeof(own)) == sizeof(own) && memcmp(own, random, sizeof(own)) == 0;
}

void tls_openssl_set_io_arg(struct tls_session *s, void *arg) { s->io.arg = arg; }

int64_t tls_openssl_timeout_us(const struct tls_session *s)
{
    struct timeval left;
    uint64_t now;

    if (!s->has_clock)
        return DTLSv1_get_timeout(s->ssl, &left) ? (int64_t)left.tv_sec * 1000000 + left.tv_usec : -1;
    now = s->io.now_us(s->io.arg);
    return !s->openssl_timer ? -1 : s->flight_due_us > now ? (int64_t)(s->flight_due_us - now) : 0;
}

enum tls_status tls_openssl_on_timeout(struct tls_session *s)
{
    struct tls_again again;
    int rc;

    if (tls_openssl_timeout_us(s) != 0)
        return TLS_WANT_READ;
    ERR_clear_error();
    if (s->has_clock)
        *s->openssl_timer = long_ago;
    again.len = 0;
    s->again = &again;
    rc = (int)DTLSv1_handle_timeout(s->ssl);
    again_flush(s);
    s->again = NULL;
    return rc >= 0 ? TLS_WANT_READ : tls_openssl_status(s, rc);
}

/* A peer that says its last flight once more has not got ours (RFC 6347 s4.2.4): OpenSSL answers meanwhile. */
enum tls_status tls_openssl_dgram_read(struct tls_session *s, void *buf, size_t len, size_t *n)
{
    struct tls_again again;
    enum tls_status st;

    if (tls_openssl_unopened(s) >= s->o->unopened_max) { /* RFC 9325 s4.4 */
        s->error_code = -EPROTO;
        snprintf(s->error, sizeof(s->error), "too many records that could not be opened");
        return TLS_FAILED;
    }
    again.len = 0;
    s->again = &again;
    st = tls_openssl_read_some(s, buf, len, n);
    again_flush(s);
    s->again = NULL;
    return st;
}

uint32_t tls_openssl_data_mtu(const struct tls_session *s)
{
    SSL_set_mtu(s->ssl, (long)s->io.mtu(s->io.arg)); /* it may have changed */
    return (uint32_t)DTLS_get_data_mtu(s->ssl);
}
