/* tcp_path_test.c - a stream over whole stacks and a path that loses or is narrow: what the congestion controls make of it */
#include "tests/unit/core/core_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include "server/tcp/tcp_cc.h"

enum { DELAY_US = 10000 };

static unsigned seed = 7;      /* also of the time at which the clocks begin */
static struct core_fixture fx; /* criterion runs each test in a process of its own */
static struct sim_app *client, *server;
static struct sim_sock *from, *to;

static uint64_t counter(unsigned stack, enum tcp_counter c) { return tcp_worker_of(fx.stack[stack]->worker[0])->counters[c]; }

static void begin(const char *cc, const struct sim_params *link, const char *to_ip)
{
    struct sim_app_options opt = { .rx_max = 4 << 20, .tx_max = 4 << 20 };
    struct ip_endpoint e = core_endpoint(to_ip, 80);
    struct sim_sock *l;

    core_eal_init();
    core_fixture_make(&fx, seed, 1, link);
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_config cfg;

        tcp_config_defaults(&cfg);
        cfg.cc_algo = cc;
        cr_assert_eq(tcp_worker_config(fx.stack[i]->worker[0], &cfg), 0);
        cr_assert_eq(sim_app_create(fx.stack[i]->worker[0], &opt, i ? &server : &client), 0);
    }
    core_run(&fx, 1000); /* the workers' clocks */
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 4, &l), 0);
    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &from), 0);
    for (int i = 0; i < 10000 && !(to = sim_accept(l)); i++)
        core_run(&fx, 10000);
    cr_assert_not_null(to);
}

static void end(void)
{
    sim_app_destroy(client);
    sim_app_destroy(server);
    core_fixture_end(&fx);
}

/* Sends for so long; bits a second that arrived. */
static double send_for(uint64_t us)
{
    uint64_t until = sim_net_now_us(fx.net) + us, before = to->read;

    while (sim_net_now_us(fx.net) < until) {
        sim_write_pattern(from, 3, 1 << 20);
        core_run(&fx, 1000);
        cr_assert_neq(sim_read_check(to, 3, 4 << 20), -EILSEQ);
    }
    return (double)(to->read - before) * 8 * 1e6 / (double)us;
}

/* Random loss and nothing else: the reductions were right, and the window follows the loss. 1.22 / sqrt(p) segments (RFC 3649 s2) a
 * round trip are 7 Mbit/s here; a sender that takes reductions back has ten times as much. */
static void random_loss(const char *cc, const char *ip)
{
    const struct sim_params link = { .loss_ppm = 10000, .delay_us = DELAY_US, .bits_per_s = 100000000, .queue_frames = 300 };
    double bits;

    begin(cc, &link, ip);
    bits = send_for(20000000);
    cr_assert_gt(counter(0, TCP_C_fast_recoveries), 50);
    cr_assert_leq(counter(0, TCP_C_undo_eifel), 2, "%lu", counter(0, TCP_C_undo_eifel)); /* where only the ACK was lost */
    cr_assert_leq(counter(0, TCP_C_undo_frto), 2, "%lu", counter(0, TCP_C_undo_frto));
    cr_assert_lt(bits, 14e6, "%.1f Mbit/s", bits / 1e6);
    cr_assert_gt(bits, 4e6, "%.1f Mbit/s", bits / 1e6);
    end();
}

Test(tcp_path, cubic_follows_random_loss_v4) { random_loss("cubic", "10.7.0.2"); }
Test(tcp_path, cubic_follows_random_loss_v6) { random_loss("cubic", "fd07::2"); }
Test(tcp_path, newreno_follows_random_loss_v4) { random_loss("newreno", "10.7.0.2"); }
Test(tcp_path, newreno_follows_random_loss_v6) { random_loss("newreno", "fd07::2"); }

/* BBR by its model: loss does not slow it down, and of a narrow path it takes nearly all, with next to no queue. */
static void bbr_takes(const struct sim_params *link, const char *ip, double bits_least, uint32_t srtt_most_us)
{
    double bits;

    begin("bbr", link, ip);
    send_for(3000000); /* STARTUP and DRAIN */
    bits = send_for(20000000);
    cr_assert_gt(bits, bits_least, "%.1f Mbit/s", bits / 1e6);
    cr_assert_lt(tcp_of_base(from->session->conn)->srtt_us, srtt_most_us, "%u us", tcp_of_base(from->session->conn)->srtt_us);
    end();
}

