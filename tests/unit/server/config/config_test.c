/* config_test.c - hoststackd.conf: every stanza, defaults, and what each mistake is answered with */
#include "server/config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"

static struct stack_config *parse(const char *text)
{
    struct stack_config *cfg = NULL;
    char err[CONF_ERROR_MAX];

    cr_assert_eq(config_parse("t.conf", text, strlen(text), &cfg, err, sizeof(err)), 0, "%s", err);
    cr_assert_str_eq(err, "");
    return cfg;
}

static void fails(const char *text, const char *message)
{
    struct stack_config *cfg = NULL;
    char err[CONF_ERROR_MAX];

    cr_assert_eq(config_parse("t.conf", text, strlen(text), &cfg, err, sizeof(err)), -EINVAL, "accepted: %s", text);
    cr_assert_str_eq(err, message);
    cr_assert_null(cfg);
}

Test(config, defaults_need_no_file)
{
    struct stack_config *cfg = NULL;
    char err[CONF_ERROR_MAX];
    unsigned n_small, n_big;

    cr_assert_eq(config_load(NULL, &cfg, err, sizeof(err)), 0, "%s", err);
    cr_assert_eq(cfg->cpu.workers, 1);
    cr_assert_eq(cfg->cpu.n_cores, 0);
    cr_assert_eq(cfg->cpu.poll_mode, CONFIG_POLL_ADAPTIVE);
    cr_assert_eq(cfg->n_ports, 0);
    cr_assert_eq(cfg->unx.log_level, HS_LOG_INFO);
    cr_assert_not(cfg->dpdk.hugepages);
    cr_assert_str_eq(cfg->tcp.cc_algo, "cubic");
    config_packets(cfg, &n_small, &n_big);
    cr_assert_geq(n_small, 2048);
    cr_assert_geq(n_big, 512);
    cr_assert_lt((uint64_t)n_small * (cfg->dpdk.hugepages ? 2528 : 4096) + (uint64_t)n_big * 69632, config_memory(cfg));
    config_free(cfg);
}

