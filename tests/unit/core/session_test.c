/* session_test.c - the session layer under real TCP: connect, accept, data, ends, moving of unaccepted sessions, ports */
#include "tests/unit/core/core_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server/session/session_internal.h"
#include "server/tcp/tcp_idle.h"

static struct core_fixture fx; /* criterion runs each test in a process of its own */
static struct sim_app *client, *server;

static void setup(void)
{
    core_eal_init();
    core_fixture_make(&fx, 42, 1, NULL);
    cr_assert_eq(sim_app_create(fx.stack[0]->worker[0], NULL, &client), 0);
    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], NULL, &server), 0);
}

static void teardown(void)
{
    if (client)
        sim_app_destroy(client);
    sim_app_destroy(server);
    core_fixture_end(&fx);
}

TestSuite(session, .init = setup, .fini = teardown);

static struct sim_sock *listen_on(struct sim_app *a, const char *ip, uint16_t port, uint32_t backlog)
{
    struct ip_endpoint e = core_endpoint(ip, port);
    struct sim_sock *s;

    cr_assert_eq(sim_listen(a, SVM_PROTO_TCP, &e, backlog, &s), 0);
    return s;
}

static struct sim_sock *connect_to(const char *ip, uint16_t port)
{
    struct ip_endpoint e = core_endpoint(ip, port);
    struct sim_sock *s;

    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &s), 0);
    return s;
}

static void both_ways(const char *bind_ip, const char *to_ip)
{
    struct sim_sock *l = listen_on(server, bind_ip, 80, 8), *c = connect_to(to_ip, 80), *s;
    uint64_t want = 1000000;

    core_run(&fx, 10000);
    cr_assert(c->connected);
    s = sim_accept(l);
    cr_assert_not_null(s);
    for (int i = 0; i < 5000 && (s->read < want || c->read < want); i++) {
        if (c->written < want)
            sim_write_pattern(c, 1, (uint32_t)(want - c->written));
        if (s->written < want)
            sim_write_pattern(s, 2, (uint32_t)(want - s->written));
        core_run(&fx, 200);
        cr_assert_neq(sim_read_check(s, 1, 1 << 20), -EILSEQ);
        cr_assert_neq(sim_read_check(c, 2, 1 << 20), -EILSEQ);
    }
    cr_assert_eq(s->read, want, "%lu of %lu, written %lu", s->read, want, c->written);
    cr_assert_eq(c->read, want, "%lu of %lu, written %lu", c->read, want, s->written);
    sim_shutdown(c, SHUT_WR);
    core_run(&fx, 100000);
    cr_assert(sim_at_eof(s));
    cr_assert_gt(sim_write_pattern(s, 2, 100), 0, "the other direction stays open");
    core_run(&fx, 10000);
    cr_assert_eq(sim_read_check(c, 2, 1000), 100);
    sim_close(s, -1);
    core_run(&fx, 10000);
    cr_assert(sim_at_eof(c));
    sim_close(c, -1);
    core_run(&fx, 1000000);
    cr_assert(c->is_closed);
    cr_assert(s->is_closed);
}

Test(session, both_ways_v4) { both_ways("10.7.0.2", "10.7.0.2"); }
Test(session, both_ways_v6) { both_ways("fd07::2", "fd07::2"); }
Test(session, v4_to_v6_wildcard) { both_ways("::", "10.7.0.2"); }
Test(session, v4_wildcard) { both_ways("0.0.0.0", "10.7.0.2"); }

Test(session, exact_address_goes_before_wildcard)
{
    struct sim_sock *any = listen_on(server, "::", 90, 4), *exact, *other;
    struct ip_endpoint e = core_endpoint("10.7.0.2", 90);

    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 4, &exact), -EADDRINUSE, "the IPv6 wildcard holds the IPv4 port too");
    sim_close(any, -1);
    exact = listen_on(server, "10.7.0.2", 90, 4);
    other = listen_on(server, "fd07::2", 90, 4);
    connect_to("10.7.0.2", 90);
    core_run(&fx, 10000);
    cr_assert_not_null(sim_accept(exact));
    cr_assert_null(sim_accept(other));
}

Test(session, refused_when_nobody_listens)
{
    struct sim_sock *c = connect_to("10.7.0.2", 81);

    core_run(&fx, 10000);
    cr_assert(c->connect_done);
    cr_assert_eq(c->connect_error, -ECONNREFUSED);
    cr_assert_eq(sim_write(c, "x", 1), -ECONNREFUSED);
}

Test(session, no_route_and_bad_bind)
{
    struct ip_endpoint e = core_endpoint("192.0.2.1", 80);
    struct sim_sock *s;

    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &s), -ENETUNREACH);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 1, &s), -EADDRNOTAVAIL);
    cr_assert_eq(sim_app_n_socks(client), 0);
}

/* A program that dies: what it had written arrives, then the stream ends; nothing of it is left. */
Test(session, death_sends_what_was_written)
{
    struct sim_sock *l = listen_on(server, "0.0.0.0", 80, 8), *c = connect_to("10.7.0.2", 80), *s;

    core_run(&fx, 10000);
    s = sim_accept(l);
    cr_assert_eq(sim_write_pattern(c, 1, 50000), 50000);
    sim_app_destroy(client);
    client = NULL;
    for (int i = 0; i < 100 && !sim_at_eof(s); i++) {
        core_run(&fx, 1000);
        cr_assert_neq(sim_read_check(s, 1, 1 << 20), -EILSEQ);
    }
    cr_assert_eq(s->read, 50000);
    cr_assert(sim_at_eof(s));
    sim_close(s, -1);
    core_run(&fx, 1000000);
    cr_assert_eq(session_count(fx.stack[0]->worker[0]), 0);
    cr_assert_eq(sim_app_create(fx.stack[0]->worker[0], NULL, &client), 0);
}