static const struct sim_params narrow = { .delay_us = DELAY_US, .bits_per_s = 20000000, .queue_frames = 200 };
static const struct sim_params lossy = { .loss_ppm = 20000, .delay_us = DELAY_US, .bits_per_s = 100000000, .queue_frames = 300 };

Test(tcp_path, bbr_fills_a_narrow_path_without_a_queue_v4) { bbr_takes(&narrow, "10.7.0.2", 17e6, 3 * DELAY_US); }
Test(tcp_path, bbr_fills_a_narrow_path_without_a_queue_v6) { bbr_takes(&narrow, "fd07::2", 17e6, 3 * DELAY_US); }
Test(tcp_path, bbr_is_not_slowed_by_random_loss_v4) { bbr_takes(&lossy, "10.7.0.2", 75e6, 3 * DELAY_US); }
Test(tcp_path, bbr_is_not_slowed_by_random_loss_v6) { bbr_takes(&lossy, "fd07::2", 75e6, 3 * DELAY_US); }

/* SO_MAX_PACING_RATE: the rate is kept to, and packets come evenly: no queue stands where the path is just that wide. */
static void paced(const char *cc, const char *ip)
{
    const struct sim_params link = { .delay_us = DELAY_US, .bits_per_s = 9000000, .queue_frames = 12 };
    int32_t units = 1000000 / TCP_PACE_UNIT, none = 0;
    double bits;

    begin(cc, &link, ip);
    cr_assert_eq(session_attr_set(fx.stack[0]->worker[0], from->session, SVM_ATTR_MAX_PACING, &units, sizeof(units)), 0);
    send_for(1000000);
    bits = send_for(5000000);
    cr_assert_lt(bits, 8e6, "%.2f Mbit/s of data at 8 Mbit/s with headers", bits / 1e6);
    cr_assert_gt(bits, 7.3e6, "%.2f Mbit/s", bits / 1e6);
    cr_assert_eq(counter(0, TCP_C_retransmits), 0, "a burst has overflowed the queue");
    cr_assert_eq(session_attr_set(fx.stack[0]->worker[0], from->session, SVM_ATTR_MAX_PACING, &none, sizeof(none)), 0);
    bits = send_for(5000000);
    cr_assert_gt(bits, 8.1e6, "%.2f Mbit/s without limit", bits / 1e6);
    end();
}

Test(tcp_path, paced_by_the_program_v4) { paced("cubic", "10.7.0.2"); }
Test(tcp_path, paced_by_the_program_v6) { paced("cubic", "fd07::2"); }
/* Wherever the 32-bit clocks stand when the first packet is sent. */
Test(tcp_path, paced_at_another_time_1) { seed = 1, paced("cubic", "10.7.0.2"); }
Test(tcp_path, paced_at_another_time_2) { seed = 2, paced("cubic", "fd07::2"); }
Test(tcp_path, paced_at_another_time_3) { seed = 3, paced("cubic", "fd07::2"); }
Test(tcp_path, paced_at_another_time_4) { seed = 4, paced("bbr", "10.7.0.2"); }
Test(tcp_path, bbr_paced_by_the_program) { paced("bbr", "10.7.0.2"); }

/* TCP_CONGESTION of a listener holds for what it accepts, as on Linux; set before connect() it holds, too. */
static void congestion_by_socket(const char *ip)
{
    struct ip_endpoint e = core_endpoint(ip, 81);
    struct sim_sock *l, *c, *s;

    begin("cubic", NULL, ip);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 4, &l), 0);
    cr_assert_eq(session_attr_set(fx.stack[1]->worker[0], l->session, SVM_ATTR_CONGESTION, "bbr", 4), 0);
    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &c), 0);
    cr_assert_eq(session_attr_set(fx.stack[0]->worker[0], c->session, SVM_ATTR_CONGESTION, "reno", 5), 0);
    cr_assert_eq(session_attr_set(fx.stack[0]->worker[0], c->session, SVM_ATTR_CONGESTION, "vegas", 6), -ENOENT);
    core_run(&fx, 100000);
    s = sim_accept(l);
    cr_assert(c->connected && s);
    cr_assert_str_eq(tcp_of_base(s->session->conn)->cc->name, "bbr");
    cr_assert_gt(tcp_of_base(s->session->conn)->pace_rate, 0);
    cr_assert_str_eq(tcp_of_base(c->session->conn)->cc->name, "newreno");
    cr_assert_str_eq(tcp_of_base(from->session->conn)->cc->name, "cubic");
    end();
}

