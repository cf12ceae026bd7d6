/* sctp_asconf_test.c - addresses of an association that change while it lasts (RFC 5061), asked for by a program or by the stack's changes */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>

#include "server/ip/interface.h"
#include "tests/unit/server/sctp/sctp_env.h"

TestSuite(sctp_asconf, .init = env_open, .fini = env_shut);

/* ---- addresses ---- */

static struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix p;

    cr_assert_eq(ip_prefix_parse(text, &p), 0);
    return p;
}
static struct interface *port_of(unsigned i) { return env.pair.stack[i]->interfaces->ifc[0]; }
static struct ip_addr add_to_stack(unsigned i, const char *text)
{
    struct ip_prefix p = prefix_of(text);

    cr_assert_eq(interface_add_address(port_of(i), &p, INTERFACE_ADDR_NO_DAD), 0);
    return p.ip;
}
static void del_from_stack(unsigned i, const char *text)
{
    struct ip_prefix p = prefix_of(text);

    cr_assert_eq(interface_del_address(port_of(i), &p), 0);
}
static int bindx(struct sim_sock *s, uint16_t opt, const struct ip_addr *ip)
{
    struct ip_endpoint e = { *ip, be16_of(ENV_PORT) };
    struct sockaddr_storage sa;
    uint32_t len = ip_endpoint_to_sockaddr(&e, false, &sa);

    return sim_msg_option(s, true, opt, &sa, &len);
}
static int peer_primary(struct sim_sock *s, const struct ip_addr *ip)
{
    struct sctp_setpeerprim v = { 0 };
    struct ip_endpoint e = { *ip, be16_of(ENV_PORT) };
    struct sockaddr_storage sa = { 0 };
    uint32_t len = sizeof(v);

    ip_endpoint_to_sockaddr(&e, false, &sa);
    memcpy(&v.sspp_addr, &sa, sizeof(sa));
    return sim_msg_option(s, true, SCTP_SET_PEER_PRIMARY_ADDR, &v, &len);
}

static void offer(struct sim_sock *s)
{
    env_option(s, SCTP_AUTH_SUPPORTED, 1);
    env_option(s, SCTP_ASCONF_SUPPORTED, 1);
}
static void begin(bool v4, bool any)
{
    env_bind(v4);
    env_listen(v4, any);
    offer(env.sock[0]);
    offer(env.listener);
    env_connect(v4);
    cr_assert(sctp_has(env_assoc(0), SCTP_F_ASCONF) && sctp_has(env_assoc(1), SCTP_F_ASCONF));
}
static struct sctp_path *path_to(const struct ip_addr *ip) { return sctp_path_of(env_assoc(0), ip); }
static bool was_told(unsigned i, int state)
{
    struct sctp_paddr_change n;
    const uint8_t *note;

    while ((note = env_recv_note(env.sock[i], SCTP_PEER_ADDR_CHANGE)) != NULL) {
        memcpy(&n, note, sizeof(n));
        if (n.spc_state == state)
            return true;
    }
    return false;
}

/* ---- a program's wishes (RFC 6458 s9.1, s8.3.1) ---- */

static void added_and_removed(bool v4)
{
    struct ip_addr first, second;

    begin(v4, false);
    first = env_assoc(0)->path[0]->ip;
    second = add_to_stack(1, v4 ? "10.9.0.22/24" : "fd09::22/64");
    cr_assert_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_ADD, &second), 0);
    env_run_us(500000);
    cr_assert_not_null(path_to(&second));
    cr_expect_eq(path_to(&second)->state, SCTP_PATH_ACTIVE, "asked and answered (s5.3)");
    cr_expect(was_told(0, SCTP_ADDR_ADDED));
    cr_expect_eq(env_assoc(1)->cfg.n_lcl, 2);
    cr_assert_eq(peer_primary(env.sock[1], &second), 0);
    env_run_us(100000);
    cr_expect_eq(env_assoc(0)->primary, path_to(&second));
    cr_expect(was_told(0, SCTP_ADDR_MADE_PRIM));
    cr_assert_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_REM, &first), 0);
    env_run_us(100000);
    cr_expect_null(path_to(&first));
    cr_expect(was_told(0, SCTP_ADDR_REMOVED));
    cr_expect_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_REM, &second), -EBUSY, "the last one stays");
    cr_expect_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_REM, &first), -EINVAL, "it has gone");
    env_still_works();
    cr_expect(ip_addr_eq(&env_assoc(1)->path[0]->src, &second), "nothing comes from the one that was removed");
    cr_expect_eq(env_counter(0, SCTP_N_asconfs), 3);
    cr_expect_eq(env_counter(1, SCTP_N_asconfs), 3);
    cr_expect_eq(env_counter(0, SCTP_N_drop_auth) + env_counter(1, SCTP_N_drop_auth), 0);
}
Test(sctp_asconf, added_and_removed_v4) { added_and_removed(true); }
Test(sctp_asconf, added_and_removed_v6) { added_and_removed(false); }