/* Nobody accepts yet: connections are established, their bytes wait in the server, and the first who accepts gets all. */
Test(session, waits_until_somebody_accepts)
{
    struct sim_app_options opt = { .no_auto_accept = true, .client_id = 5 };
    struct ip_endpoint e = core_endpoint("0.0.0.0", 82);
    struct sim_app *late;
    struct sim_sock *l, *c, *s;

    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], &opt, &late), 0);
    cr_assert_eq(sim_listen(late, SVM_PROTO_TCP, &e, 8, &l), 0);
    c = connect_to("10.7.0.2", 82);
    core_run(&fx, 10000);
    cr_assert(c->connected);
    cr_assert_eq(sim_write_pattern(c, 3, 30000), 30000);
    sim_shutdown(c, SHUT_WR);
    core_run(&fx, 50000);
    cr_assert_null(sim_accept(l));
    session_listener_arm(fx.stack[1]->worker[0], sim_app_worker(late), l->session, 0, SESSION_ARM_ON);
    core_run(&fx, 1000);
    s = sim_accept(l);
    cr_assert_not_null(s);
    int64_t got = sim_read_check(s, 3, 1 << 20);
    cr_assert_eq(got, 30000, "%ld", got);
    cr_assert(sim_at_eof(s));
    sim_app_destroy(late);
}

/* Who accepts no more keeps nothing that it has not named: others have it, bytes and all, or itself by its next arming. */
static void offered_anew(const char *any, const char *ip, bool is_reset)
{
    struct sim_sock *l = listen_on(server, any, 87, 8), *c = connect_to(ip, 87), *s;
    struct worker *w = fx.stack[1]->worker[0];

    core_run(&fx, 10000);
    cr_assert_eq(sim_write_pattern(c, 3, 30000), 30000);
    core_run(&fx, 50000);
    if (is_reset) {
        sim_close(c, 0);
        core_run(&fx, 10000);
    }
    session_listener_arm(w, sim_app_worker(server), l->session, 0, SESSION_ARM_OFF);
    core_run(&fx, 10000);
    cr_assert_null(sim_accept(l), "it is offered still");
    session_listener_arm(w, sim_app_worker(server), l->session, 0, SESSION_ARM_ON);
    core_run(&fx, 10000);
    s = sim_accept(l);
    cr_assert_not_null(s);
    cr_assert_eq(s->is_reset, is_reset);
    cr_assert(is_reset || sim_read_check(s, 3, 1 << 20) == 30000);
    cr_assert_null(sim_accept(l), "it is offered twice");
}
Test(session, what_is_not_named_goes_to_others_v4) { offered_anew("0.0.0.0", "10.7.0.2", false); }
Test(session, what_is_not_named_goes_to_others_v6) { offered_anew("::", "fd07::2", false); }
Test(session, what_was_reset_unnamed_goes_to_others_v4) { offered_anew("0.0.0.0", "10.7.0.2", true); }
Test(session, what_was_reset_unnamed_goes_to_others_v6) { offered_anew("::", "fd07::2", true); }

/* Two programs accept from one listener. */
static struct turn {
    struct app_ops ops;
    enum app_presence presence;
    bool has_taken;
    struct session *offered;
} turns[2];

static struct turn *turn_of(const struct app_worker *a) { return &turns[a->client_id == 5]; }
static enum app_presence turn_presence(struct worker *w, struct app_worker *a) { return (void)w, turn_of(a)->presence; }
static bool turn_withdraw(struct worker *w, struct app_worker *a, struct session *s)
{
    (void)w;
    cr_assert_eq(turn_of(a)->offered, s);
    return !turn_of(a)->has_taken;
}
static void turn_accept(struct worker *w, struct app_worker *a, struct listener *l, struct session *s)
{
    (void)w;
    (void)l;
    cr_assert_null(turn_of(a)->offered, "one at a time");
    turn_of(a)->offered = s;
}
static void turn_closed(struct worker *w, struct app_worker *a, struct session *s)
{
    (void)w;
    if (turn_of(a)->offered == s)
        turn_of(a)->offered = NULL;
}

static struct app_worker *take_turns(struct sim_app *app, enum app_presence presence)
{
    struct app_worker *a = sim_app_worker(app);
    struct turn *t = turn_of(a);

    *t = (struct turn){ .ops = *a->ops, .presence = presence };
    t->ops.presence = turn_presence;
    t->ops.withdraw = turn_withdraw;
    t->ops.accept = turn_accept;
    t->ops.closed = turn_closed;
    a->ops = &t->ops;
    return a;
}

/* Two processes accept from a listener at `any`, which the first one made, and somebody connects to `ip`. */
struct acceptors {
    struct sim_sock *l;
    struct app_worker *first, *second;
    struct sim_app *other;           /* the second's */
};
static void two_accept(struct acceptors *t, const char *any, const char *ip, uint16_t port, enum app_presence first, enum session_arm arm)
{
    struct sim_app_options opt = { .no_auto_accept = true, .client_id = 5 };

    t->l = listen_on(server, any, port, 8);
    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], &opt, &t->other), 0);
    t->first = take_turns(server, first);
    t->second = take_turns(t->other, APP_HERE);
    session_listener_arm(fx.stack[1]->worker[0], t->second, t->l->session, 0, arm);
    connect_to(ip, port);
}
static void two_end(struct acceptors *t)
{
    session_listener_arm(fx.stack[1]->worker[0], t->second, t->l->session, 0, SESSION_ARM_OFF);
    sim_app_destroy(t->other);
}

