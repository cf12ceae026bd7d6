/* tls_openssl_limit.c - what a peer can make OpenSSL keep before it has shown who it is
 *
 * OpenSSL makes room for a message as soon as it knows how long it will be: 131 KB for a ClientHello of which nothing but the first octets has
 * come. So ClientHellos are looked at as they go in, the second one after a HelloRetryRequest, too. DTLS has such room for each of ten messages
 * that come too early, as long as what is longest among those that may come. */
#include <stdio.h>
#include "common/types.h"
#include "server/tls/tls_openssl.h"
#include "server/tls/tls_record.h"

enum { CLIENT_HELLO = 1, CHAIN = 100 << 10, /* octets of certificates, at most */
       CONNECTION_BYTES = 56 << 10,   /* what a handshake takes of itself: state, a record each way, a first message */
       MESSAGE_DTLS = 18 << 10, MESSAGES_EARLY = 10 };

/* As OpenSSL's buffers grow. */
static uint32_t grown(uint32_t len) { return len / 3 * 4 + 64; }

uint32_t tls_openssl_handshake_bytes(void *e, bool is_server, bool is_datagram, const struct tls_profile *profile)
{
    uint32_t chain = !is_server || !profile || profile->verify != SVM_TLS_VERIFY_NONE ? CHAIN : 0;

    (void)e;
    return CONNECTION_BYTES + (chain ? grown(chain) : 0) + (is_datagram ? MESSAGES_EARLY * hs_max_u32(MESSAGE_DTLS, chain) : 0);
}

void tls_openssl_limit(struct tls_session *s)
{
    SSL_set_max_cert_list(s->ssl, SSL_is_server(s->ssl) && s->profile->verify == SVM_TLS_VERIFY_NONE ? 1 : CHAIN);
}

/* ---- ClientHellos ---- */

/* Octets of messages, from record to record. False: a ClientHello that is too long. */
static bool look_at_messages(struct tls_hello_look *l, const uint8_t *b, uint32_t len)
{
    while (len) {
        uint32_t part;
        if (l->n_message < sizeof(l->message)) {
            l->message[l->n_message++] = *b++;
            len--;
            if (l->n_message < sizeof(l->message))
                continue;
            l->left = (uint32_t)l->message[1] << 16 | (uint32_t)l->message[2] << 8 | l->message[3];
            if (l->message[0] == CLIENT_HELLO && l->left > TLS_HELLO_MAX)
                return false;
        }
        part = hs_min_u32(len, l->left);
        l->left -= part;
        b += part;
        len -= part;
        if (l->left == 0)
            l->n_message = 0;
    }
    return true;
}

/* In TLS 1.3 only ClientHellos are in records of this kind, or it is an error; in TLS 1.2 all is protected after the change of ciphers. */
static bool is_to_be_read(const struct tls_session *s)
{
    const struct tls_hello_look *l = &s->look;

    return l->header[0] == TLS_CT_HANDSHAKE && !(l->has_changed && SSL_version(s->ssl) == TLS1_2_VERSION);
}

bool tls_openssl_hello_fits(struct tls_session *s, const uint8_t *b, size_t len)
{
    struct tls_hello_look *l = &s->look;

    while (len) {
        uint32_t part;
        if (l->n_header < sizeof(l->header)) {
            l->header[l->n_header++] = *b++;
            len--;
            if (l->n_header < sizeof(l->header))
                continue;
            l->body = (uint32_t)l->header[3] << 8 | l->header[4];
            l->has_changed |= l->header[0] == TLS_CT_CCS;
        }
        part = (uint32_t)hs_min_u64(len, l->body);
        if (is_to_be_read(s) && !look_at_messages(l, b, part)) {
            s->is_too_long = true;
            return false;
        }
        l->body -= part;
        b += part;
        len -= part;
        if (l->body == 0)
            l->n_header = 0;
    }
    return true;
}
