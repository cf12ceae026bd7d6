/* conf.c - tokens and typed values of the configuration syntax */
#include "common/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void conf_init(struct conf_reader *r, const char *file, const char *text, size_t len)
{
    memset(r, 0, sizeof(*r));
    r->file = file;
    r->pos = text;
    r->end = text + len;
    r->line = r->token_line = 1;
    r->token = CONF_END;
}

int conf_fail(struct conf_reader *r, const char *fmt, ...)
{
    va_list ap;

    if (r->error[0] == '\0') {
        int n = snprintf(r->error, sizeof(r->error), "%s:%u: ", r->file, r->token_line);
        if (n >= 0 && (size_t)n < sizeof(r->error)) {
            va_start(ap, fmt);
            vsnprintf(r->error + n, sizeof(r->error) - (size_t)n, fmt, ap);
            va_end(ap);
        }
    }
    r->token = CONF_BAD;
    return -EINVAL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool ends_word(char c)
{
    return is_space(c) || c == '{' || c == '}' || c == '#';
}

/* Where the next token begins; *line counts along. */
static const char *skip_blank(const char *p, const char *end, unsigned *line)
{
    while (p < end) {
        if (*p == '#') {
            while (p < end && *p != '\n')
                p++;
        } else if (is_space(*p)) {
            *line += *p == '\n';
            p++;
        } else {
            break;
        }
    }
    return p;
}

static const char *word_end(const char *p, const char *end)
{
    while (p < end && !ends_word(*p))
        p++;
    return p;
}

static enum conf_token token_at(const char *p, const char *end)
{
    if (p == end)
        return CONF_END;
    return *p == '{' ? CONF_OPEN : *p == '}' ? CONF_CLOSE : CONF_WORD;
}

enum conf_token conf_next(struct conf_reader *r)
{
    if (r->error[0] != '\0')
        return r->token = CONF_BAD;
    r->pos = skip_blank(r->pos, r->end, &r->line);
    r->token_line = r->line;
    r->token = token_at(r->pos, r->end);
    r->word[0] = '\0';
    if (r->token == CONF_OPEN || r->token == CONF_CLOSE) {
        r->pos++;
    } else if (r->token == CONF_WORD) {
        const char *stop = word_end(r->pos, r->end);
        size_t n = (size_t)(stop - r->pos);
        if (n >= sizeof(r->word)) {
            conf_fail(r, "a word of %zu bytes; at most %d are accepted", n, CONF_WORD_MAX - 1);
            return CONF_BAD;
        }
        for (const char *c = r->pos; c < stop; c++) {
            if ((unsigned char)*c < ' ' || *c == 0x7f) {
                conf_fail(r, "byte 0x%02x in a word; control characters are not accepted", (unsigned char)*c);
                return CONF_BAD;
            }
        }
        memcpy(r->word, r->pos, n);
        r->word[n] = '\0';
        r->pos = stop;
    }
    return r->token;
}

enum conf_token conf_peek(const struct conf_reader *r)
{
    unsigned line = 0;

    if (r->error[0] != '\0')
        return CONF_BAD;
    return token_at(skip_blank(r->pos, r->end, &line), r->end);
}

bool conf_peek_word(const struct conf_reader *r, const char **start, size_t *len)
{
    unsigned line = 0;
    const char *p = skip_blank(r->pos, r->end, &line);

    if (r->error[0] != '\0' || token_at(p, r->end) != CONF_WORD)
        return false;
    *start = p;
    *len = (size_t)(word_end(p, r->end) - p);
    return true;
}

/* ---------------------------------------------------------------- values */

int conf_parse_number(const char *text, uint64_t *out)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    char *stop;

    /* strtoull would take a sign, blanks and a second 0x */
    if (!(digits[0] >= '0' && digits[0] <= '9') &&
        !(hex && ((digits[0] | 0x20) >= 'a' && (digits[0] | 0x20) <= 'f')))
        return -EINVAL;
    if (hex && (digits[1] == 'x' || digits[1] == 'X'))
        return -EINVAL;
    int saved = errno;
    errno = 0;
    unsigned long long v = strtoull(digits, &stop, hex ? 16 : 10);
    bool overflow = errno == ERANGE;
    errno = saved;
    if (*stop != '\0')
        return -EINVAL;
    if (overflow)
        return -ERANGE;
    *out = v;
    return 0;
}

/* Splits "123k" into number and unit; the unit is what follows the digits. */
static int parse_with_unit(const char *text, uint64_t *number, const char **unit)
{
    char digits[24];
    size_t n = strspn(text, "0123456789");

    if (n == 0)
        return -EINVAL;
    if (n >= sizeof(digits))
        return -ERANGE;
    memcpy(digits, text, n);
    digits[n] = '\0';
    *unit = text + n;
    return conf_parse_number(digits, number);
}

int conf_parse_size(const char *text, uint64_t *out)
{
    uint64_t n;
    const char *unit;
    unsigned shift;
    int rc = parse_with_unit(text, &n, &unit);

    if (rc != 0)
        return rc;
    if (unit[0] != '\0' && unit[1] != '\0')
        return -EINVAL;
    switch (unit[0]) {
    case '\0': shift = 0; break;
    case 'k': case 'K': shift = 10; break;
    case 'm': case 'M': shift = 20; break;
    case 'g': case 'G': shift = 30; break;
    default: return -EINVAL;
    }
    if (n > UINT64_MAX >> shift)
        return -ERANGE;
    *out = n << shift;
    return 0;
}