/* A connection goes to who waits for one; that does something else and has not taken it when the other one begins to wait. */
static void is_passed_on(const char *any, const char *ip, bool has_taken)
{
    struct acceptors t;

    two_accept(&t, any, ip, 88, APP_ACCEPTS, SESSION_ARM_ON);
    core_run(&fx, 10000);
    cr_assert_not_null(turn_of(t.first)->offered);
    turn_of(t.first)->presence = APP_HERE;
    turn_of(t.first)->has_taken = has_taken;
    core_run(&fx, 10000);
    cr_assert_not_null(turn_of(t.first)->offered, "nobody waits");
    turn_of(t.second)->presence = APP_ACCEPTS;
    core_run(&fx, 10000);
    cr_assert_eq(turn_of(t.first)->offered != NULL, has_taken);
    cr_assert_eq(turn_of(t.second)->offered != NULL, !has_taken);
    if (!has_taken) { /* nobody waits for long: the other one may look all the same */
        turn_of(t.second)->presence = APP_HERE;
        core_run(&fx, 150000);
        cr_assert_not_null(turn_of(t.first)->offered);
        cr_assert_null(turn_of(t.second)->offered);
        turn_of(t.second)->presence = APP_FULL;
        core_run(&fx, 150000);
        cr_assert_not_null(turn_of(t.first)->offered, "the other one can be offered nothing");
    }
    two_end(&t);
}
Test(session, what_is_not_taken_goes_to_who_waits_v4) { is_passed_on("0.0.0.0", "10.7.0.2", false); }
Test(session, what_is_not_taken_goes_to_who_waits_v6) { is_passed_on("::", "fd07::2", false); }
Test(session, what_is_taken_stays_v4) { is_passed_on("0.0.0.0", "10.7.0.2", true); }
Test(session, what_is_taken_stays_v6) { is_passed_on("::", "fd07::2", true); }

/* Who accepts weakly is offered nothing because who really does has as much as it can have: that one gets it when it has room. */
static void waits_for_room(const char *any, const char *ip)
{
    struct acceptors t;

    two_accept(&t, any, ip, 89, APP_FULL, SESSION_ARM_WEAK);
    core_run(&fx, 50000);
    cr_assert_null(turn_of(t.first)->offered);
    cr_assert_null(turn_of(t.second)->offered);
    turn_of(t.first)->presence = APP_HERE;
    core_run(&fx, 10000);
    cr_assert_not_null(turn_of(t.first)->offered, "nobody looks after it");
    two_end(&t);
}
Test(session, who_has_no_room_gets_it_later_v4) { waits_for_room("0.0.0.0", "10.7.0.2"); }
Test(session, who_has_no_room_gets_it_later_v6) { waits_for_room("::", "fd07::2"); }

/* Closing a listener resets what nobody has accepted, and leaves what was accepted alone. */
Test(session, listener_close)
{
    struct sim_sock *l = listen_on(server, "0.0.0.0", 83, 8), *c[2], *s;

    c[0] = connect_to("10.7.0.2", 83);
    core_run(&fx, 10000);
    s = sim_accept(l);
    session_listener_arm(fx.stack[1]->worker[0], sim_app_worker(server), l->session, 0, SESSION_ARM_OFF);
    c[1] = connect_to("10.7.0.2", 83);
    core_run(&fx, 10000);
    cr_assert(c[1]->connected);
    sim_close(l, -1);
    core_run(&fx, 10000);
    cr_assert(c[1]->is_reset);
    cr_assert_eq(c[1]->reset_error, -ECONNRESET);
    cr_assert_not(c[0]->is_reset);
    cr_assert_eq(sim_write_pattern(c[0], 1, 10), 10);
    core_run(&fx, 10000);
    cr_assert_eq(sim_read_check(s, 1, 100), 10);
}

/* Ports to one destination are all different and in the ephemeral range; where they begin differs by destination (RFC 6056). The
 * places are drawn at random, so that one destination in 45 may begin among the first one's ports: of eight, not four. */
Test(session, ephemeral_ports)
{
    static bool seen[65536];
    uint16_t first_v4 = 0;
    int n_among = 0;

    listen_on(server, "0.0.0.0", 80, 400);
    for (int i = 0; i < 300; i++) {
        struct sim_sock *c = connect_to("10.7.0.2", 80);
        uint16_t port = be16_get(c->session->lcl.port);
        cr_assert_geq(port, 32768);
        cr_assert_leq(port, 60999);
        cr_assert_not(seen[port], "port %u twice", port);
        seen[port] = true;
        first_v4 = i ? first_v4 : port;
        core_run(&fx, 1000);
    }
    for (uint16_t dst = 90; dst < 98; dst++) {
        uint16_t port = be16_get(connect_to(dst & 1 ? "10.7.0.2" : "fd07::2", dst)->session->lcl.port);
        n_among += port >= first_v4 && port <= first_v4 + 310;
    }
    cr_assert_lt(n_among, 4, "%d of 8 destinations go on at %u, where the first one began", n_among, first_v4);
}