Test(tcp_path, congestion_control_of_a_socket_v4) { congestion_by_socket("10.7.0.2"); }
Test(tcp_path, congestion_control_of_a_socket_v6) { congestion_by_socket("fd07::2"); }

/* Set before connect(), it holds for the first SYN: the other side knows it before anything else was sent. */
static void options_of_the_first_syn(const char *ip)
{
    struct ip_endpoint e = core_endpoint(ip, 81);
    struct sim_sock *l, *c, *s;
    const struct tcp_conn *theirs;
    int32_t v = 0;
    uint32_t len = sizeof(v);

    begin("cubic", NULL, ip);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 4, &l), 0);
    cr_assert_eq(sim_app_connect_attr(client, SVM_ATTR_MSS, 700), 0);
    cr_assert_eq(sim_app_connect_attr(client, SVM_ATTR_RX_FIFO, 16384), 0);
    cr_assert_eq(sim_app_connect_attr(client, SVM_ATTR_TTL, 33), 0);
    cr_assert_eq(sim_app_connect_attr(client, SVM_ATTR_TTL, 256), -EINVAL);
    cr_assert_eq(sim_app_connect_attr(client, SVM_ATTR_TCP_INFO, 1), -ENOPROTOOPT);
    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &c), 0);
    cr_assert_eq(session_attr_get(fx.stack[0]->worker[0], c->session, SVM_ATTR_TTL, &v, &len), 0);
    cr_assert_eq(v, 33);
    core_run(&fx, 100000);
    s = sim_accept(l);
    cr_assert(c->connected && s);
    theirs = tcp_of_base(s->session->conn);
    cr_assert_eq(theirs->peer_mss, 700, "%u", theirs->peer_mss);
    cr_assert_eq(theirs->snd_wscale, 0, "of 16 KiB, not of what the FIFO could have been: %u", theirs->snd_wscale);
    cr_assert_leq(theirs->snd_wnd, 16384, "%u", theirs->snd_wnd);
    cr_assert_eq(tcp_of_base(from->session->conn)->user_mss, 0, "who connected before has it not");
    end();
}

/* A bound socket, and a listener: what it has for a buffer when the handshake begins. */
static void receive_buffer_before_the_handshake(const char *ip, const char *own)
{
    struct ip_endpoint e = core_endpoint(ip, 81), from_there = core_endpoint(own, 4444);
    struct worker *w;
    int32_t size = 16384, negative = -1;
    struct sim_sock *l, *c, *s;

    begin("cubic", NULL, ip);
    w = fx.stack[0]->worker[0];
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 4, &l), 0);
    cr_assert_eq(session_attr_set(fx.stack[1]->worker[0], l->session, SVM_ATTR_RX_FIFO, &size, sizeof(size)), 0);
    cr_assert_eq(session_attr_set(fx.stack[1]->worker[0], l->session, SVM_ATTR_RX_FIFO, &negative, sizeof(negative)), -EINVAL);
    cr_assert_eq(sim_bind(client, SVM_PROTO_TCP, &from_there, &c), 0);
    cr_assert_eq(session_attr_set(w, c->session, SVM_ATTR_RX_FIFO, &size, sizeof(size)), 0);
    cr_assert_eq(sim_reconnect(c, &e), 0);
    core_run(&fx, 100000);
    s = sim_accept(l);
    cr_assert(s && s->session->conn && c->session->conn);
    cr_assert_eq(tcp_of_base(s->session->conn)->snd_wscale, 0);
    cr_assert_eq(tcp_of_base(c->session->conn)->snd_wscale, 0);
    cr_assert_leq(tcp_of_base(s->session->conn)->snd_wnd, 16384);
    end();
}

Test(tcp_path, receive_buffer_before_the_handshake_v4) { receive_buffer_before_the_handshake("10.7.0.2", "10.7.0.1"); }
Test(tcp_path, receive_buffer_before_the_handshake_v6) { receive_buffer_before_the_handshake("fd07::2", "fd07::1"); }

Test(tcp_path, options_of_the_first_syn_v4) { options_of_the_first_syn("10.7.0.2"); }
Test(tcp_path, options_of_the_first_syn_v6) { options_of_the_first_syn("fd07::2"); }
