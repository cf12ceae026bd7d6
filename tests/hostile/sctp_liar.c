/* sctp_liar.c - cut-through SCTP with a peer that writes what it likes: records of every kind of nonsense, from a seed
 *
 * usage: sctp_liar lie ADDRESS PORT LIVES SEED   each life is an association with who serves there
 *        sctp_liar flood ADDRESS PORT MS         an association that says hello without end
 *        sctp_liar serve ADDRESS PORT [calm]     a one-to-many socket that wants to know everything; sends every message back.
 *                                                calm: wants to know nothing
 * What serves is run preloaded, what lies has the library within: it writes into the FIFO by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sctp.h>
#include "common/splitmix.h"
#include "vcl/vcl_sctp_internal.h"

enum { RECORDS = 12, ROOM = 70000 };

static uint64_t state;
static uint64_t rnd(void) { return hs_splitmix(&state); }

static uint32_t nasty(uint32_t now)
{
    static const uint32_t edge[] = { 0, 1, 7, 8, 87, 88, 0x7fffffff, 0x80000000, 0xffffffff, 65535, 65536, 65537 };

    switch (rnd() % 4) {
    case 0: return edge[rnd() % HS_ARRAY_LEN(edge)];
    case 1: return now + 1 + (uint32_t)(rnd() % 16);
    case 2: return now - 1 - (uint32_t)(rnd() % 16);
    default: return now ^ (1u << rnd() % 32);
    }
}

/* A record that is right but for some of its fields: mostly a notification, for the library speaks for the peer's stack. */
static void lie(struct vcl_socket *s)
{
    static uint8_t body[ROOM];
    uint32_t len = rnd() % 8 ? (uint32_t)(rnd() % 400) : (uint32_t)(rnd() % ROOM);
    struct svm_sctp_record r = vcl_sctp_record(s, len);
    struct iovec iov[2] = { { &r, sizeof(r) }, { body, (len + 7) & ~7u } };

    for (uint32_t i = 0; i < len; i += 8)
        *(uint64_t *)(void *)(body + i) = rnd();
    if (rnd() % 4) {
        r.info.flags = SCTP_NOTIFICATION;
        *(uint16_t *)(void *)body = (uint16_t)(SCTP_SN_TYPE_BASE + rnd() % 16);
        if (rnd() % 2)
            *(uint32_t *)(void *)(body + 4) = nasty(len); /* the notification's own length, most of them */
        if (rnd() % 2)
            *(uint16_t *)(void *)(body + 8) = (uint16_t)(rnd() % 6);
    }
    switch (rnd() % 8) {
    case 0: r.h.data_len = nasty(len); break;
    case 1: r.h.hdr_len = (uint16_t)nasty(sizeof(r)); break;
    case 2: r.h.flags = (uint8_t)rnd(); break;
    case 3: r.tlv.len = (uint16_t)nasty(r.tlv.len); break;
    case 4: r.info.stream = (uint16_t)nasty(0); break;
    case 5: r.info.flags |= (uint16_t)rnd(); break;
    default: break;
    }
    vcl_socket_lock(s);
    if (s->has_fifos)
        (void)svm_fifo_enqueue_record(&s->tx, iov, 2);
    (void)svm_fifo_prod_event_due(&s->tx);
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, true, true);
}

/* 0, or -errno: nobody serves any more. */
static int life(const struct ip_endpoint *to)
{
    struct vcl_socket *s;
    int rc = vcl_socket_new(SVM_PROTO_SCTP, !ip_addr_is_v4(&to->ip), &s);

    if (rc)
        return rc;
    rc = vcl_connect(s, to);
    for (unsigned i = 0; rc == 0 && i < 1 + rnd() % RECORDS; i++)
        lie(s);
    if (rnd() % 3 == 0)
        s->opt.linger = (struct linger){ .l_onoff = 1, .l_linger = 0 };
    vcl_socket_put(s);
    return rc;
}

/* Records that are thrown away by whoever does not want to know of them. */
static int flood(const struct ip_endpoint *to, long ms)
{
    struct vcl_sctp_hello h = { .up = { .sac_type = SCTP_ASSOC_CHANGE, .sac_length = sizeof(h.up), .sac_state = SCTP_COMM_UP,
                                        .sac_outbound_streams = 1, .sac_inbound_streams = 1 } };
    struct svm_sctp_record r;
    struct iovec iov[2] = { { &r, sizeof(r) }, { &h, sizeof(h) } };
    struct vcl_socket *s;
    int rc = vcl_process_init();
    int64_t end = vcl_now_ns() + ms * 1000000;

    if (rc == 0)
        rc = vcl_socket_new(SVM_PROTO_SCTP, !ip_addr_is_v4(&to->ip), &s);
    if (rc)
        return 1;
    rc = vcl_connect(s, to);
    r = vcl_sctp_record(s, sizeof(h));
    r.info.flags = SCTP_NOTIFICATION;
    puts("flooding");
    fflush(stdout);
    while (rc == 0 && vcl_now_ns() < end) {
        bool data;

        vcl_socket_lock(s);
        for (int i = 0; i < 1000; i++)
            (void)svm_fifo_enqueue_record(&s->tx, iov, 2);
        data = svm_fifo_prod_event_due(&s->tx);
        vcl_socket_unlock(s);
        vcl_socket_event_due(s, data, false);
    }
    vcl_socket_put(s);
    vcl_detach();
    return rc != 0;
}