/* A program that has read all and closes ends the stream in order, however large its FIFO may become; one that has not read all
 * resets it (RFC 9293 SHLD-3). */
Test(session, close_with_large_fifo)
{
    struct sim_app_options opt = { .rx_max = 4 << 20, .client_id = 7 };
    struct ip_endpoint e = core_endpoint("0.0.0.0", 85);
    struct sim_app *big;
    struct sim_sock *l, *c, *s;

    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], &opt, &big), 0);
    cr_assert_eq(sim_listen(big, SVM_PROTO_TCP, &e, 8, &l), 0);
    for (int all = 0; all < 2; all++) {
        c = connect_to("10.7.0.2", 85);
        core_run(&fx, 10000);
        s = sim_accept(l);
        sim_write_pattern(c, 1, 60000);
        core_run(&fx, 100000);
        cr_assert_eq(sim_readable(s), 60000, "a first flight is kept while nobody reads");
        sim_read_check(s, 1, all ? 60000 : 59999);
        sim_close(s, -1);
        core_run(&fx, 10000);
        cr_assert_eq(c->is_reset, !all);
        cr_assert(all ? sim_at_eof(c) : c->reset_error == -ECONNRESET);
    }
    sim_app_destroy(big);
}

/* SO_LINGER 0: the peer sees a reset, also with bytes unsent. */
Test(session, linger_zero_resets)
{
    struct sim_sock *l = listen_on(server, "0.0.0.0", 84, 8), *c = connect_to("10.7.0.2", 84), *s;

    core_run(&fx, 10000);
    s = sim_accept(l);
    sim_write_pattern(c, 1, 1000);
    sim_close(c, 0);
    core_run(&fx, 10000);
    cr_assert(c->is_closed);
    cr_assert(s->is_reset);
    cr_assert_eq(s->reset_error, -ECONNRESET);
}

/* ---- idle: the server's halves of the FIFOs go, and come again as they were ---- */

enum { QUIET_US = 4000000 };

static void say(struct sim_sock *from, struct sim_sock *to, uint32_t seed, uint32_t n)
{
    uint64_t want = to->read + n;

    cr_assert_eq(sim_write_pattern(from, seed, n), n);
    for (int i = 0; i < 100 && to->read < want; i++) {
        core_run(&fx, 1000);
        cr_assert_neq(sim_read_check(to, seed, 1 << 20), -EILSEQ);
    }
    cr_assert_eq(to->read, want);
}

static struct sim_sock *idle_pair(const char *to, uint16_t port, struct sim_sock **accepted)
{
    struct sim_sock *l = listen_on(server, to, port, 8), *c = connect_to(to, port);

    core_run(&fx, 10000);
    *accepted = sim_accept(l);
    say(c, *accepted, 1, 100);
    say(*accepted, c, 2, 30000);
    cr_assert(c->session->has_fifos && (*accepted)->session->has_fifos);
    core_run(&fx, QUIET_US);
    cr_assert(c->session->is_asleep && !c->session->fifos, "an idle session keeps no halves");
    cr_assert((*accepted)->session->is_asleep && !(*accepted)->session->fifos);
    return c;
}

static void idle_halves(const char *to)
{
    struct sim_sock *s, *c = idle_pair(to, 90, &s);

    cr_assert_leq(sizeof(struct session) + sizeof(struct tcp_idle_timed), 512, "all of the server's own memory for an idle connection");
    for (int i = 0; i < 3; i++) {
        say(c, s, 1, 30000);
        say(s, c, 2, 300);
        core_run(&fx, QUIET_US);
        cr_assert(c->session->is_asleep && s->session->is_asleep);
    }
    cr_assert_eq(sim_write_pattern(s, 2, 50), 50); /* that nobody reads for long */
    core_run(&fx, QUIET_US);
    cr_assert(c->session->has_fifos, "bytes that wait keep them");
    cr_assert_eq(sim_read_check(c, 2, 1 << 20), 50);
    sim_shutdown(c, SHUT_WR);
    core_run(&fx, 10000);
    cr_assert(sim_at_eof(s));
    sim_close(s, -1);
    sim_close(c, -1);
    core_run(&fx, 1000000);
    cr_assert(c->is_closed && s->is_closed);
}

Test(session, idle_halves_v4) { idle_halves("10.7.0.2"); }
Test(session, idle_halves_v6) { idle_halves("fd07::2"); }

Test(session, idle_one_is_reset)
{
    struct sim_sock *s, *c = idle_pair("10.7.0.2", 91, &s);

    sim_close(s, 0);
    core_run(&fx, 10000);
    cr_assert(s->is_closed && c->is_reset);
    cr_assert_eq(c->reset_error, -ECONNRESET);
    sim_close(c, -1);
    core_run(&fx, 10000);
    cr_assert(c->is_closed);
}

Test(session, idle_one_whose_program_dies)
{
    struct sim_sock *s, *c = idle_pair("10.7.0.2", 92, &s);

    sim_app_destroy(client);
    client = NULL;
    core_run(&fx, 10000);
    cr_assert(sim_at_eof(s));
    (void)c;
    sim_close(s, -1);
    core_run(&fx, 1000000);
    cr_assert_eq(session_count(fx.stack[0]->worker[0]), 0);
}