/* An address of the other family, at once made primary: used as soon as it is confirmed, not before. */
Test(sctp_asconf, primary_before_it_is_confirmed)
{
    struct ip_addr v6;

    begin(false, false); /* sock[0] is an IPv6 socket */
    v6 = add_to_stack(1, "fd09::33/64");
    cr_assert_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_ADD, &v6), 0);
    env_run_us(1500);
    cr_assert_eq(peer_primary(env.sock[1], &v6), 0);
    env_run_us(1000000);
    cr_expect_eq(env_assoc(0)->primary, path_to(&v6));
    env_still_works();
}

/* s5.1: sent again until it is answered, carried out once; the answer is given again. */
static void lost(unsigned which)
{
    struct ip_addr second;

    begin(true, false);
    env_run_us(2000000);
    second = add_to_stack(1, "10.9.0.22/24");
    cr_assert_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_ADD, &second), 0);
    if (which == 0) {
        env.drop_next = 1;
        env_run_us(500);
    } else {
        env_run_us(1500); /* it has arrived */
        env.drop_next = 2; /* the answer and the heartbeat */
    }
    env_run_us(5000000);
    cr_expect_eq(env.drop_next, 0);
    cr_expect_not_null(path_to(&second));
    cr_expect_eq(env_counter(0, SCTP_N_asconfs), 1);
    cr_expect_eq(env_counter(1, SCTP_N_asconfs), 1);
    cr_expect_eq(env_assoc(1)->asconf->n_changes, 0);
    env_still_works();
}
Test(sctp_asconf, request_lost) { lost(0); }
Test(sctp_asconf, answer_lost) { lost(1); }

/* s4.1: only when both do it, and never without AUTH. */
Test(sctp_asconf, not_without_auth)
{
    struct ip_addr second = add_to_stack(1, "10.9.0.22/24");

    env_bind(true);
    env_listen(true, false);
    env_option(env.sock[0], SCTP_ASCONF_SUPPORTED, 1);
    env_option(env.listener, SCTP_ASCONF_SUPPORTED, 1);
    env_connect(true);
    cr_expect(!sctp_has(env_assoc(0), SCTP_F_ASCONF));
    cr_expect_eq(bindx(env.sock[1], SCTP_SOCKOPT_BINDX_ADD, &second), -EOPNOTSUPP);
    cr_expect_eq(peer_primary(env.sock[1], &second), -EPERM, "as Linux");
    env_still_works();
}

/* s4.1.1: an ASCONF that nobody has signed is dropped in silence. */
Test(sctp_asconf, forged)
{
    uint8_t b[8 + 8 + 16] = { SCTP_CT_ASCONF, 0, 0, 32, 0, 0, 0, 0, 0, SCTP_P_IPV4, 0, 8, 10, 9, 0, 1, 0xc0, 1, 0, 16, 0, 0, 0, 1,
                              0, SCTP_P_IPV4, 0, 8, 10, 9, 0, 99 };

    env.wanted = SCTP_CT_DATA;
    begin(true, false);
    env_send_one();
    sctp_put32(b + 4, env_assoc(1)->asconf->peer_seq);
    uint64_t sent = env_counter(1, SCTP_N_tx_packets);
    env_chunks(b, sizeof(b));
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), 1);
    cr_expect_eq(env_counter(1, SCTP_N_tx_packets), sent);
    cr_expect_eq(env_assoc(1)->n_paths, 1);
    env_still_works();
}

/* ---- what is refused (s5.3) ---- */

static void refused(uint16_t type, const char *text, unsigned want_paths)
{
    struct ip_addr ip = prefix_of(text).ip;
    struct sctp_assoc *a;

    begin(true, false);
    a = env_assoc(1);
    a->cfg.lcl[0] = a->base.lcl.ip; /* so that what is taken back can be seen */
    a->cfg.n_lcl = 1;
    cr_assert_eq(sctp_asconf_ask(env.pair.stack[1]->worker[0], a, type, &ip), 0);
    sctp_asconf_send(env.pair.stack[1]->worker[0], a);
    env_run_us(100000);
    cr_expect_eq(env_counter(0, SCTP_N_asconfs_refused), 1);
    cr_expect_eq(env_counter(1, SCTP_N_asconfs_refused), 1);
    cr_expect_eq(env_assoc(0)->n_paths, want_paths);
    cr_expect_eq(a->cfg.n_lcl, 1);
    cr_expect_eq(a->asconf->n_changes, 0);
    env_still_works();
}
Test(sctp_asconf, last_address_stays) { refused(SCTP_P_DEL_IP, "10.9.0.2/24", 1); }
Test(sctp_asconf, nobodys_address) { refused(SCTP_P_ADD_IP, "224.0.0.9/32", 1); }
Test(sctp_asconf, strange_primary) { refused(SCTP_P_SET_PRIMARY, "10.9.0.77/32", 1); }

