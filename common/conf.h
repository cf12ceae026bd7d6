/* conf.h - reader of the one configuration syntax: words and braces, # comments, sizes, times, errors with file:line
 *
 *   conf_init() -> conf_next() … -> conf_take_*() for the values of a word -> conf_fail() names what is wrong
 *
 * Owner:  the caller; points into the caller's text, which must outlive it.
 * Thread: one at a time.
 * Memory: process-private; no allocation but in conf_read_file().
 * Errors: 0 or -EINVAL with one line in r->error (the first error wins): "FILE:LINE: what is wrong, what is accepted". */
#ifndef HOSTSTACK_COMMON_CONF_H
#define HOSTSTACK_COMMON_CONF_H

#include "common/ip_addr.h"

enum conf_limits {
    CONF_WORD_MAX = 512,          /* bytes of one word, with the final NUL */
    CONF_ERROR_MAX = 512,
    CONF_FILE_MAX = 1024 * 1024,  /* bytes of a file; a larger one is surely not a configuration */
};

enum conf_token {
    CONF_END,    /* of the text */
    CONF_WORD,   /* r->word */
    CONF_OPEN,   /* { */
    CONF_CLOSE,  /* } */
    CONF_BAD,    /* r->error says why; every further call returns it again */
};

struct conf_reader {
    const char *file;             /* for messages */
    const char *pos, *end;
    unsigned line;                /* where pos is */
    unsigned token_line;          /* of the token taken last */
    enum conf_token token;        /* the token taken last */
    char word[CONF_WORD_MAX];     /* of the token taken last, NUL-terminated */
    char error[CONF_ERROR_MAX];   /* empty = none yet */
};

void conf_init(struct conf_reader *r, const char *file, const char *text, size_t len);
enum conf_token conf_next(struct conf_reader *r);        /* takes one token */
enum conf_token conf_peek(const struct conf_reader *r);  /* the kind of the next one, not taken; a word that is too long peeks as a word */
bool conf_peek_word(const struct conf_reader *r, const char **start, size_t *len); /* its text, not terminated; false: not a word */
/* Notes an error at the line of the token taken last. Always returns -EINVAL. */
int conf_fail(struct conf_reader *r, const char *fmt, ...) HS_PRINTF(2, 3);

/* Each takes one token and checks it. `what` names the value in messages ("the mtu of a port"). */
int conf_take_word(struct conf_reader *r, const char *what);  /* into r->word */
int conf_take_open(struct conf_reader *r, const char *what);  /* { */
int conf_take_text(struct conf_reader *r, const char *what, char *out, size_t out_size);
int conf_take_number(struct conf_reader *r, const char *what, uint64_t min, uint64_t max, uint64_t *out);
int conf_take_size(struct conf_reader *r, const char *what, uint64_t min, uint64_t max, uint64_t *out);
int conf_take_time_us(struct conf_reader *r, const char *what, uint64_t min, uint64_t max, uint64_t *out);
int conf_take_addr(struct conf_reader *r, const char *what, struct ip_addr *out);
int conf_take_prefix(struct conf_reader *r, const char *what, struct ip_prefix *out);
int conf_take_choice(struct conf_reader *r, const char *what, const char *const *choices, unsigned n, unsigned *out);

/* Values of their own. 0, -EINVAL (not of that form) or -ERANGE (does not fit 64 bits). */
int conf_parse_number(const char *text, uint64_t *out);   /* decimal, or hexadecimal with 0x */
int conf_parse_size(const char *text, uint64_t *out);     /* bytes, or with k, m, g (powers of 1024) */
int conf_parse_time_us(const char *text, uint64_t *out);  /* with us, ms or s */

/* The whole file in memory that the caller frees, NUL-terminated. 0 or -errno (-EFBIG: larger than CONF_FILE_MAX). */
int conf_read_file(const char *path, char **text, size_t *len);

#endif