Test(session, idle_one_whose_user_lets_go_goes_on)
{
    struct sim_sock *s, *c = idle_pair("10.7.0.2", 93, &s);
    struct session *held = c->session;
    struct sim_app *other;
    uint8_t left[SESSION_KEPT], found[SESSION_KEPT] = { 0 };

    memset(left, 0x5a, sizeof(left)); /* what its transport leaves with it goes where its bytes go */
    cr_assert(held->is_asleep && session_keep(fx.stack[0]->worker[0], held, left));
    cr_assert_eq(sim_app_create(fx.stack[0]->worker[0], NULL, &other), 0);
    cr_assert_eq(session_hold(fx.stack[0]->worker[0], held, sim_app_worker(other), 1), 0);
    session_close(fx.stack[0]->worker[0], sim_app_worker(client), held, -1); /* its user lets go: the server keeps it */
    core_run(&fx, 10000);
    cr_assert(session_kept(fx.stack[0]->worker[0], held, found));
    cr_assert_arr_eq(found, left, sizeof(left));
    cr_assert_eq(sim_write_pattern(s, 2, 500), 500);
    core_run(&fx, 10000);
    cr_assert_eq(session_rx_unread(fx.stack[0]->worker[0], held), 500);
    sim_app_destroy(other);
}

/* All local ports but n are taken by bind(). */
static void leave_ports(const char *any, int n)
{
    struct session_bind_args args = { .proto = SVM_PROTO_TCP, .flags = SVM_CONN_SCOPE_GLOBAL | SVM_BIND_V6ONLY };
    struct session *s;

    for (int port = 32768 + n; port <= 60999; port++) {
        args.lcl = core_endpoint(any, (uint16_t)port);
        cr_assert_eq(session_bind(fx.stack[0]->worker[0], sim_app_worker(client), &args, &s), 0);
    }
}

static void close_both(struct sim_sock *c, struct sim_sock *s)
{
    sim_close(c, -1);
    core_run(&fx, 5000);
    sim_close(s, -1);
    core_run(&fx, 5000);
    cr_assert(c->is_closed && s->is_closed);
}

/* Its ports are all in TIME-WAIT: once timestamps tell old from new, they serve again (RFC 6191 s2). The peer is the same all along,
 * and has forgotten the old connections. */
static void reuse_of_time_wait(const char *any, const char *us, const char *to)
{
    enum { PORTS = 3 };
    struct sim_sock *l = listen_on(server, to, 80, 8), *c, *s;
    struct ip_endpoint rmt = core_endpoint(to, 80), lcl = core_endpoint(us, 32769);
    struct tcp_usage usage;

    leave_ports(any, PORTS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PORTS; i++) {
            c = connect_to(to, 80);
            core_run(&fx, 1000);
            s = sim_accept(l);
            cr_assert(c->connected && s, "round %d connection %d", round, i);
            cr_assert_eq(sim_write_pattern(c, 1, 5000), 5000);
            core_run(&fx, 5000);
            cr_assert_eq(sim_read_check(s, 1, 5000), 5000);
            close_both(c, s);
        }
        tcp_worker_usage(fx.stack[0]->worker[0], &usage);
        cr_assert_eq(usage.n_time_wait, PORTS);
        cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &rmt, &c), -EADDRNOTAVAIL, "too early");
        cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, &lcl, &rmt, &c), -EADDRNOTAVAIL, "too early, a port by name");
        core_run(&fx, 1000000);
    }
    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, &lcl, &rmt, &c), 0);
    core_run(&fx, 1000);
    cr_assert(c->connected);
}

Test(session, connect_reuses_ports_in_time_wait_v4) { reuse_of_time_wait("0.0.0.0", "10.7.0.1", "10.7.0.2"); }
Test(session, connect_reuses_ports_in_time_wait_v6) { reuse_of_time_wait("::", "fd07::1", "fd07::2"); }

/* Both ends on one worker find each other by place: places are taken again and again by others, in any order, and no byte goes astray. */
static void inside_one_worker(const char *ip)
{
    enum { N = 24, ROUNDS = 40 };
    struct sim_sock *l = listen_on(client, ip, 80, N), *c[N] = { NULL }, *s[N];
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if (c[i] && seed >> 63) {
                sim_sock_free(c[i]);
                core_run(&fx, 200);
                sim_sock_free(s[i]);
                c[i] = NULL;
            }
            if (c[i])
                continue;
            c[i] = connect_to(ip, 80);
            core_run(&fx, 200);
            s[i] = sim_accept(l);
            cr_assert(c[i]->connected && s[i]);
        }
        for (int i = 0; i < N; i++) {
            cr_assert_eq(sim_write_pattern(c[i], (uint32_t)i, 100), 100);
            cr_assert_eq(sim_write_pattern(s[i], (uint32_t)i + N, 3000), 3000);
        }
        core_run(&fx, 100000); /* the ACK of the last round's bytes may be delayed, and Nagle waits for it */
        for (int i = 0; i < N; i++) {
            cr_assert_eq(sim_read_check(s[i], (uint32_t)i, 1000), 100, "round %d, %d", round, i);
            cr_assert_eq(sim_read_check(c[i], (uint32_t)i + N, 5000), 3000, "round %d, %d", round, i);
        }
    }
}

Test(session, inside_one_worker_v4) { inside_one_worker("10.7.0.1"); }
Test(session, inside_one_worker_v6) { inside_one_worker("fd07::1"); }

