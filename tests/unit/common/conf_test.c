/* conf_test.c - tokens, line numbers, typed values and error texts of the configuration reader */
#include "common/conf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void start(struct conf_reader *r, const char *text)
{
    conf_init(r, "x.conf", text, strlen(text));
}

Test(conf, words_braces_comments_and_lines)
{
    struct conf_reader r;

    start(&r, "# first line\nunix{ a#comment } {\n\tb\r\n}# end\n#");
    cr_assert_eq(conf_next(&r), CONF_WORD);
    cr_assert_str_eq(r.word, "unix");
    cr_assert_eq(r.token_line, 2);
    cr_assert_eq(conf_peek(&r), CONF_OPEN);
    cr_assert_eq(conf_next(&r), CONF_OPEN);
    cr_assert_eq(conf_next(&r), CONF_WORD);
    cr_assert_str_eq(r.word, "a");
    cr_assert_eq(conf_next(&r), CONF_WORD, "a comment ends at the end of its line");
    cr_assert_str_eq(r.word, "b");
    cr_assert_eq(r.token_line, 3);
    cr_assert_eq(conf_next(&r), CONF_CLOSE);
    cr_assert_eq(r.token_line, 4);
    cr_assert_eq(conf_next(&r), CONF_END);
    cr_assert_eq(conf_next(&r), CONF_END);
}

Test(conf, peek_takes_nothing)
{
    struct conf_reader r;
    const char *p;
    size_t n;

    start(&r, "one \n two");
    cr_assert(conf_peek_word(&r, &p, &n));
    cr_assert_eq(n, 3);
    cr_assert_eq(memcmp(p, "one", 3), 0);
    conf_next(&r);
    conf_next(&r);
    cr_assert_str_eq(r.word, "two");
    cr_assert_not(conf_peek_word(&r, &p, &n));
    cr_assert_eq(conf_peek(&r), CONF_END);
}

Test(conf, too_long_word_and_control_bytes_are_errors)
{
    struct conf_reader r;
    char text[CONF_WORD_MAX + 8];

    memset(text, 'w', CONF_WORD_MAX - 1);
    text[CONF_WORD_MAX - 1] = '\0';
    start(&r, text);
    cr_assert_eq(conf_next(&r), CONF_WORD, "the longest word fits");
    memset(text, 'w', CONF_WORD_MAX);
    text[CONF_WORD_MAX] = '\0';
    start(&r, text);
    cr_assert_eq(conf_next(&r), CONF_BAD);
    cr_assert(strstr(r.error, "x.conf:1: a word of 512 bytes") != NULL, "%s", r.error);
    start(&r, "\n a\x01z");
    cr_assert_eq(conf_next(&r), CONF_BAD);
    cr_assert_str_eq(r.error, "x.conf:2: byte 0x01 in a word; control characters are not accepted");
    cr_assert_eq(conf_next(&r), CONF_BAD, "an error stays");
    conf_init(&r, "x.conf", "a\0b", 3);
    cr_assert_eq(conf_next(&r), CONF_BAD, "a NUL byte does not end the text silently");
}

Test(conf, first_error_wins)
{
    struct conf_reader r;

    start(&r, "a\nb");
    conf_next(&r);
    cr_assert_eq(conf_fail(&r, "one %d", 1), -EINVAL);
    conf_next(&r);
    conf_fail(&r, "two");
    cr_assert_str_eq(r.error, "x.conf:1: one 1");
}

Test(conf, numbers)
{
    uint64_t v = 0;

    cr_assert_eq(conf_parse_number("18446744073709551615", &v), 0);
    cr_assert_eq(v, UINT64_MAX);
    cr_assert_eq(conf_parse_number("18446744073709551616", &v), -ERANGE);
    cr_assert_eq(conf_parse_number("0x1F", &v), 0);
    cr_assert_eq(v, 31);
    const char *bad[] = { "", "-1", "+1", " 1", "1 ", "0x", "0x0x1", "0xg", "1.5", "x" };
    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(conf_parse_number(bad[i], &v), -EINVAL, "%s", bad[i]);
}