int conf_parse_time_us(const char *text, uint64_t *out)
{
    uint64_t n, factor;
    const char *unit;
    int rc = parse_with_unit(text, &n, &unit);

    if (rc != 0)
        return rc;
    if (strcmp(unit, "us") == 0)
        factor = 1;
    else if (strcmp(unit, "ms") == 0)
        factor = 1000;
    else if (strcmp(unit, "s") == 0)
        factor = 1000000;
    else
        return -EINVAL;
    if (n > UINT64_MAX / factor)
        return -ERANGE;
    *out = n * factor;
    return 0;
}

/* ---------------------------------------------------------------- typed tokens */

static const char *token_text(const struct conf_reader *r)
{
    switch (r->token) {
    case CONF_END: return "the end of the file";
    case CONF_OPEN: return "{";
    case CONF_CLOSE: return "}";
    default: return r->word;
    }
}

int conf_take_word(struct conf_reader *r, const char *what)
{
    enum conf_token t = conf_next(r);

    if (t == CONF_BAD)
        return -EINVAL;
    if (t != CONF_WORD)
        return conf_fail(r, "%s is missing before %s", what, token_text(r));
    return 0;
}

int conf_take_open(struct conf_reader *r, const char *what)
{
    enum conf_token t = conf_next(r);

    if (t == CONF_BAD)
        return -EINVAL;
    if (t != CONF_OPEN)
        return conf_fail(r, "%s is followed by {, not by %s", what, token_text(r));
    return 0;
}

int conf_take_text(struct conf_reader *r, const char *what, char *out, size_t out_size)
{
    if (conf_take_word(r, what) != 0)
        return -EINVAL;
    if (strlen(r->word) >= out_size)
        return conf_fail(r, "%s has %zu bytes; at most %zu are accepted", what, strlen(r->word), out_size - 1);
    strcpy(out, r->word);
    return 0;
}

/* A word that parse() reads, from min to max; unit stands behind the limits in the message. */
static int take_value(struct conf_reader *r, const char *what, const char *form, const char *unit,
                      int (*parse)(const char *, uint64_t *), uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (conf_take_word(r, what) != 0)
        return -EINVAL;
    int rc = parse(r->word, &v);
    if (rc == -EINVAL)
        return conf_fail(r, "%s is %s, not %s", what, form, r->word);
    if (rc != 0 || v < min || v > max)
        return conf_fail(r, "%s is %s; from %llu%s to %llu%s is accepted", what, r->word, (unsigned long long)min, unit,
                         (unsigned long long)max, unit);
    *out = v;
    return 0;
}

int conf_take_number(struct conf_reader *r, const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
    return take_value(r, what, "a number", "", conf_parse_number, min, max, out);
}

int conf_take_size(struct conf_reader *r, const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
    return take_value(r, what, "a size in bytes, or with k, m or g", "", conf_parse_size, min, max, out);
}

int conf_take_time_us(struct conf_reader *r, const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
    return take_value(r, what, "a time with us, ms or s", "us", conf_parse_time_us, min, max, out);
}

int conf_take_addr(struct conf_reader *r, const char *what, struct ip_addr *out)
{
    if (conf_take_word(r, what) != 0)
        return -EINVAL;
    if (ip_addr_parse(r->word, out) != 0)
        return conf_fail(r, "%s is an IPv4 or IPv6 address, not %s", what, r->word);
    return 0;
}

int conf_take_prefix(struct conf_reader *r, const char *what, struct ip_prefix *out)
{
    if (conf_take_word(r, what) != 0)
        return -EINVAL;
    if (ip_prefix_parse(r->word, out) != 0)
        return conf_fail(r, "%s is an address with a prefix length, such as 10.0.0.0/8 or fd00::/64, not %s", what, r->word);
    return 0;
}

int conf_take_choice(struct conf_reader *r, const char *what, const char *const *choices, unsigned n, unsigned *out)
{
    char list[256] = "";
    size_t used = 0;

    if (conf_take_word(r, what) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(r->word, choices[i]) == 0) {
            *out = i;
            return 0;
        }
        int w = snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", choices[i]);
        if (w > 0 && used + (size_t)w < sizeof(list))
            used += (size_t)w;
    }
    return conf_fail(r, "%s is %s, not %s", what, list, r->word);
}

/* ---------------------------------------------------------------- files */

int conf_read_file(const char *path, char **text, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int rc;
    char *buf = NULL;
    size_t used = 0, room = 0;

    if (fd < 0)
        return -errno;
    for (;;) { /* not by st_size: the file may be a pipe */
        if (used + 1 >= room) {
            room = room ? room * 2 : 4096;
            char *more = realloc(buf, room);
            if (!more) {
                rc = -ENOMEM;
                goto undo_buf;
            }
            buf = more;
        }
        ssize_t n = read(fd, buf + used, room - used - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = -errno;
            goto undo_buf;
        }
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > CONF_FILE_MAX) {
            rc = -EFBIG;
            goto undo_buf;
        }
    }
    close(fd);
    buf[used] = '\0';
    *text = buf;
    *len = used;
    return 0;

undo_buf:
    free(buf);
    close(fd);
    return rc;
}