static bool put_rest(struct sim_sock *s)
{
    uint32_t id;
    int fd = memfd_create("rest", MFD_CLOEXEC);
    int rc = session_rest_put(s->session, s->session->app, fd, &id);

    if (rc < 0)
        close(fd);
    return rc == 0;
}

/* SVM_ATT_REST: descriptors that a program makes the server keep; one more only for one less. */
Test(session, kept_bytes_of_former_peers_are_bounded)
{
    enum { MAX = 256 };
    struct ip_endpoint any = core_endpoint("10.7.0.2", 0);
    struct sim_sock *u[MAX + 1];

    for (unsigned i = 0; i <= MAX; i++) {
        any.port = be16_of((uint16_t)(5000 + i));
        cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &any, 1, &u[i]), 0);
        cr_assert_eq(put_rest(u[i]), i < MAX, "%u", i);
    }
    cr_assert(put_rest(u[3]), "in the place of its own");
    cr_assert_not(put_rest(u[MAX]));
    int fd = u[7]->session->rare->rest_fd - 1;
    session_rest_drop(u[7]->session);
    cr_assert_eq(fcntl(fd, F_GETFD), -1, "closed");
    cr_assert(put_rest(u[MAX]));
    cr_assert_not(put_rest(u[7]));
    fd = u[9]->session->rare->rest_fd - 1;
    sim_sock_free(u[9]);
    core_run(&fx, 1000);
    cr_assert_eq(fcntl(fd, F_GETFD), -1, "goes with its session");
    cr_assert(put_rest(u[7]));
}

static void exchange(struct sim_sock *from, struct sim_sock *to, uint32_t n, uint32_t *seed)
{
    cr_assert_eq(sim_write_pattern(from, *seed, n), n);
    core_run(&fx, 300);
    cr_assert_eq(sim_read_check(to, *seed, n + 1), n);
}

/* The line where a program says what it has read is asked for when the window may move by it, and not for each segment. */
static void short_exchanges(const char *bind_ip, const char *to_ip)
{
    struct sim_sock *l = listen_on(server, bind_ip, 80, 8), *c = connect_to(to_ip, 80), *s;
    uint32_t ask = 1, answer = 2;

    core_run(&fx, 10000);
    s = sim_accept(l);
    cr_assert(c->connected && s);
    exchange(c, s, 64, &ask);
    exchange(s, c, 64, &answer);
    core_run(&fx, 100000);
    cr_assert_eq(s->session->fifos->rx.tail, 64);
    cr_assert_eq(s->session->fifos->rx.head_seen, 0, "nobody had to know");
    cr_assert_eq(c->session->fifos->rx.head_seen, 0);
    for (int i = 0; i < 500; i++) { /* several times the modest window, at no moment much of it unread */
        exchange(c, s, 1000, &ask);
        exchange(s, c, 700, &answer);
    }
    cr_assert_gt(s->session->fifos->rx.head_seen, 400000);
    cr_assert_gt(c->session->fifos->rx.head_seen, 250000);
}

Test(session, short_exchanges_v4) { short_exchanges("10.7.0.2", "10.7.0.2"); }
Test(session, short_exchanges_v6) { short_exchanges("fd07::2", "fd07::2"); }

Test(session, steady_window)
{
    struct sim_sock *l = listen_on(server, "10.7.0.2", 80, 8), *s;

    connect_to("10.7.0.2", 80);
    core_run(&fx, 10000);
    s = sim_accept(l);
    cr_assert(session_rx_is_steady(s->session, 65000, 1000));
    cr_assert_not(session_rx_is_steady(s->session, 64000, 1000), "it may have become larger by so much");
    s->session->rd_closed = true;
    cr_assert_not(session_rx_is_steady(s->session, 65000, 1000), "all of the FIFO is offered");
    s->session->rd_closed = false;
    session_rx_is_stream(s->session);
    cr_assert_not(session_rx_is_steady(s->session, 65000, 1000));
    s->session->rx_streams = false;
    s->session->fifos->rx.head_seen = s->session->fifos->rx.tail - s->session->fifos->rx.max_size / 2 - 1;
    cr_assert_not(session_rx_is_steady(s->session, 65000, 1000), "the program may be behind");
}

/* However fast it comes and however large the FIFO may become, who asks for that promises 64 KiB at a time: what is kept unread is the ring of
 * the busy time and one more, where it would be all that the peer sends. */
static void modest_window(const char *bind_ip, const char *to_ip)
{
    struct sim_app_options opt = { .rx_max = 4 << 20, .client_id = 7 };
    struct ip_endpoint e = core_endpoint(bind_ip, 85);
    struct worker *w = fx.stack[1]->worker[0];
    struct sim_sock *l, *c, *s;
    struct sim_app *big;

    cr_assert_eq(sim_app_create(w, &opt, &big), 0);
    cr_assert_eq(sim_listen(big, SVM_PROTO_TCP, &e, 8, &l), 0);
    c = connect_to(to_ip, 85);
    core_run(&fx, 10000);
    s = sim_accept(l);
    cr_assert(c->connected && s);
    session_rx_modest(s->session, true);
    for (int i = 0; i < 20; i++) {
        sim_write_pattern(c, 1, 60000);
        core_run(&fx, 1000);
        sim_read_check(s, 1, (uint32_t)sim_readable(s)); /* it comes fast, and is read at once */
    }
    for (int i = 0; i < 20; i++) {
        sim_write_pattern(c, 1, 60000);
        core_run(&fx, 10000);
    }
    cr_assert_lt(sim_readable(s), 400000);
    sim_app_destroy(big);
}

