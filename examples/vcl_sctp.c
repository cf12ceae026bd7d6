/* vcl_sctp.c - SCTP over the native API: messages, each with a stream, a payload protocol and flags; notifications
 *
 * usage: vcl_sctp serve ADDRESS PORT   one association: what comes goes back on its stream, with its payload protocol and flags
 *        vcl_sctp call ADDRESS PORT    sends a dozen messages on several streams and tells of what comes back */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sctp.h>
#include <vcl/vppcom.h>

enum { STREAMS = 4, MESSAGES = 12, BUF_SIZE = 64 << 10 };

static char buf[BUF_SIZE];

static int must(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-rc));
        exit(1);
    }
    return rc;
}

static void set(uint32_t session, int name, void *val, uint32_t len)
{
    must(vppcom_session_sctp_option(session, 1, name, val, &len), "vppcom_session_sctp_option");
}

static uint32_t new_session(void)
{
    uint32_t s = (uint32_t)must(vppcom_session_create(VPPCOM_PROTO_SCTP, 0), "vppcom_session_create");
    struct sctp_initmsg init = { .sinit_num_ostreams = STREAMS, .sinit_max_instreams = STREAMS };
    struct sctp_event up = { .se_type = SCTP_ASSOC_CHANGE, .se_on = 1 };

    set(s, SCTP_INITMSG, &init, sizeof(init));
    set(s, SCTP_EVENT, &up, sizeof(up));
    return s;
}

/* The next message: its length, 0 at the end. Notifications are told of and passed over. */
static int next_message(uint32_t s, vppcom_sctp_msg_t *msg)
{
    struct sctp_assoc_change change;
    int n, len = 0;

    while ((n = vppcom_session_recv_sctp(s, buf + len, (uint32_t)(BUF_SIZE - len), 0, NULL, msg)) > 0) {
        if (msg->is_notification) {
            memcpy(&change, buf, sizeof(change));
            if (change.sac_type == SCTP_ASSOC_CHANGE && change.sac_state == SCTP_COMM_UP)
                printf("association: %d streams out, %d in\n", change.sac_outbound_streams, change.sac_inbound_streams);
            else if (change.sac_type == SCTP_ASSOC_CHANGE)
                printf("association: state %d\n", change.sac_state);
            continue;
        }
        len += n;
        if (msg->is_whole || len == BUF_SIZE)
            return len;
    }
    return must(n, "vppcom_session_recv_sctp");
}

static void serve(vppcom_endpt_t *ep)
{
    uint32_t listener = new_session(), s;
    vppcom_sctp_msg_t msg;
    int len;

    must(vppcom_session_bind(listener, ep), "vppcom_session_bind");
    must(vppcom_session_listen(listener, 8), "vppcom_session_listen");
    printf("ready\n");
    fflush(stdout);
    s = (uint32_t)must(vppcom_session_accept(listener, NULL, 0), "vppcom_session_accept");
    while ((len = next_message(s, &msg)) > 0) {
        vppcom_sctp_msg_t back = { .stream = msg.stream, .ppid = msg.ppid, .flags = msg.flags };

        must(vppcom_session_send_sctp(s, buf, (uint32_t)len, 0, NULL, &back), "vppcom_session_send_sctp");
    }
    vppcom_session_close(s);
    vppcom_session_close(listener);
}

static void call(vppcom_endpt_t *ep)
{
    uint32_t s = new_session();
    vppcom_sctp_msg_t msg;

    must(vppcom_session_connect(s, ep), "vppcom_session_connect");
    for (int i = 0; i < MESSAGES; i++) {
        vppcom_sctp_msg_t to = { .stream = (uint16_t)(i % STREAMS), .ppid = htonl(100 + (uint32_t)i),
                                 .flags = i % 3 == 2 ? VPPCOM_SCTP_UNORDERED : 0 };
        int len = snprintf(buf, BUF_SIZE, "message %d", i);

        must(vppcom_session_send_sctp(s, buf, (uint32_t)len, 0, NULL, &to), "vppcom_session_send_sctp");
    }
    for (int i = 0; i < MESSAGES; i++) {
        int len = next_message(s, &msg);

        if (len == 0)
            exit(1);
        printf("stream %u, payload protocol %u, %s: %.*s\n", msg.stream, ntohl(msg.ppid),
               msg.flags & VPPCOM_SCTP_UNORDERED ? "unordered" : "ordered", len, buf);
    }
    vppcom_session_shutdown(s, 1); /* SHUT_WR: the association ends when all is acknowledged */
    while (next_message(s, &msg) > 0)
        ;
    vppcom_session_close(s);
}

int main(int argc, char **argv)
{
    uint8_t ip[16];
    vppcom_endpt_t ep = { .ip = ip };

    if (argc != 4 || (strcmp(argv[1], "serve") && strcmp(argv[1], "call"))) {
        fprintf(stderr, "usage: %s serve|call ADDRESS PORT\n", argv[0]);
        return 2;
    }
    ep.is_ip4 = !strchr(argv[2], ':');
    ep.port = htons((uint16_t)atoi(argv[3]));
    if (inet_pton(ep.is_ip4 ? AF_INET : AF_INET6, argv[2], ip) != 1)
        return 2;
    must(vppcom_app_create("vcl_sctp"), "vppcom_app_create");
    if (!strcmp(argv[1], "serve"))
        serve(&ep);
    else
        call(&ep);
    vppcom_app_destroy();
    return 0;
}
