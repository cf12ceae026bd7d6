/* toy_engine.c - a second engine, for tests: hellos with a number each, records that are masked and have a sum. It keeps no secret
 *
 *   record: kind, length of the body (two octets), body, sum (8 octets, over key, number of the record, kind and body)
 *   client: HELLO -> server: HELLO, DONE -> client: DONE; then TEXT, and BYE at the end of a direction
 *
 * Every second connection works in place, the others by read() and write(), so that both ways of the interface are gone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "server/tls/tls.h"
#include "server/tls/tls_engine.h"

enum { HEAD = 3, SUM = 8, OVER = HEAD + SUM, NUMBER = 16, RECORD = TLS_RECORD_MAX + OVER };
enum kind { HELLO = 1, DONE, TEXT, BYE };
enum phase { TO_GREET, GREETED, ANSWERED, OPEN };

struct tls_pair {
    atomic_uint refs;
};
struct way {                     /* a direction */
    uint64_t key, seq;
};
struct tls_session {
    struct tls_io io;
    const struct tls_profile *profile;
    bool is_server, is_in_place, has_bye, has_said_bye;
    enum phase phase;
    uint8_t own[NUMBER], other[NUMBER];
    struct way rx, tx;
    uint8_t in[RECORD], out[RECORD], text[TLS_RECORD_MAX];
    uint32_t in_len, out_at, out_len, out_text; /* out_text: of the program's bytes in `out` */
    uint32_t text_at, text_len;
    int error_code;
    const char *error;
};

static uint64_t mix(uint64_t h, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * 0x100000001b3ull;
    return h ^ h >> 29;
}

static uint64_t key_of(const uint8_t first[NUMBER], const uint8_t second[NUMBER])
{
    return mix(mix(0xcbf29ce484222325ull, first, NUMBER), second, NUMBER);
}

static enum tls_status fail(struct tls_session *s, int code, const char *why)
{
    s->error_code = code;
    s->error = why;
    return TLS_FAILED;
}

/* ---- records ---- */

static uint64_t sum_of(const struct way *w, const uint8_t *r, uint32_t len)
{
    uint64_t h = mix(w->key, (const uint8_t *)&w->seq, sizeof(w->seq));

    return mix(h, r, HEAD + len);
}

static void mask(const struct way *w, uint8_t *b, uint32_t len)
{
    uint64_t h = w->key + w->seq;

    for (uint32_t i = 0; i < len; i++) {
        h = h * 6364136223846793005ull + 1442695040888963407ull;
        b[i] ^= (uint8_t)(h >> 56);
    }
}

/* r: body behind the head, to which all of it is made. */
static uint32_t seal(struct way *w, enum kind kind, uint8_t *r, uint32_t len)
{
    uint64_t sum;

    r[0] = (uint8_t)kind;
    r[1] = (uint8_t)(len >> 8);
    r[2] = (uint8_t)len;
    mask(w, r + HEAD, len);
    sum = sum_of(w, r, len);
    memcpy(r + HEAD + len, &sum, SUM);
    w->seq++;
    return len + OVER;
}

static bool open_record(struct way *w, uint8_t *r, uint32_t len)
{
    uint64_t sum = sum_of(w, r, len);

    if (memcmp(&sum, r + HEAD + len, SUM) != 0)
        return false;
    mask(w, r + HEAD, len);
    w->seq++;
    return true;
}

static uint32_t body_len(const uint8_t *r) { return (uint32_t)r[1] << 8 | r[2]; }

/* ---- by copies ---- */

static bool flush(struct tls_session *s)
{
    while (s->out_at < s->out_len) {
        int n = s->io.write(s->io.arg, s->out + s->out_at, s->out_len - s->out_at);
        if (n == 0)
            return false;
        s->out_at = n < 0 ? s->out_len : s->out_at + (uint32_t)n; /* nobody is there: what reads says so */
    }
    s->out_at = s->out_len = 0;
    return true;
}

/* Behind what is in `out` already. */
static void put(struct tls_session *s, enum kind kind, const void *body, uint32_t len)
{
    memcpy(s->out + s->out_len + HEAD, body, len);
    s->out_len += seal(&s->tx, kind, s->out + s->out_len, len);
}