Test(session, modest_window_v4) { modest_window("10.7.0.2", "10.7.0.2"); }
Test(session, modest_window_v6) { modest_window("fd07::2", "fd07::2"); }

/* ---- what streams share ---- */

enum { STREAMS = 32, FULL_SIZE = 4 << 20 };

static struct sim_app *streams_begin(const char *bind_ip, const char *to_ip, struct sim_sock **c, struct sim_sock **s, unsigned n)
{
    struct sim_app_options opt = { .rx_max = FULL_SIZE, .client_id = 7 };
    struct ip_endpoint e = core_endpoint(bind_ip, 86);
    struct sim_app *a;
    struct sim_sock *l;

    cr_assert_eq(sim_app_create(fx.stack[1]->worker[0], &opt, &a), 0);
    cr_assert_eq(sim_listen(a, SVM_PROTO_TCP, &e, 64, &l), 0);
    for (unsigned i = 0; i < n; i++) {
        c[i] = connect_to(to_ip, 86);
        core_run(&fx, 10000);
        s[i] = sim_accept(l);
        cr_assert(c[i]->connected && s[i]);
        session_rx_is_stream(s[i]->session);
    }
    return a;
}

static uint32_t window_of(struct sim_sock *s)
{
    return session_rx_window(fx.stack[1]->worker[0], s->session);
}

/* All that is promised has a place: the first one had more than its share when it was alone, and keeps what it was told. */
static void equal_shares(const char *bind_ip, const char *to_ip)
{
    struct sim_sock *c[STREAMS], *s[STREAMS];
    struct sim_app *a = streams_begin(bind_ip, to_ip, c, s, STREAMS);
    struct app_worker *aw = sim_app_worker(a);

    session_rx_is_near(s[0]->session, true);
    cr_assert_eq(window_of(s[0]), FULL_SIZE, "alone");
    for (unsigned i = 1; i < STREAMS; i++) {
        session_rx_is_near(s[i]->session, true);
        cr_assert_leq((uint64_t)window_of(s[i]) * (i + 1), 8u << 20, "%u", i);
    }
    cr_assert_eq(window_of(s[STREAMS - 1]), (8u << 20) / STREAMS);
    cr_assert_eq(window_of(s[0]), FULL_SIZE, "a window does not shrink");
    session_rx_is_near(s[5]->session, false);
    cr_assert_eq(window_of(s[5]), FULL_SIZE, "far away it is the path that has to be filled");
    cr_assert_eq(aw->n_near, STREAMS - 1);
    for (unsigned i = 1; i < STREAMS / 2; i++)
        sim_sock_free(s[i]);
    core_run(&fx, 10000);
    cr_assert_eq(aw->n_near, STREAMS / 2 + 1);
    cr_assert_eq(window_of(s[STREAMS - 2]), 256u << 10);
    sim_sock_free(s[STREAMS / 2]);
    core_run(&fx, 10000);
    cr_assert_eq(window_of(s[STREAMS - 2]), 512u << 10, "half of them have gone");
    aw->n_near = 1000;
    session_share_leave(s[STREAMS - 3]->session);
    cr_assert_eq(session_rx_limit(s[STREAMS - 2]->session), 64u << 10, "each has so much");
    aw->n_near = STREAMS / 2 - 1;
    sim_app_destroy(a);
}

Test(session, equal_shares_v4) { equal_shares("10.7.0.2", "10.7.0.2"); }
Test(session, equal_shares_v6) { equal_shares("fd07::2", "fd07::2"); }

/* A program that does not read has its share and no more; when it reads, it goes on. The peer is as near as on a link between two hosts. */
static void share_is_kept(const char *bind_ip, const char *to_ip)
{
    enum { SHARE = 256 << 10, STEPS = 40, PIECE = 60000, LAST = STREAMS - 1 };
    struct sim_sock *c[STREAMS], *s[STREAMS];
    struct sim_app *a = streams_begin(bind_ip, to_ip, c, s, STREAMS);
    uint64_t want = 4 << 20;

    for (unsigned i = 0; i < STREAMS; i++) {
        session_rx_is_near(s[i]->session, true);
        window_of(s[i]);
    }
    for (int i = 0; i < STEPS; i++) {
        sim_write_pattern(c[LAST], 3, PIECE);
        core_run(&fx, 10000);
    }
    cr_assert_leq(sim_readable(s[LAST]), SHARE);
    cr_assert_gt(sim_readable(s[LAST]), SHARE / 2);
    for (int i = 0; i < 5000 && s[LAST]->read < want; i++) {
        sim_write_pattern(c[LAST], 3, PIECE);
        core_run(&fx, 1000);
        cr_assert_neq(sim_read_check(s[LAST], 3, 1 << 20), -EILSEQ);
    }
    cr_assert_geq(s[LAST]->read, want);
    sim_app_destroy(a);
}

Test(session, share_is_kept_v4) { share_is_kept("10.7.0.2", "10.7.0.2"); }
Test(session, share_is_kept_v6) { share_is_kept("fd07::2", "fd07::2"); }

/* ---- who sends next ---- */

enum { SENDERS = SESSION_TX_TURN + 40, GOES = SESSION_TX_TURN + 10 };
static struct sender {
    struct transport_conn conn;
    unsigned n;
} sender[SENDERS];
static struct session *going;

static void end_without_conn(struct worker *w, struct session *s)
{
    s->conn = NULL;
    session_finish(w, s);
}