/* More than the peer keeps: the rest is refused, nothing is lost. */
Test(sctp_asconf, too_many)
{
    struct worker *w;
    struct sctp_assoc *a;

    begin(true, false);
    w = env.pair.stack[1]->worker[0];
    a = env_assoc(1);
    for (unsigned i = 0; i < SCTP_CHANGES_MAX; i++) {
        char text[32];
        struct ip_addr ip;
        snprintf(text, sizeof(text), "10.9.0.%u/24", 100 + i);
        ip = prefix_of(text).ip;
        cr_assert_eq(sctp_asconf_ask(w, a, SCTP_P_ADD_IP, &ip), 0);
    }
    struct ip_addr one_more = prefix_of("10.9.0.99/24").ip;
    cr_expect_eq(sctp_asconf_ask(w, a, SCTP_P_ADD_IP, &one_more), -ENOMEM);
    sctp_asconf_send(w, a);
    env_run_us(1000000);
    cr_expect_eq(env_assoc(0)->n_paths, SCTP_ADDRS);
    cr_expect_eq(a->asconf->n_changes, 0);
    cr_expect_eq(a->asconf->n_known, SCTP_ADDRS);
    cr_expect_eq(env_counter(1, SCTP_N_asconfs), SCTP_ADDRS - 1);
    cr_expect_eq(env_counter(1, SCTP_N_asconfs_refused), SCTP_CHANGES_MAX - SCTP_ADDRS + 1);
    env_still_works();
}

/* ---- SCTP_AUTO_ASCONF (RFC 6458 s8.1.24) ---- */

static void begin_automatic(bool v4)
{
    env_bind(v4);
    env_listen(v4, true);
    offer(env.sock[0]);
    offer(env.listener);
    env_option(env.listener, SCTP_AUTO_ASCONF, 1);
    env_connect(v4);
}

static void automatic(bool v4)
{
    const char *text = v4 ? "10.9.0.55/24" : "fd09::55/64";
    struct ip_addr more;

    begin_automatic(v4);
    more = add_to_stack(1, text);
    env_run_us(2500000);
    cr_assert_not_null(path_to(&more));
    cr_expect_eq(path_to(&more)->state, SCTP_PATH_ACTIVE);
    del_from_stack(1, text);
    env_run_us(2500000);
    cr_expect_null(path_to(&more));
    env_still_works();
}
Test(sctp_asconf, automatic_v4) { automatic(true); }
Test(sctp_asconf, automatic_v6) { automatic(false); }

/* The only address is exchanged for another: the peer finds the association by the one that is named in the chunk (s5.2). */
static void moves(bool v4)
{
    const char *old = v4 ? "10.9.0.2/24" : "fd09::2/64", *text = v4 ? "10.9.0.66/24" : "fd09::66/64";
    struct svm_sctp_info info = { .stream = 1 }, got;
    struct ip_addr before, after;

    begin_automatic(v4);
    before = prefix_of(old).ip;
    after = add_to_stack(1, text);
    del_from_stack(1, old);
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 900, false), 0); /* to where nobody is any more */
    env_run_us(60000000);
    cr_expect_not_null(path_to(&after));
    cr_expect_null(path_to(&before));
    cr_expect_eq(env_recv(env.sock[1], &got), 900);
    env_still_works();
}
Test(sctp_asconf, moves_v4) { moves(true); }
Test(sctp_asconf, moves_v6) { moves(false); }

Test(sctp_asconf, automatic_of_the_wildcard_only)
{
    struct sctp_assoc_value v = { .assoc_value = 1 };
    uint32_t len = sizeof(v);

    env_listen(true, false);
    cr_expect_eq(sim_msg_option(env.listener, true, SCTP_AUTO_ASCONF, &v, &len), -EINVAL, "as Linux");
    env_connect(true);
}

/* ---- what is said of an address that the peer does not know ---- */

static void redirect(const struct ip_addr *to, bool v4)
{
    uint8_t *ip = env.frame + 14;
    uint32_t sum = 0;

    memcpy(ip + (v4 ? 16 : 24), v4 ? (const void *)&to->w[3] : (const void *)to->b, v4 ? 4 : 16);
    if (!v4)
        return;
    ip[10] = ip[11] = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sctp_put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
}

/* s5.3: an ABORT with the T bit that comes to an address not told of, or taken back, is no word about the association. */
static void strange_abort(bool v4)
{
    static const uint8_t abort_t[] = { SCTP_CT_ABORT, SCTP_FLAG_T, 0, 4 };
    struct ip_addr other, told;

    env.wanted = SCTP_CT_AUTH;
    begin(v4, true);
    told = env_assoc(1)->lcl_ip;
    other = add_to_stack(1, v4 ? "10.9.0.77/24" : "fd09::77/64");
    peer_primary(env.sock[0], &env_assoc(0)->lcl_ip); /* something authenticated: its packet is used */
    env_run_us(100000);
    env_chunks(abort_t, sizeof(abort_t));
    sctp_put32(env.frame + env_sctp_at(env.frame) + 4, env_assoc(1)->peer_tag);
    redirect(&other, v4);
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_address), 1);
    cr_assert_eq(env_n_assocs(1), 1);
    redirect(&told, v4);
    env_inject();
    cr_expect_eq(env_n_assocs(1), 0, "at one that it knows it is");
}
Test(sctp_asconf, strange_abort_v4) { strange_abort(true); }
Test(sctp_asconf, strange_abort_v6) { strange_abort(false); }