/* A record, opened, in s->in. */
static enum tls_status next(struct tls_session *s, enum kind *kind, uint32_t *len)
{
    for (;;) {
        uint32_t want = s->in_len < HEAD ? HEAD : body_len(s->in) + OVER;
        int n;
        if (want > RECORD || (s->in_len >= HEAD && (s->in[0] < HELLO || s->in[0] > BYE)))
            return fail(s, -EPROTO, "toy: no record");
        if (s->in_len >= HEAD && s->in_len == want)
            break;
        n = s->io.read(s->io.arg, s->in + s->in_len, want - s->in_len);
        if (n < 0)
            return fail(s, -ECONNRESET, "toy: cut off");
        if (n == 0)
            return TLS_WANT_READ;
        s->in_len += (uint32_t)n;
    }
    *kind = s->in[0];
    *len = body_len(s->in);
    s->in_len = 0;
    return open_record(&s->rx, s->in, *len) ? TLS_DONE : fail(s, -EPROTO, "toy: bad sum");
}

static enum tls_status step(struct tls_session *s)
{
    enum kind kind;
    uint32_t len;
    enum tls_status st;

    if (!s->is_server && s->phase == TO_GREET) {
        put(s, HELLO, s->own, NUMBER);
        s->phase = GREETED;
        return TLS_DONE;
    }
    st = next(s, &kind, &len);
    if (st != TLS_DONE)
        return st;
    if (kind == HELLO && len == NUMBER && s->phase == (s->is_server ? TO_GREET : GREETED)) {
        memcpy(s->other, s->in + HEAD, NUMBER);
        if (s->is_server)
            put(s, HELLO, s->own, NUMBER);
        s->rx = s->tx = (struct way){ s->is_server ? key_of(s->other, s->own) : key_of(s->own, s->other), 0 };
        if (s->is_server)
            put(s, DONE, "toy", 3);
        s->phase = ANSWERED;
        return TLS_DONE;
    }
    if (kind != DONE || len != 3 || s->phase != ANSWERED)
        return fail(s, -EPROTO, "toy: unexpected");
    if (!s->is_server)
        put(s, DONE, "toy", 3);
    s->phase = OPEN;
    return TLS_DONE;
}

static enum tls_status toy_handshake(struct tls_session *s)
{
    while (flush(s)) {
        enum tls_status st;
        if (s->phase == OPEN)
            return TLS_DONE;
        st = step(s);
        if (st != TLS_DONE)
            return st;
    }
    return TLS_WANT_WRITE;
}

static enum tls_status take(struct tls_session *s, enum kind kind, uint32_t len)
{
    if (kind == BYE)
        s->has_bye = true;
    else if (kind != TEXT)
        return fail(s, -EPROTO, "toy: unexpected");
    memcpy(s->text, s->in + HEAD, len);
    s->text_at = 0;
    s->text_len = len;
    return s->has_bye ? TLS_CLOSED : TLS_DONE;
}

static enum tls_status toy_read(struct tls_session *s, void *buf, size_t len, size_t *n)
{
    enum kind kind;
    uint32_t got;
    enum tls_status st = s->error ? TLS_FAILED : s->has_bye ? TLS_CLOSED : TLS_DONE;

    while (st == TLS_DONE && s->text_at == s->text_len) {
        st = next(s, &kind, &got);
        if (st == TLS_DONE)
            st = take(s, kind, got);
    }
    if (st != TLS_DONE)
        return st;
    *n = len < s->text_len - s->text_at ? len : s->text_len - s->text_at;
    memcpy(buf, s->text + s->text_at, *n);
    s->text_at += (uint32_t)*n;
    return TLS_DONE;
}

#ifndef TOY_HAS_NO_WRITE
static enum tls_status toy_write(struct tls_session *s, const void *buf, size_t len, size_t *n)
{
    if (!s->out_text && !flush(s))
        return TLS_WANT_WRITE;
    if (!s->out_text) {
        s->out_text = (uint32_t)(len < TLS_RECORD_MAX ? len : TLS_RECORD_MAX);
        put(s, TEXT, buf, s->out_text);
    }
    if (!flush(s))
        return TLS_WANT_WRITE;
    *n = s->out_text;
    s->out_text = 0;
    return TLS_DONE;
}

