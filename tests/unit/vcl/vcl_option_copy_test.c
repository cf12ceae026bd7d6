/* vcl_option_copy_test.c - options that come from another process: all that were set, or none where one is not as setsockopt() leaves it */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include "vcl/vcl_option_copy.h"

static struct vcl_socket *fresh(uint8_t proto)
{
    struct vcl_socket *s;

    cr_assert_eq(vcl_socket_new(proto, true, &s), 0);
    return s;
}

static uint32_t copy_of(uint8_t out[VCL_OPTION_COPY_MAX])
{
    struct vcl_socket *s = fresh(SVM_PROTO_UDP);
    uint32_t len;

    cr_assert_eq(vcl_setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, &(int){ 1000 }, sizeof(int)), 0);
    cr_assert_eq(vcl_setsockopt(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &(int){ 7 }, sizeof(int)), 0);
    cr_assert_eq(vcl_setsockopt(s, SOL_SOCKET, SO_PEEK_OFF, &(int){ 9 }, sizeof(int)), 0);
    vcl_socket_set_nonblock(s, true);
    len = vcl_options_export(s, out);
    vcl_socket_put(s);
    return len;
}

static int get(struct vcl_socket *s, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);

    cr_assert_eq(vcl_getsockopt(s, level, name, &v, &len), 0);
    return v;
}

Test(vcl_option_copy, what_was_set_is_there)
{
    struct vcl_socket *s = fresh(SVM_PROTO_UDP);
    uint8_t bytes[VCL_OPTION_COPY_MAX];
    uint32_t len = copy_of(bytes);

    cr_assert_eq(vcl_options_import(s, bytes, len), (int)len);
    cr_assert_eq(get(s, SOL_SOCKET, SO_RCVLOWAT), 1000);
    cr_assert_eq(get(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 7);
    cr_assert_eq(get(s, SOL_SOCKET, SO_PEEK_OFF), 9);
    cr_assert(s->peeks_on);
    cr_assert(vcl_socket_is_nonblock(s));
    vcl_socket_put(s);
}

Test(vcl_option_copy, defaults_need_no_memory_of_their_own)
{
    struct vcl_socket *a = fresh(SVM_PROTO_TCP), *b = fresh(SVM_PROTO_TCP);
    uint8_t bytes[VCL_OPTION_COPY_MAX];
    uint32_t len = vcl_options_export(a, bytes);

    cr_assert_eq(vcl_options_import(b, bytes, len), (int)len);
    cr_assert_eq(b->rare_opt, a->rare_opt);
    vcl_socket_put(a);
    vcl_socket_put(b);
}

Test(vcl_option_copy, too_short_is_none)
{
    struct vcl_socket *s = fresh(SVM_PROTO_UDP);
    uint8_t bytes[VCL_OPTION_COPY_MAX], *exact;

    for (uint32_t n = 0, len = copy_of(bytes); n < len; n++) {
        exact = malloc(n ? n : 1); /* of the right size, for who looks on */
        memcpy(exact, bytes, n);
        cr_assert_eq(vcl_options_import(s, exact, n), -EPROTO, "%u bytes", n);
        free(exact);
    }
    cr_assert_eq(get(s, SOL_SOCKET, SO_RCVLOWAT), 1);
    vcl_socket_put(s);
}

/* Each byte changed in turn to each value: refused, or what comes of it can be told once more and is the same. */
Test(vcl_option_copy, no_value_is_taken_that_could_not_have_been_set)
{
    uint8_t good[VCL_OPTION_COPY_MAX], bad[VCL_OPTION_COPY_MAX], again[VCL_OPTION_COPY_MAX];
    uint32_t len = copy_of(good), n_refused = 0;

    for (uint32_t at = 0; at < len; at++) {
        for (unsigned v = 0; v < 256; v++) {
            struct vcl_socket *s = fresh(SVM_PROTO_UDP);
            int rc;

            memcpy(bad, good, len);
            bad[at] = (uint8_t)v;
            rc = vcl_options_import(s, bad, len);
            if (rc == -EPROTO) {
                n_refused++;
                cr_assert_eq(s->opt.rcvlowat, 1, "changed before it was refused");
            } else {
                cr_assert_eq(rc, (int)len);
                cr_assert_geq(s->opt.rcvlowat, 1);
                cr_assert_geq(s->rare_opt->peek_off, -1);
                cr_assert_leq(s->rare_opt->n_fastopen_keys, 2);
                cr_assert(memchr(s->rare_opt->congestion, 0, sizeof(s->rare_opt->congestion)) != NULL);
                cr_assert(memchr(s->rare_opt->device_name, 0, sizeof(s->rare_opt->device_name)) != NULL);
                cr_assert_eq(vcl_options_export(s, again), len);
            }
            vcl_socket_put(s);
        }
    }
    cr_assert_gt(n_refused, len * 100, "%u", n_refused); /* flags alone refuse 254 values */
}
