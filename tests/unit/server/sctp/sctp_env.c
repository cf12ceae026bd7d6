/* sctp_env.c - what the SCTP tests share */
#include "common/crc32c.h"
#include "tests/unit/server/sctp/sctp_env.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>

enum { SENT_BY_0 = 0 };

struct sctp_env env;

uint32_t env_sctp_at(const uint8_t *f) { return f[12] == 0x08 ? ENV_ETH + 20 : ENV_ETH + 40; }

static bool look(void *arg, struct sim_link *l, unsigned end, const uint8_t *f, uint32_t len, uint64_t now_us)
{
    bool v4 = f[12] == 0x08 && f[13] == 0, v6 = f[12] == 0x86;
    uint32_t at = env_sctp_at(f);

    (void)arg;
    (void)l;
    (void)now_us;
    if (!(v4 && f[ENV_ETH + 9] == IPPROTO_SCTP) && !(v6 && f[ENV_ETH + 6] == IPPROTO_SCTP))
        return true;
    if (end == SENT_BY_0 && len <= ENV_FRAME_MAX && len > at + SCTP_COMMON_LEN && f[at + SCTP_COMMON_LEN] == env.wanted) {
        memcpy(env.frame, f, len);
        env.frame_len = len;
    }
    if (env.drop_next) {
        env.drop_next--;
        return false;
    }
    return !(v4 && env.cut_v4) && !(v6 && env.cut_v6);
}

static void open_over(const struct sim_params *wire)
{
    struct sim_app_options opt = { .rx_max = 1 << 18, .tx_max = 1 << 18 };

    memset(&env, 0, sizeof(env));
    cr_assert_eq(sim_eal_init("hssctp"), 0);
    cr_assert_eq(transport_register(&sctp_transport_ops), 0);
    cr_assert_eq(sim_pair_create(&env.pair, 1, wire, false), 0);
    for (unsigned i = 0; i < 2; i++) {
        opt.client_id = i + 1;
        cr_assert_eq(sim_app_create(env.pair.stack[i]->worker[0], &opt, &env.app[i]), 0);
    }
    for (unsigned i = 0; i < sizeof(env.data); i++)
        env.data[i] = (uint8_t)(i * 131 + (i >> 8));
    env.wanted = UINT8_MAX;
    sim_link_set_tap(env.pair.link, look, NULL);
}
void env_open(void) { open_over(&(struct sim_params){ .delay_us = 1000 }); }
void env_open_port_sums(void)
{
    open_over(&(struct sim_params){ .delay_us = 1000, .offload = true });
    env.pair.stack[0]->port[0]->offloads |= PORT_TX_SCTP_CSUM;
}

void env_run_us(uint64_t us) { cr_assert_eq(sim_net_run_until(env.pair.net, sim_net_now_us(env.pair.net) + us), 0); }
unsigned env_n_assocs(unsigned i) { return sctp_worker_of(env.pair.stack[i]->worker[0])->n_assocs; }
uint64_t env_counter(unsigned i, enum sctp_count c) { return sctp_worker_of(env.pair.stack[i]->worker[0])->count[c]; }
struct sctp_assoc *env_assoc(unsigned i) { return sctp_assoc_of(env.sock[i]->session->conn); }

void env_shut(void)
{
    env.cut_v4 = env.cut_v6 = false;
    for (unsigned i = 0; i < 2; i++)
        sim_app_destroy(env.app[i]);
    env_run_us(1200ull * SCTP_SEC);
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_eq(env_n_assocs(i), 0, "freed with the program");
        cr_expect_eq(sim_pair_pkts_in_use(&env.pair, i), 0);
    }
    sim_pair_destroy(&env.pair);
}

void env_listen(bool v4, bool any)
{
    struct ip_endpoint e = sim_pair_endpoint(1, v4, ENV_PORT);

    if (any)
        e.ip = ip_addr_any(v4);
    cr_assert_eq(sim_listen(env.app[1], SVM_PROTO_SCTP, &e, 8, &env.listener), 0);
}

void env_bind(bool v4)
{
    struct ip_endpoint any = { .ip = ip_addr_any(v4) };

    cr_assert_eq(sim_bind(env.app[0], SVM_PROTO_SCTP, &any, &env.sock[0]), 0);
}

void env_connect(bool v4)
{
    struct ip_endpoint e = sim_pair_endpoint(1, v4, ENV_PORT);

    if (!env.listener)
        env_listen(v4, false);
    if (env.sock[0] && env.sock[0]->session && env.sock[0]->session->state == SESSION_BOUND)
        cr_assert_eq(sim_reconnect(env.sock[0], &e), 0);
    else
        cr_assert_eq(sim_connect(env.app[0], SVM_PROTO_SCTP, NULL, &e, &env.sock[0]), 0);
    env_run_us(100000);
    cr_assert(env.sock[0]->connected);
    env.sock[1] = sim_accept(env.listener);
    cr_assert_not_null(env.sock[1]);
}

void env_option(struct sim_sock *s, uint16_t opt, uint32_t value)
{
    struct sctp_assoc_value v = { .assoc_value = value };
    uint32_t len = sizeof(v);

    cr_assert_eq(sim_msg_option(s, true, opt, &v, &len), 0, "option %u", opt);
}

int64_t env_recv(struct sim_sock *s, struct svm_sctp_info *info)
{
    bool more;
    int64_t n;

    do {
        n = sim_msg_recv(s, info, env.buf, sizeof(env.buf), &more);
    } while (n > 0 && (info->flags & SCTP_NOTIFICATION));
    return n;
}

const uint8_t *env_recv_note(struct sim_sock *s, uint16_t type)
{
    struct svm_sctp_info info;
    bool more;
    uint16_t is;

    while (sim_msg_recv(s, &info, env.buf, sizeof(env.buf), &more) > 0) {
        memcpy(&is, env.buf, sizeof(is));
        if ((info.flags & SCTP_NOTIFICATION) && is == type)
            return env.buf;
    }
    return NULL;
}

void env_fix_crc(uint8_t *f, uint32_t len)
{
    uint32_t at = env_sctp_at(f), crc;

    memset(f + at + 8, 0, 4);
    crc = ~crc32c(UINT32_MAX, f + at, len - at);
    memcpy(f + at + 8, &crc, 4);
}

void env_inject(void)
{
    cr_assert_eq(sim_link_inject(env.pair.link, 1, env.frame, env.frame_len), 0);
    env_run_us(10000);
}

void env_chunks(const uint8_t *chunks, uint32_t len)
{
    uint8_t *b = env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN;
    uint32_t pad = (uint32_t)(env.frame + env.frame_len - b) - len;

    memset(b, 0, len + pad);
    memcpy(b, chunks, len);
    b[len] = SCTP_CT_PAD; /* RFC 4820 */
    sctp_put16(b + len + 2, pad);
    env_fix_crc(env.frame, env.frame_len);
}

void env_still_works(void)
{
    struct svm_sctp_info info = { .stream = 1 }, got;

    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(sim_msg_send(env.sock[i], &info, env.data, 900, false), 0);
        env_run_us(300000); /* Nagle: behind what a delayed SACK acknowledges */
        cr_expect_eq(env_recv(env.sock[1 - i], &got), 900);
        cr_expect(memcmp(env.buf, env.data, 900) == 0);
    }
}

void env_send_one(void)
{
    struct svm_sctp_info info = { .stream = 2 }, got;

    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 700, false), 0);
    env_run_us(50000);
    cr_assert_eq(env_recv(env.sock[1], &got), 700);
    cr_assert_gt(env.frame_len, 0);
}