#endif

/* ---- in place ---- */

static bool toy_in_place(struct tls_session *s)
{
    const uint8_t *of_client = s->is_server ? s->other : s->own;

    if (!s->is_in_place && s->io.place && s->phase == OPEN && of_client[0] & 1 && s->in_len == 0 && s->out_len == 0 && s->text_at == s->text_len)
        s->is_in_place = true;
    return s->is_in_place;
}

static uint32_t total(const struct iovec *v, int n)
{
    uint32_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += (uint32_t)v[i].iov_len;
    return sum;
}

static void gather(uint8_t *to, const struct iovec *v, int n, uint32_t len)
{
    for (int i = 0; i < n && len; i++) {
        uint32_t part = len < v[i].iov_len ? len : (uint32_t)v[i].iov_len;
        memcpy(to, v[i].iov_base, part);
        to += part;
        len -= part;
    }
}

static void scatter(const struct iovec *v, int n, const uint8_t *from, uint32_t len)
{
    for (int i = 0; i < n && len; i++) {
        uint32_t part = len < v[i].iov_len ? len : (uint32_t)v[i].iov_len;
        memcpy(v[i].iov_base, from, part);
        from += part;
        len -= part;
    }
}

static enum tls_status next_in_place(struct tls_session *s)
{
    const struct tls_io_in_place *p = s->io.place;
    struct iovec v[4];
    uint32_t want = HEAD, have;
    int n;

    for (;;) {
        n = p->peek(s->io.arg, want, v);
        have = n > 0 ? total(v, n) : 0;
        if (have < want)
            return p->is_ended(s->io.arg) ? fail(s, -ECONNRESET, "toy: cut off") : TLS_WANT_READ;
        gather(s->in, v, n, want);
        if (want > HEAD)
            break;
        want = body_len(s->in) + OVER;
        if (want > RECORD)
            return fail(s, -EPROTO, "toy: too long");
    }
    p->drop(s->io.arg, want);
    if (!open_record(&s->rx, s->in, want - OVER))
        return fail(s, -EPROTO, "toy: bad sum");
    return take(s, s->in[0], want - OVER);
}

static enum tls_status toy_readv(struct tls_session *s, const struct iovec *to, int n_to, size_t *n)
{
    enum tls_status st = s->error ? TLS_FAILED : s->has_bye ? TLS_CLOSED : TLS_DONE;

    *n = 0;
    while (st == TLS_DONE && s->text_at == s->text_len)
        st = next_in_place(s);
    if (st != TLS_DONE)
        return st;
    *n = total(to, n_to);
    *n = *n < s->text_len - s->text_at ? *n : s->text_len - s->text_at;
    scatter(to, n_to, s->text + s->text_at, (uint32_t)*n);
    s->text_at += (uint32_t)*n;
    return TLS_DONE;
}

static enum tls_status put_in_place(struct tls_session *s, enum kind kind, const struct iovec *from, int n_from, uint32_t len, size_t *n)
{
    struct iovec to[2];
    int pieces = s->io.place->reserve(s->io.arg, len + OVER, to);
    uint32_t room = pieces > 0 ? total(to, pieces) : 0;

    if (room < OVER || (room == OVER && len))
        return TLS_WANT_WRITE;
    len = len < room - OVER ? len : room - OVER;
    gather(s->out + HEAD, from, n_from, len);
    (void)seal(&s->tx, kind, s->out, len);
    scatter(to, pieces, s->out, len + OVER);
    s->io.place->commit(s->io.arg, len + OVER);
    *n = len;
    return TLS_DONE;
}

static enum tls_status toy_writev(struct tls_session *s, const struct iovec *from, int n_from, size_t *n)
{
    uint32_t len = total(from, n_from);

    *n = 0;
    return put_in_place(s, TEXT, from, n_from, len < TLS_RECORD_MAX ? len : TLS_RECORD_MAX, n);
}

