/* vcl_config_test.c - vcl.conf and the environment: every word, error texts with file and line */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "vcl/vcl.h"

static char path[64];
static struct vcl_config cfg;
static char err[512];

static int load(const char *text)
{
    int fd;

    strcpy(path, "/tmp/vcl-config-test-XXXXXX");
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    setenv("VCL_CONFIG", path, 1);
    err[0] = '\0';
    fd = vcl_config_load(&cfg, err, sizeof(err));
    unlink(path);
    return fd;
}

Test(vcl_config, defaults)
{
    cr_assert_eq(load("vcl { }"), 0, "%s", err);
    cr_assert(cfg.scope_local && cfg.scope_global, "nothing asked for: both");
    cr_assert_gt(strlen(cfg.app_socket), strlen("/app.sock"));
    cr_assert_geq(cfg.rx_fifo_size, 65536);
    cr_assert_eq(cfg.n_rules, 0);
    cr_assert_not(cfg.fallback_kernel);
}

Test(vcl_config, every_word)
{
    cr_assert_eq(load("vcl {\n heapsize 64m max-workers 3 app-socket-api /x/app.sock segment-size 256m add-segment-size 128m\n"
                      " preallocated-fifo-pairs 8 rx-fifo-size 4m tx-fifo-size 64k event-queue-size 2048 app-timeout 10 session-timeout 5s\n"
                      " app-proxy-transport-tcp app-proxy-transport-udp app-scope-local huge_page use-mq-eventfd tls-engine 1\n"
                      " multi-thread-workers app_original_dst namespace-id blue namespace-secret 7 app-name me fallback kernel\n}"),
                 0, "%s", err);
    cr_assert_eq(cfg.max_workers, 3);
    cr_assert_str_eq(cfg.app_socket, "/x/app.sock");
    cr_assert_eq(cfg.segment_mb, 256);
    cr_assert_eq(cfg.add_segment_mb, 128);
    cr_assert_eq(cfg.rx_fifo_size, 4u << 20);
    cr_assert_eq(cfg.tx_fifo_size, 64u << 10);
    cr_assert_eq(cfg.event_queue_size, 2048);
    cr_assert_eq(cfg.app_timeout_s, 10);
    cr_assert_eq(cfg.session_timeout_s, 5);
    cr_assert(cfg.scope_local);
    cr_assert_not(cfg.scope_global);
    cr_assert(cfg.use_mq_eventfd && cfg.multi_thread_workers && cfg.fallback_kernel);
    cr_assert_str_eq(cfg.ns_name, "blue");
    cr_assert_eq(cfg.ns_secret, 7);
    cr_assert_str_eq(cfg.app_name, "me");
}

Test(vcl_config, rules)
{
    cr_assert_eq(load("vcl { rule { proto tcp local 10.0.0.0/8 port 80-443 serve stack }\n rule { remote fd00::/8 serve kernel }\n"
                      "rule { port 53 serve both } }"), 0, "%s", err);
    cr_assert_eq(cfg.n_rules, 3);
    cr_assert_eq(cfg.rules[0].proto, SVM_PROTO_TCP);
    cr_assert_eq(cfg.rules[0].port_lo, 80);
    cr_assert_eq(cfg.rules[0].port_hi, 443);
    cr_assert_eq(cfg.rules[0].serve, VCL_SERVE_STACK);
    cr_assert_not(cfg.rules[0].any_prefix);
    cr_assert(cfg.rules[1].is_remote);
    cr_assert_eq(cfg.rules[1].serve, VCL_SERVE_KERNEL);
    cr_assert(cfg.rules[2].any_prefix);
    cr_assert_eq(cfg.rules[2].port_hi, 53);
    cr_assert_eq(cfg.rules[2].serve, VCL_SERVE_BOTH);
    cr_assert_str_eq(cfg.rules[2].name, "rule 3 of vcl.conf");
    cr_assert_eq(load("vcl { rule { proto any port 1-2 serve stack } }"), 0, "%s", err);
    cr_assert_eq(cfg.rules[0].proto, SVM_PROTO_NONE);
}

static void refused(const char *text, const char *where, const char *what)
{
    cr_assert_eq(load(text), -EINVAL, "accepted: %s", text);
    cr_assert(strstr(err, path) == err, "no file name: %s", err);
    cr_assert(strncmp(err + strlen(path), where, strlen(where)) == 0, "wrong line: %s", err);
    cr_assert(strstr(err, what), "'%s' is not in: %s", what, err);
}

Test(vcl_config, mistakes_name_file_and_line)
{
    refused("vcl {\n\n nonsense 1 }", ":3:", "nonsense");
    refused("vcl { rx-fifo-size big }", ":1:", "rx-fifo-size");
    refused("vcl {\n rx-fifo-size 1 }", ":2:", "rx-fifo-size");
    refused("vcl { rule { local 10.0.0.0/8 } }", ":1:", "serve");
    refused("vcl { rule { serve nobody } }", ":1:", "nobody");
    refused("vcl { rule { proto icmp serve stack } }", ":1:", "icmp");
    refused("vcl { rule { local 10.0.0.0/40 serve stack } }", ":1:", "10.0.0.0/40");
    refused("vcl { rule { remote fe80::/129 serve stack } }", ":1:", "fe80::/129");
    refused("vcl { rule { port 1-2-3 serve stack } }", ":1:", "1-2-3");
    refused("vcl { rule { whoever 1 serve stack } }", ":1:", "whoever");
    refused("vcl { rule { port 70000 serve stack } }", ":1:", "70000");
    refused("vcl { rule { port 9-3 serve stack } }", ":1:", "9-3");
    refused("vcl { max-workers 0 }", ":1:", "max-workers");
    refused("server { }", ":1:", "vcl {");
    refused("vcl { app-timeout soon }", ":1:", "soon");
}

Test(vcl_config, a_file_that_is_named_must_be_there)
{
    setenv("VCL_CONFIG", "/nowhere/vcl.conf", 1);
    cr_assert_eq(vcl_config_load(&cfg, err, sizeof(err)), -EINVAL);
    cr_assert(strstr(err, "/nowhere/vcl.conf"), "%s", err);
}

Test(vcl_config, environment_wins)
{
    setenv("VCL_VPP_SAPI_SOCKET", "/y/app.sock", 1);
    setenv("VCL_APP_NAMESPACE_ID", "green", 1);
    setenv("VCL_APP_NAMESPACE_SECRET", "0x10", 1);
    setenv("VCL_APP_SCOPE_GLOBAL", "1", 1);
    setenv("LDP_APP_NAME", "other", 1);
    setenv("VCL_DEBUG", "2", 1);
    cr_assert_eq(load("vcl { app-socket-api /x/app.sock namespace-id blue }"), 0, "%s", err);
    cr_assert_str_eq(cfg.app_socket, "/y/app.sock");
    cr_assert_str_eq(cfg.ns_name, "green");
    cr_assert_eq(cfg.ns_secret, 16);
    cr_assert(cfg.scope_global);
    cr_assert_not(cfg.scope_local);
    cr_assert_str_eq(cfg.app_name, "other");
    cr_assert_eq(cfg.debug, 2);
    setenv("VCL_DEBUG", "much", 1);
    cr_assert_eq(load("vcl { }"), -EINVAL);
    cr_assert(strstr(err, "VCL_DEBUG"), "%s", err);
}