Test(conf, sizes)
{
    uint64_t v = 0;

    cr_assert_eq(conf_parse_size("4m", &v), 0);
    cr_assert_eq(v, 4u << 20);
    cr_assert_eq(conf_parse_size("3K", &v), 0);
    cr_assert_eq(v, 3072);
    cr_assert_eq(conf_parse_size("1g", &v), 0);
    cr_assert_eq(v, 1u << 30);
    cr_assert_eq(conf_parse_size("512", &v), 0);
    cr_assert_eq(v, 512);
    cr_assert_eq(conf_parse_size("17179869183g", &v), 0);
    cr_assert_eq(conf_parse_size("17179869184g", &v), -ERANGE);
    cr_assert_eq(conf_parse_size("99999999999999999999999999", &v), -ERANGE);
    cr_assert_eq(conf_parse_size("4mb", &v), -EINVAL);
    cr_assert_eq(conf_parse_size("m", &v), -EINVAL);
    cr_assert_eq(conf_parse_size("4t", &v), -EINVAL);
}

Test(conf, times)
{
    uint64_t v = 0;

    cr_assert_eq(conf_parse_time_us("20us", &v), 0);
    cr_assert_eq(v, 20);
    cr_assert_eq(conf_parse_time_us("3ms", &v), 0);
    cr_assert_eq(v, 3000);
    cr_assert_eq(conf_parse_time_us("2s", &v), 0);
    cr_assert_eq(v, 2000000);
    cr_assert_eq(conf_parse_time_us("2", &v), -EINVAL);
    cr_assert_eq(conf_parse_time_us("2h", &v), -EINVAL);
    cr_assert_eq(conf_parse_time_us("18446744073710s", &v), -ERANGE);
}

Test(conf, taking_says_what_is_accepted)
{
    struct conf_reader r;
    uint64_t v = 7;
    unsigned choice = 9;
    struct ip_prefix p;
    static const char *const modes[] = { "adaptive", "busy", "interrupt" };

    start(&r, "12 65536");
    cr_assert_eq(conf_take_number(&r, "the mtu", 68, 65535, &v), -EINVAL);
    cr_assert_str_eq(r.error, "x.conf:1: the mtu is 12; from 68 to 65535 is accepted");
    cr_assert_eq(v, 7, "an error leaves the value alone");
    start(&r, "1500 64k 64k");
    cr_assert_eq(conf_take_number(&r, "the mtu", 68, 65535, &v), 0);
    cr_assert_eq(v, 1500);
    cr_assert_eq(conf_take_size(&r, "the size", 65536, 65536, &v), 0);
    cr_assert_eq(v, 65536);
    cr_assert_eq(conf_take_size(&r, "the size", 1, 65535, &v), -EINVAL);
    v = 7;
    start(&r, "}");
    cr_assert_eq(conf_take_number(&r, "the mtu", 68, 65535, &v), -EINVAL);
    cr_assert_str_eq(r.error, "x.conf:1: the mtu is missing before }");
    start(&r, "\n\nfast");
    cr_assert_eq(conf_take_choice(&r, "poll-mode", modes, 3, &choice), -EINVAL);
    cr_assert_str_eq(r.error, "x.conf:3: poll-mode is adaptive, busy or interrupt, not fast");
    start(&r, "busy");
    cr_assert_eq(conf_take_choice(&r, "poll-mode", modes, 3, &choice), 0);
    cr_assert_eq(choice, 1);
    start(&r, "10.0.0.1/33");
    cr_assert_eq(conf_take_prefix(&r, "the address", &p), -EINVAL);
    start(&r, "");
    cr_assert_eq(conf_take_open(&r, "unix"), -EINVAL);
    cr_assert_str_eq(r.error, "x.conf:1: unix is followed by {, not by the end of the file");
    char small[4];
    start(&r, "abcd");
    cr_assert_eq(conf_take_text(&r, "the name", small, sizeof(small)), -EINVAL);
    cr_assert_str_eq(r.error, "x.conf:1: the name has 4 bytes; at most 3 are accepted");
}

Test(conf, reads_files)
{
    char path[] = "/tmp/hoststack-conf-test.XXXXXX";
    int fd = mkstemp(path);
    char *text;
    size_t len;

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "abc", 3), 3);
    cr_assert_eq(conf_read_file(path, &text, &len), 0);
    cr_assert_eq(len, 3);
    cr_assert_str_eq(text, "abc");
    free(text);
    cr_assert_eq(ftruncate(fd, CONF_FILE_MAX), 0);
    cr_assert_eq(conf_read_file(path, &text, &len), 0);
    cr_assert_eq(len, CONF_FILE_MAX);
    free(text);
    cr_assert_eq(ftruncate(fd, CONF_FILE_MAX + 1), 0);
    cr_assert_eq(conf_read_file(path, &text, &len), -EFBIG);
    close(fd);
    unlink(path);
    cr_assert_eq(conf_read_file(path, &text, &len), -ENOENT);
    cr_assert_eq(conf_read_file("/", &text, &len), -EISDIR);
}
