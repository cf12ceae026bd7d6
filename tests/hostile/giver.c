/* giver.c - programs of one mind that give back connections which they were never to give back, to make the server look where nothing is
 *
 * usage: giver APP-SOCKET ADDRESS PORT ECHO-PORT
 *   alone    the other end has died, a child has claimed what is left, nobody listens any more: and it gives the connection back
 *   ended    the other end began to answer a move and did not end, so that the server has reset both: and one end is given back, the other
 *            closed after somebody else has got the memory
 * Exit 0: all was answered, and an honest connection that began in between heard of nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_segment.h"
#include "tests/hostile/raw_client.h"

enum { LISTENER = 1, CONN = 2, ROUNDS = 5 };

static struct svm_att_hello hello = { .type = SVM_ATT_HELLO, .abi_version = SVM_ABI_VERSION, .flags = SVM_HELLO_SCOPE_LOCAL,
                                      .app_name = "giver", .rx_fifo_size = 65536, .tx_fifo_size = 65536, .evt_queue_len = 256,
                                      .segment_mb = 4 };
static struct raw_client server, child, client;
static struct ip_endpoint at;

static void must(const char *what, int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "giver: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static void say(struct raw_client *rc, uint8_t type, struct svm_handle h, int64_t value)
{
    struct svm_msg m = { .type = type, .proto = SVM_PROTO_TCP, .ctx = CONN, .handle = h, .u.value = value };

    must("message", raw_post(rc, &m));
}

static struct svm_handle serve(void)
{
    struct svm_msg m = { .type = SVM_MSG_BIND, .proto = SVM_PROTO_TCP, .flags = SVM_CONN_SCOPE_LOCAL, .ctx = LISTENER };
    struct svm_handle h;

    m.u.conn.lcl_ip = at.ip;
    m.u.conn.lcl_port = at.port;
    must("bind", raw_post(&server, &m));
    must("bound", raw_await(&server, SVM_MSG_BOUND, &m));
    must("bound", m.u.conn.error);
    h = m.handle;
    say(&server, SVM_MSG_LISTEN, h, 8);
    must("listening", raw_await(&server, SVM_MSG_LISTENING, &m));
    must("listening", m.u.error);
    m = (struct svm_msg){ .type = SVM_MSG_ARM, .ctx = LISTENER, .handle = h, .u.value = 1 };
    must("arm", raw_post(&server, &m));
    return h;
}

static struct svm_msg connect_to(struct raw_client *rc, be16 port)
{
    struct svm_msg m = { .type = SVM_MSG_CONNECT, .proto = SVM_PROTO_TCP, .ctx = CONN, .flags = SVM_CONN_SCOPE_LOCAL };

    m.u.conn.lcl_ip = ip_addr_any(ip_addr_is_v4(&at.ip));
    m.u.conn.rmt_ip = at.ip;
    m.u.conn.rmt_port = port;
    must("connect", raw_post(rc, &m));
    must("connected", raw_await(rc, SVM_MSG_CONNECTED, &m));
    must("connected", m.u.conn.error);
    return m;
}

/* The connection that `server` has accepted and `child` holds, too. */
static struct svm_handle begin(const char *path, struct svm_handle *listener, struct svm_msg *connected)
{
    struct svm_msg m;

    must("attach", raw_attach(path, &hello, &server));
    must("attach", raw_attach(path, &hello, &client));
    *listener = serve();
    *connected = connect_to(&client, at.port);
    must("accept", raw_await(&server, SVM_MSG_ACCEPT, &m));
    say(&server, SVM_MSG_ACCEPTED, m.handle, 0);
    must("fork", raw_fork(&server, &hello, &child));
    return m.handle;
}

static void claim(struct svm_handle h)
{
    struct svm_msg m;

    say(&child, SVM_MSG_CLAIM, h, 0);
    must("claimed", raw_await(&child, SVM_MSG_CLAIMED, &m));
    must("claimed", m.u.conn.error);
}

static void end(void)
{
    raw_detach(&child);
    raw_detach(&server);
}

static void alone(const char *path)
{
    struct svm_handle l, h;
    struct svm_msg m;

    h = begin(path, &l, &m);
    raw_detach(&client);
    must("the other end has gone", raw_await(&server, SVM_MSG_DATA, &m)); /* the FIFO ends, as if it had closed it */
    claim(h);
    say(&server, SVM_MSG_CLOSE, h, -1);
    say(&server, SVM_MSG_CLOSE, l, -1);
    must("closed by the parent", raw_await(&server, SVM_MSG_CLOSED, &m));
    must("the listener closed by the parent", raw_await(&server, SVM_MSG_CLOSED, &m));
    say(&child, SVM_MSG_CLOSE, l, -1);
    say(&child, SVM_MSG_RETURN, h, 0);
    must("the listener closed", raw_await(&child, SVM_MSG_CLOSED, &m));
    must("given back", raw_await(&child, SVM_MSG_CLOSED, &m));
    end();
}

/* As who answers a move does before anything else. */
static void begin_to_answer(const struct svm_msg_slot *at_slot)
{
    for (unsigned i = 0; i < client.n_pairs; i++) {
        struct svm_seg_hdr *hdr = (void *)client.pair[i].base;
        struct svm_slot_pair *slot = (void *)(client.pair[i].base + hdr->slots_off + at_slot->slot * sizeof(*slot));

        if (hdr->seg_id != at_slot->seg_id)
            continue;
        for (int side = 0; side < 2; side++)
            __atomic_fetch_or(&slot->side[side].tx.flags, SVM_FIFO_MOVED, __ATOMIC_RELEASE);
        return;
    }
    must("the segment of both", -1);
}

static void ended(const char *path, be16 echo)
{
    struct raw_client honest;
    struct svm_msg connected, m;
    struct svm_handle l, h;

    must("attach", raw_attach(path, &hello, &honest));
    h = begin(path, &l, &connected);
    begin_to_answer(&connected.u.conn.slot);
    claim(h);
    must("reset", raw_await(&child, SVM_MSG_RESET, &m));
    say(&server, SVM_MSG_CLOSE, h, -1);
    must("the reset one closed", raw_await(&server, SVM_MSG_CLOSED, &m));
    say(&child, SVM_MSG_RETURN, h, 0);
    must("the reset one given back", raw_await(&child, SVM_MSG_CLOSED, &m));
    h = connect_to(&honest, echo).handle;
    say(&client, SVM_MSG_CLOSE, connected.handle, -1);
    must("its other end closed", raw_await(&client, SVM_MSG_CLOSED, &m));
    say(&honest, SVM_MSG_CLOSE, h, -1);
    for (;;) {
        must("the honest one closed", raw_await(&honest, 0, &m));
        if (m.type == SVM_MSG_CLOSED)
            break;
        if (m.type != SVM_MSG_PEER_GONE && m.type != SVM_MSG_RESET && m.type != SVM_MSG_DATA)
            continue;
        fputs("giver: the honest connection has lost its other end\n", stderr);
        exit(1);
    }
    raw_detach(&honest);
    raw_detach(&client);
    end();
}

int main(int argc, char **argv)
{
    if (argc != 5 || ip_addr_parse(argv[2], &at.ip) < 0)
        return 2;
    at.port = be16_of((uint16_t)atoi(argv[3]));
    for (int i = 0; i < ROUNDS; i++)
        alone(argv[1]);
    for (int i = 0; i < ROUNDS; i++)
        ended(argv[1], be16_of((uint16_t)atoi(argv[4])));
    return 0;
}