static int lies(const struct ip_endpoint *to, long lives)
{
    int rc = vcl_process_init();

    for (long i = 0; rc == 0 && i < lives; i++)
        rc = life(to);
    if (rc)
        printf("%s\n", strerror(-rc));
    vcl_detach();
    return rc != 0;
}

static int serve(const struct ip_endpoint *at, int wants)
{
    static char buf[1 << 20];
    struct sockaddr_storage ss;
    socklen_t len = ip_endpoint_to_sockaddr(at, false, &ss);
    int fd = socket(ss.ss_family, SOCK_SEQPACKET, IPPROTO_SCTP), on = 1;
    char control[CMSG_SPACE(sizeof(struct sctp_rcvinfo)) + CMSG_SPACE(sizeof(struct sctp_nxtinfo))];

    for (uint16_t type = SCTP_ASSOC_CHANGE; wants && type <= SCTP_STREAM_CHANGE_EVENT; type++)
        setsockopt(fd, IPPROTO_SCTP, SCTP_EVENT, &(struct sctp_event){ .se_type = type, .se_on = 1 }, sizeof(struct sctp_event));
    setsockopt(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on));
    setsockopt(fd, IPPROTO_SCTP, SCTP_RECVNXTINFO, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&ss, len) != 0 || listen(fd, 8) != 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (int up = 0;;) {
        struct iovec iov = { buf, sizeof(buf) };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
        ssize_t n = recvmsg(fd, &m, 0);
        struct sctp_rcvinfo *in = NULL;

        if (n < 0 && errno == EBADF)
            return 1;
        if (n >= (ssize_t)sizeof(struct sctp_assoc_change) && m.msg_flags & MSG_NOTIFICATION) {
            const struct sctp_assoc_change *c = (void *)buf;

            up += c->sac_type != SCTP_ASSOC_CHANGE ? 0 : c->sac_state == SCTP_COMM_UP ? 1 : -1;
            if (c->sac_type == SCTP_ASSOC_CHANGE && up == 0) { /* who has come up has ended */
                puts("nobody");
                fflush(stdout);
            }
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); n > 0 && c; c = CMSG_NXTHDR(&m, c))
            in = c->cmsg_type == SCTP_RCVINFO ? (void *)CMSG_DATA(c) : in;
        if (n > 0 && in && !(m.msg_flags & MSG_NOTIFICATION)) {
            struct sctp_sndinfo out = { .snd_sid = in->rcv_sid, .snd_flags = in->rcv_flags & SCTP_UNORDERED, .snd_ppid = in->rcv_ppid,
                                        .snd_assoc_id = in->rcv_assoc_id };
            char back[CMSG_SPACE(sizeof(out))] = { 0 };
            struct msghdr r = { .msg_iov = &(struct iovec){ buf, (size_t)n }, .msg_iovlen = 1, .msg_control = back, .msg_controllen = sizeof(back) };
            struct cmsghdr *c = CMSG_FIRSTHDR(&r);

            c->cmsg_level = IPPROTO_SCTP;
            c->cmsg_type = SCTP_SNDINFO;
            c->cmsg_len = CMSG_LEN(sizeof(out));
            memcpy(CMSG_DATA(c), &out, sizeof(out));
            (void)sendmsg(fd, &r, MSG_DONTWAIT | MSG_NOSIGNAL); /* a liar reads nothing */
        }
    }
}

int main(int argc, char **argv)
{
    struct ip_endpoint at;

    if (argc < 4 || ip_addr_parse(argv[2], &at.ip) < 0)
        return 2;
    at.port = be16_of((uint16_t)atoi(argv[3]));
    if (argc == 6 && !strcmp(argv[1], "lie")) {
        state = strtoull(argv[5], NULL, 10);
        return lies(&at, atol(argv[4]));
    }
    if (argc == 5 && !strcmp(argv[1], "flood"))
        return flood(&at, atol(argv[4]));
    return serve(&at, argc == 4);
}