static enum transport_tx_verdict send_and_end(struct worker *w, struct transport_conn *c, unsigned budget)
{
    (void)budget;
    hs_container_of(c, struct sender, conn)->n++;
    if (going)
        end_without_conn(w, going);
    going = NULL;
    return TRANSPORT_TX_DONE;
}

static struct session *sender_new(struct worker *w, struct sender *c)
{
    static const struct transport_ops ops = { .name = "test", .proto = SVM_PROTO_TCP, .tx = send_and_end };
    struct session *s = session_alloc(w, SVM_PROTO_TCP);

    s->ops = &ops;
    s->state = SESSION_ESTABLISHED;
    s->conn = &c->conn;
    cr_assert_eq(session_fifos_make(w, s, NULL), 0);
    session_tx_schedule(w, s);
    return s;
}

Test(session, ended_by_another_one_in_its_turn)
{
    struct worker *w = fx.stack[0]->worker[0];
    struct session *s[SENDERS];

    for (unsigned i = 0; i < SENDERS; i++)
        s[i] = sender_new(w, &sender[i]);
    going = s[GOES]; /* of the next turn */
    session_tx_run(w);
    cr_assert_null(going);
    s[GOES] = sender_new(w, &sender[GOES]); /* in the same place */
    for (int i = 0; i < 3; i++)
        session_tx_run(w);
    for (unsigned i = 0; i < SENDERS; i++) {
        cr_assert_eq(sender[i].n, 1, "%u was called %u times", i, sender[i].n);
        end_without_conn(w, s[i]);
    }
}

/* ---- through the server to a listener of this host whose backlog is full ---- */

enum { SECOND_US = 1000000, LIFE_US = 127 * SECOND_US };
static struct sim_app *near;

static struct sim_sock *near_listens(const char *ip, uint32_t backlog)
{
    const struct sim_app_options opt = { .is_internal = true, .client_id = 7 };

    cr_assert_eq(sim_app_create(fx.stack[0]->worker[0], &opt, &near), 0);
    return listen_on(near, ip, 80, backlog);
}

static struct sim_sock *relayed(const char *ip)
{
    struct ip_endpoint e = core_endpoint(ip, 80);
    struct sim_sock *s;

    cr_assert_eq(sim_connect(near, SVM_PROTO_TCP, NULL, &e, &s), 0);
    return s;
}

static unsigned n_connected(struct sim_sock *const *c, unsigned n)
{
    unsigned hits = 0;

    for (unsigned i = 0; i < n; i++)
        hits += c[i]->connected;
    return hits;
}

/* Nothing is looked at again and again: the next thing that happens by itself is that they give up. */
static void is_at_rest(void)
{
    const struct worker *w = fx.stack[0]->worker[0];

    core_run(&fx, 20 * SECOND_US); /* what a stack does when it begins is over */
    cr_assert_gt(worker_next_event_us(w), w->now_us + LIFE_US / 2, "in %lu us", (unsigned long)(worker_next_event_us(w) - w->now_us));
}

static void full_backlog(const char *ip)
{
    enum { N = 8, BACKLOG = 2 };
    struct sim_sock *l = near_listens(ip, BACKLOG), *c[N];
    struct worker *w = fx.stack[0]->worker[0];

    for (int i = 0; i < N; i++)
        c[i] = relayed(ip);
    cr_assert_eq(n_connected(c, N), BACKLOG + 1);
    is_at_rest();
    cr_assert(sim_accept(l)); /* makes room: at once, no time goes by */
    cr_assert(c[BACKLOG + 1]->connected, "the first of those that wait");
    cr_assert_eq(n_connected(c, N), BACKLOG + 2);
    sim_sock_free(c[BACKLOG + 3]); /* gives up, from the middle */
    c[BACKLOG + 3] = relayed(ip);  /* and stands at the end */
    cr_assert(sim_accept(l) && sim_accept(l));
    cr_assert(c[BACKLOG + 2]->connected && c[BACKLOG + 4]->connected && !c[BACKLOG + 3]->connected);
    cr_assert_eq(session_listen(w, sim_app_worker(near), l->session, BACKLOG + 1), 0);
    cr_assert_eq(n_connected(c, N), N - 1, "a larger backlog has room, too");
    is_at_rest();
    session_close(w, sim_app_worker(near), l->session, -1);
    cr_assert_eq(c[BACKLOG + 3]->connect_error, -ECONNREFUSED);
    sim_app_destroy(near);
}
Test(session, relayed_connects_wait_for_room_v4) { full_backlog("127.0.0.1"); }
Test(session, relayed_connects_wait_for_room_v6) { full_backlog("::1"); }

static void never_any_room(const char *ip)
{
    enum { N = 4 };
    struct sim_sock *c[N];

    near_listens(ip, 1);
    for (int i = 0; i < N; i++)
        c[i] = relayed(ip);
    core_run(&fx, LIFE_US - SECOND_US);
    cr_assert(!c[2]->connect_done && !c[3]->connect_done);
    core_run(&fx, 2 * SECOND_US);
    cr_assert(c[2]->connect_error == -ETIMEDOUT && c[3]->connect_error == -ETIMEDOUT);
    relayed(ip); /* one that still waits when its program ends */
    sim_app_destroy(near);
}
Test(session, relayed_connects_give_up_v4) { never_any_room("127.0.0.1"); }
Test(session, relayed_connects_give_up_v6) { never_any_room("::1"); }