Test(config, every_stanza)
{
    struct stack_config *cfg = parse(
        "# all of it\n"
        "unix { runtime-dir /run/hs  socket-group www user daemon log-level debug }\n"
        "cpu { workers 3 corelist 1,3-4 poll-mode busy }\n"
        "dpdk { hugepages memory 512m small-packets 8192 big-packets 1024 }\n"
        "port wire0 { device net_af_packet iface=veth0 blocksz=262144  mtu 9000  rx-queues 2 mac 02:00:00:00:00:0a }\n"
        "port t { device tap }\n"
        "interface wire0 { address 10.0.0.1/24  address fd00::1/64 mtu 1500 no-dad table 3 }\n"
        "interface t { }\n"
        "route 0.0.0.0/0 via 10.0.0.254 table 3\n"
        "route fd01::/16 via fe80::1 dev wire0 table 3\n"
        "route 10.9.0.0/16 dev t\n"
        "session { segment-size 64m add-segment-size 32m evt-q-length 4096 max-fifo-size 1m\n"
        "  max-clients 2 max-sessions 3 max-listeners 4 max-segments 5 }\n"
        "tcp { cc-algo newreno ecn on rto-min 10ms rto-max 2s delayed-ack 5ms msl 1s fin-wait2 3s initial-cwnd 4\n"
        "  syn-retries 2 synack-retries 3 data-retries 9 no-timestamps no-sack no-window-scaling mtu-probing always mtu-probe-interval 3s }\n"
        "namespace blue { secret 0x7 interface wire0 }\n"
        "namespace red { }\n");
    struct ip_addr a;

    cr_assert_str_eq(cfg->file, "t.conf");
    cr_assert_str_eq(cfg->unx.runtime_dir, "/run/hs");
    cr_assert_str_eq(cfg->unx.socket_group, "www");
    cr_assert_str_eq(cfg->unx.user, "daemon");
    cr_assert_eq(cfg->unx.log_level, HS_LOG_DEBUG);
    cr_assert_eq(cfg->cpu.workers, 3);
    cr_assert_eq(cfg->cpu.n_cores, 3);
    cr_assert(cfg->cpu.core[0] == 1 && cfg->cpu.core[1] == 3 && cfg->cpu.core[2] == 4);
    cr_assert_eq(cfg->cpu.poll_mode, CONFIG_POLL_BUSY);
    cr_assert(cfg->dpdk.hugepages);
    cr_assert_eq(config_memory(cfg), 512u << 20);
    cr_assert_eq(cfg->n_ports, 2);
    cr_assert_str_eq(cfg->port[0].device, "net_af_packet iface=veth0 blocksz=262144");
    cr_assert_eq(cfg->port[0].mtu, 9000);
    cr_assert_eq(cfg->port[0].n_queues, 2);
    cr_assert(cfg->port[0].has_mac);
    cr_assert_eq(cfg->port[0].mac[5], 10);
    cr_assert_str_eq(cfg->port[1].device, "tap");
    cr_assert_eq(cfg->n_interfaces, 2);
    const struct config_interface *ifc = config_find_interface(cfg, "wire0");
    cr_assert_eq(ifc->n_addresses, 2);
    cr_assert_eq(ip_addr_parse("fd00::1", &a), 0);
    cr_assert(ip_addr_eq(&ifc->address[1].ip, &a));
    cr_assert_eq(ifc->address[1].len, 64);
    cr_assert(ifc->no_dad && ifc->table == 3 && ifc->mtu == 1500);
    cr_assert_eq(cfg->n_routes, 3);
    cr_assert(cfg->route[0].n_hops == 1 && cfg->route[0].hop[0].has_via && cfg->route[0].table == 3);
    cr_assert_str_eq(cfg->route[1].hop[0].dev, "wire0");
    cr_assert_not(cfg->route[2].hop[0].has_via);
    cr_assert_eq(cfg->session.segment_size, 64u << 20);
    cr_assert_eq(cfg->session.add_segment_size, 32u << 20);
    cr_assert_eq(cfg->session.evt_q_length, 4096);
    cr_assert_eq(cfg->session.max_fifo_size, 1u << 20);
    cr_assert(cfg->session.max_clients == 2 && cfg->session.max_sessions == 3);
    cr_assert(cfg->session.max_listeners == 4 && cfg->session.max_segments == 5);
    cr_assert_str_eq(cfg->tcp.cc_algo, "newreno");
    cr_assert_eq(cfg->tcp.ecn, TCP_ECN_ON);
    cr_assert_eq(cfg->tcp.mtu_probing, TCP_MTU_PROBING_ALWAYS);
    cr_assert_eq(cfg->tcp.mtu_interval_us, 3000000);
    cr_assert(cfg->tcp.rto_min_us == 10000 && cfg->tcp.rto_max_us == 2000000 && cfg->tcp.delack_us == 5000);
    cr_assert(cfg->tcp.msl_us == 1000000 && cfg->tcp.fin_wait2_us == 3000000 && cfg->tcp.initial_cwnd_segs == 4);
    cr_assert(cfg->tcp.syn_retries == 2 && cfg->tcp.synack_retries == 3 && cfg->tcp.data_retries == 9);
    cr_assert(!cfg->tcp.timestamps && !cfg->tcp.sack && !cfg->tcp.wscale);
    cr_assert_eq(cfg->n_namespaces, 2);
    cr_assert_eq(cfg->ns[0].secret, 7);
    cr_assert_str_eq(cfg->ns[0].interface, "wire0");
    config_free(cfg);
}

Test(config, mistakes_name_line_and_what_is_accepted)
{
    fails("\nunix { }\ncolour { }", "t.conf:3: unknown word colour; accepted are unix, cpu, dpdk, port, interface, route, "
          "session, tcp, sctp, tls, namespace, rule");
    fails("unix {\n nodaemon }", "t.conf:2: unknown word nodaemon in unix { }; accepted are runtime-dir, state-dir, "
          "socket-group, user, log, log-level");
    fails("cpu {\n workers 17 }", "t.conf:2: workers of cpu is 17; from 1 to 16 is accepted");
    fails("cpu { workers }", "t.conf:1: workers of cpu is missing before }");
    fails("\ncpu {\n workers 1\n\n", "t.conf:2: the } of cpu { is missing");
    fails("cpu workers 1", "t.conf:1: cpu is followed by {, not by workers");
    fails("cpu { corelist 3-1 }", "t.conf:1: corelist of cpu is core numbers such as 1 or 1,3 or 1-3, not 3-1");
    fails("cpu { corelist 1, }", "t.conf:1: corelist of cpu is core numbers such as 1 or 1,3 or 1-3, not 1,");
    fails("cpu { corelist 0-16 }", "t.conf:1: corelist of cpu names more than 16 cores");
    fails("cpu { poll-mode fast }", "t.conf:1: poll-mode of cpu is adaptive, busy or interrupt, not fast");
    fails("unix { log-level loud }", "t.conf:1: log-level of unix is error, warning, notice, info or debug, not loud");
    fails("dpdk { memory 16m }", "t.conf:1: memory of dpdk is 16m; from 33554432 to 1099511627776 is accepted");
    fails("dpdk { memory lots }", "t.conf:1: memory of dpdk is a size in bytes, or with k, m or g, not lots");
    fails("dpdk { memory 64m big-packets 4096 }", "t.conf:1: small-packets and big-packets of dpdk need 297m, memory is 64m");
    fails("{ }", "t.conf:1: { where a stanza such as unix or port is expected");
    fails("}", "t.conf:1: } where a stanza such as unix or port is expected");
    fails("tcp { rto-min 5s rto-max 1s }", "t.conf:1: rto-max of tcp is less than rto-min");
    fails("tcp { msl 5 }", "t.conf:1: msl of tcp is a time with us, ms or s, not 5");
    fails("tcp { ecn maybe }", "t.conf:1: ecn of tcp is off, accept or on, not maybe");
    fails("tcp { cc-algo vegas }", "t.conf:1: cc-algo of tcp is cubic, newreno or bbr, not vegas");
}