static enum tls_status toy_close_notify(struct tls_session *s)
{
    size_t n;

    if (s->has_said_bye && s->is_in_place)
        return TLS_DONE;
    if (s->is_in_place) {
        s->has_said_bye = put_in_place(s, BYE, NULL, 0, 0, &n) == TLS_DONE;
        return s->has_said_bye ? TLS_DONE : TLS_WANT_WRITE;
    }
    if (!flush(s))
        return TLS_WANT_WRITE;
    if (!s->has_said_bye)
        put(s, BYE, "", 0);
    s->has_said_bye = true;
    return flush(s) ? TLS_DONE : TLS_WANT_WRITE;
}

/* ---- the rest ---- */

static int toy_open(const struct tls_config *cfg, char *err, size_t err_len, void **out)
{
    static char instance;

    (void)err, (void)err_len, (void)cfg;
    *out = &instance;
    return 0;
}

static void toy_close(void *e) { (void)e; }
static const char *toy_aead(void *e)
{
    (void)e;
    return "nobody";
}

static int toy_pair_new(void *e, const char *cert, size_t cert_len, const char *key, size_t key_len, char *err, size_t err_len, struct tls_pair **out)
{
    (void)e, (void)cert, (void)key;
    *out = cert_len && key_len ? calloc(1, sizeof(**out)) : NULL;
    if (!*out) {
        snprintf(err, err_len, "toy: no certificate");
        return -EINVAL;
    }
    atomic_store(&(*out)->refs, 1);
    return 0;
}

static struct tls_pair *toy_pair_get(struct tls_pair *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

static void toy_pair_put(struct tls_pair *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
}

static int toy_conn_new(void *e, bool is_server, struct tls_profile *profile, const struct ip_endpoint *peer, const struct tls_io *io,
                        struct tls_session **out)
{
    struct tls_session *s = calloc(1, sizeof(*s));

    (void)e, (void)peer;
    if (!s)
        return -ENOMEM;
    s->io = *io;
    s->profile = profile;
    s->is_server = is_server;
    *out = s;
    return getrandom(s->own, sizeof(s->own), 0) == sizeof(s->own) ? 0 : -EIO;
}

static void toy_conn_free(struct tls_session *s) { free(s); }

static uint32_t toy_handshake_bytes(void *e, bool is_server, bool is_datagram, const struct tls_profile *profile)
{
    (void)e, (void)is_server, (void)is_datagram, (void)profile;
    return sizeof(struct tls_session);
}

static uint32_t toy_pending(const struct tls_session *s) { return s->text_len - s->text_at; }
static bool toy_key_is_old(const struct tls_session *s)
{
    (void)s;
    return false;
}

static void toy_info(const struct tls_session *s, struct tls_info *out)
{
    *out = (struct tls_info){ .version = "toy", .cipher = "TOY_MASK_SUM", .aead = "toy" };
    snprintf(out->sni, sizeof(out->sni), "%s", s->profile->hostname);
}

static const char *toy_error(const struct tls_session *s) { return s->error; }
static int toy_error_code(const struct tls_session *s) { return s->error_code ? s->error_code : -EPROTO; }

#ifndef TOY_ABI
#define TOY_ABI TLS_ENGINE_ABI
#endif

extern const struct tls_engine hoststack_tls_engine;
const struct tls_engine hoststack_tls_engine = {
    .abi = TOY_ABI, .size = sizeof(struct tls_engine), .name = "toy",
    .open = toy_open, .close = toy_close, .aead = toy_aead, .pair_new = toy_pair_new, .pair_get = toy_pair_get, .pair_put = toy_pair_put,
    .conn_new = toy_conn_new, .conn_free = toy_conn_free, .handshake_bytes = toy_handshake_bytes, .handshake = toy_handshake,
    .read = toy_read, .in_place = toy_in_place, .readv = toy_readv, .writev = toy_writev, .pending = toy_pending, .key_is_old = toy_key_is_old,
#ifndef TOY_HAS_NO_WRITE
    .write = toy_write,
#endif
    .close_notify = toy_close_notify, .info = toy_info, .error = toy_error, .error_code = toy_error_code,
};