Test(config, mistakes_in_ports_interfaces_and_routes)
{
    fails("port { device tap }", "t.conf:1: the name of a port is missing before {");
    fails("port a { mtu 1500 }", "t.conf:1: port a names no device; accepted are tap, packet or any DPDK device");
    fails("port a { device tap }\nport a { device tap }", "t.conf:2: port a is there twice");
    fails("port a { device tap mtu 65522 }", "t.conf:1: mtu of port is 65522; from 68 to 65521 is accepted");
    fails("port a { device tap mac 1:2:3 }", "t.conf:1: mac of port is an address such as 02:00:00:00:00:01, not 1:2:3");
    fails("port a { device tap mac 03:00:00:00:00:01 }",
          "t.conf:1: mac of port is 03:00:00:00:00:01, a group address; a station's address is accepted");
    fails("\ninterface a { address 10.0.0.1/24 }", "t.conf:2: interface a: there is no port of that name");
    fails("port a { device tap }\ninterface a { address 10.0.0.1/24 address 10.0.0.1/8 }",
          "t.conf:2: interface a has the address 10.0.0.1/8 twice");
    fails("port a { device tap }\ninterface a { address 224.0.0.1/24 }",
          "t.conf:2: address of interface is 224.0.0.1/24; an address of one host is accepted");
    fails("port a { device tap mtu 1400 }\ninterface a { mtu 1500 }", "t.conf:2: interface a: mtu 1500 is more than the port's 1400");
    fails("route 10.0.0.0/8", "t.conf:1: a route needs via ADDRESS or dev INTERFACE");
    fails("route 10.0.0.0/8 via fe80::1", "t.conf:1: destination and via of a route are of different families");
    fails("route here via 10.0.0.1", "t.conf:1: the destination of a route is an address with a prefix length, such as "
          "10.0.0.0/8 or fd00::/64, not here");
    fails("\nroute 10.0.0.0/8 dev a", "t.conf:2: dev of route: there is no interface a");
    fails("port a { device tap } interface a { table 1 }\nroute 10.0.0.0/8 dev a",
          "t.conf:2: the route is in table 0, but its interface a in table 1");
    fails("namespace x { interface a }", "t.conf:1: namespace x: there is no interface a");
    fails("namespace x { } namespace x { }", "t.conf:1: namespace x is there twice");
}

Test(config, packets_fit_memory_however_given)
{
    const char *texts[] = {
        "dpdk { memory 32m }", "dpdk { memory 4g }", "dpdk { small-packets 65536 }", "dpdk { big-packets 4096 }",
        "dpdk { memory 512m small-packets 512 }", "port a { device tap }",
        "dpdk { memory 600m big-packets 4096 small-packets 65536 }", "dpdk { hugepages memory 1g }",
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(texts); i++) {
        struct stack_config *cfg = parse(texts[i]);
        unsigned n_small, n_big;
        config_packets(cfg, &n_small, &n_big);
        cr_assert_geq(n_small, 64, "%s: %u small", texts[i], n_small);
        cr_assert_geq(n_big, 16, "%s: %u big", texts[i], n_big);
        cr_assert_leq((uint64_t)n_small * (cfg->dpdk.hugepages ? 2528 : 4096) + (uint64_t)n_big * 69632, config_memory(cfg), "%s", texts[i]);
        config_free(cfg);
    }
}

Test(config, file_errors)
{
    struct stack_config *cfg = NULL;
    char err[CONF_ERROR_MAX];

    cr_assert_eq(config_load("/nonexistent/x.conf", &cfg, err, sizeof(err)), -ENOENT);
    cr_assert_str_eq(err, "/nonexistent/x.conf: No such file or directory");
}
