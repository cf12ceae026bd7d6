/* usrsctp_peer.c - another SCTP, over raw IP: echo server and client on libusrsctp
 *
 *   usrsctp_peer serve ADDRESS PORT               accepts one association and sends every message back on its stream
 *   usrsctp_peer call ADDRESS PORT COUNT SIZE     sends COUNT messages of SIZE bytes on five streams, checks each that comes back
 * UDP_PORT=N: packets go in UDP, from and to that port (RFC 6951). FROM_PORT=N: call's own port. DIE=1: call ends
 * without a packet. ANY=1: serve listens at all addresses.
 * UNTIL=FILE: call goes on until there is such a file, and sends COUNT messages more.
 * MOVE_FROM=address MOVE_TO=address: call is bound to one, adds the other when ten messages have come, and lets the first go (RFC 5061).
 * AUTH_KEY=text: both sides sign with it, and demand that the other does.
 * QUICK=1: it gives a path up after half a second. */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include "tests/system/sctp_calls.h"

enum { STREAMS = 5, BUF = CALLS_BUF, WINDOW = 64 };

static uint16_t udp_port(void) { return getenv("UDP_PORT") ? (uint16_t)atoi(getenv("UDP_PORT")) : 0; }

/* AUTH_KEY=text: as in sctp_probe.c */
static void authenticate(struct socket *s, const char *text)
{
    static const uint8_t types[] = { 0, 3, 6, 10, 64 };
    struct { struct sctp_authkey v; char text[64]; } key = { .v = { .sca_keynumber = 5, .sca_keylength = (uint16_t)strlen(text) } };
    struct sctp_authkeyid active = { .scact_keynumber = 5 };

    memcpy((char *)&key + offsetof(struct sctp_authkey, sca_key), text, strlen(text));
    if (usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_AUTH_KEY, &key, (socklen_t)(offsetof(struct sctp_authkey, sca_key) + strlen(text))) != 0 ||
        usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_AUTH_ACTIVE_KEY, &active, sizeof(active)) != 0)
        calls_die("keys");
    for (unsigned i = 0; i < sizeof(types); i++) {
        struct sctp_authchunk type = { .sauth_chunk = types[i] };
        if (usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_AUTH_CHUNK, &type, sizeof(type)) != 0)
            calls_die("SCTP_AUTH_CHUNK");
    }
}

static struct socket *sock_for(const struct sockaddr_storage *ss)
{
    struct sctp_udpencaps udp = { .sue_port = htons(udp_port()) };
    sock s = calls_socket(ss->ss_family);
    int on = 1;

    if (getenv("AUTH_KEY"))
        authenticate(s, getenv("AUTH_KEY"));
    usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on));
    if (getenv("QUICK")) {
        struct sctp_rtoinfo rto = { .srto_initial = 200, .srto_min = 100, .srto_max = 400 };
        struct sctp_paddrparams path = { .spp_hbinterval = 300, .spp_pathmaxrxt = 1, .spp_flags = SPP_HB_ENABLE };

        path.spp_address.ss_family = ss->ss_family;
        if (usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof(rto)) != 0 ||
            usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path)) != 0)
            calls_die("SCTP_RTOINFO, SCTP_PEER_ADDR_PARAMS");
    }
    udp.sue_address.ss_family = ss->ss_family;
    if (udp_port() && usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, sizeof(udp)) != 0)
        calls_die("SCTP_REMOTE_UDP_ENCAPS_PORT");
    return s;
}

/* A whole message; its length, 0 at the end. */
static ssize_t take(struct socket *s, uint8_t *buf, struct sctp_rcvinfo *info)
{
    size_t at = 0;

    for (;;) {
        int flags;
        ssize_t n = calls_take(s, buf + at, BUF - at, info, &flags);
        if (n <= 0) {
            if (n < 0)
                fprintf(stderr, "usrsctp_recvv: %s\n", strerror(errno));
            return n;
        }
        at += (size_t)n;
        if (flags & MSG_EOR)
            return (ssize_t)at;
    }
}

static void put(struct socket *s, const uint8_t *buf, size_t len, uint16_t sid, uint32_t ppid)
{
    struct sctp_sndinfo info = { .snd_sid = sid, .snd_ppid = ppid };

    if (calls_give(s, buf, len, &info, NULL) != (ssize_t)len)
        calls_die("usrsctp_sendv");
}

static int serve(const struct sockaddr_storage *ss, socklen_t ss_len, uint8_t *buf)
{
    struct socket *l = sock_for(ss), *s;
    struct sctp_rcvinfo info;
    unsigned long n = 0;
    ssize_t len;

    struct sockaddr_storage at = *ss;

    if (getenv("ANY") && ss->ss_family == AF_INET)
        ((struct sockaddr_in *)&at)->sin_addr.s_addr = INADDR_ANY;
    if (usrsctp_bind(l, (struct sockaddr *)&at, ss_len) != 0 || usrsctp_listen(l, 1) != 0)
        calls_die("bind, listen");
    puts("listening");
    fflush(stdout);
    s = usrsctp_accept(l, NULL, NULL);
    if (!s)
        calls_die("usrsctp_accept");
    while ((len = take(s, buf, &info)) > 0) {
        put(s, buf, (size_t)len, info.rcv_sid, info.rcv_ppid);
        n++;
    }
    printf("echoed %lu\n", n);
    usrsctp_close(s);
    usrsctp_close(l);
    return len < 0;
}

static void move(struct socket *s, const char *name, bool add)
{
    struct sockaddr_storage ss;

    calls_address(name, 0, &ss);
    if (usrsctp_bindx(s, (struct sockaddr *)&ss, 1, add ? SCTP_BINDX_ADD_ADDR : SCTP_BINDX_REM_ADDR) != 0)
        calls_die(add ? "usrsctp_bindx, add" : "usrsctp_bindx, remove");
}

static uint8_t byte_of(unsigned long i, size_t at) { return (uint8_t)(i * 31 + at * 7 + (at >> 8)); }

static int call(const struct sockaddr_storage *ss, socklen_t ss_len, unsigned long count, size_t size, uint8_t *buf)
{
    struct socket *s = sock_for(ss);
    unsigned long sent = 0, got = 0, next[STREAMS];
    struct sctp_rcvinfo info;

    for (unsigned i = 0; i < STREAMS; i++)
        next[i] = i;
    if (getenv("FROM_PORT")) {
        struct sockaddr_storage own = { .ss_family = ss->ss_family };

        ((struct sockaddr_in *)&own)->sin_port = htons((uint16_t)atoi(getenv("FROM_PORT"))); /* at the same place in both */
        if (usrsctp_bind(s, (struct sockaddr *)&own, ss_len) != 0)
            calls_die("usrsctp_bind");
    }
    if (getenv("MOVE_FROM")) {
        struct sockaddr_storage own;

        calls_address(getenv("MOVE_FROM"), 0, &own);
        if (usrsctp_bind(s, (struct sockaddr *)&own, ss_len) != 0)
            calls_die("usrsctp_bind");
    }
    if (usrsctp_connect(s, (struct sockaddr *)(uintptr_t)ss, ss_len) != 0)
        calls_die("usrsctp_connect");
    unsigned long more = count;
    const char *until = getenv("UNTIL");
    if (until)
        count = ULONG_MAX;
    while (got < count) {
        if (until && access(until, F_OK) == 0) {
            count = sent + more;
            until = NULL;
        }
        while (sent < count && sent - got < WINDOW && (sent - got) * size < BUF / 4) {
            for (size_t k = 0; k < size; k++)
                buf[k] = byte_of(sent, k);
            put(s, buf, size, (uint16_t)(sent % STREAMS), htonl((uint32_t)sent));
            sent++;
        }
        if (take(s, buf, &info) != (ssize_t)size)
            calls_die("a message of another length came back");
        unsigned long i = ntohl(info.rcv_ppid);
        if (info.rcv_sid >= STREAMS || i != next[info.rcv_sid] || i % STREAMS != info.rcv_sid)
            calls_die("a message is out of order");
        next[info.rcv_sid] += STREAMS;
        for (size_t k = 0; k < size; k++)
            if (buf[k] != byte_of(i, k))
                calls_die("a byte is wrong");
        got++;
        if (getenv("MOVE_FROM") && got == 10)
            move(s, getenv("MOVE_TO"), true);
        if (getenv("MOVE_FROM") && got == 300)
            move(s, getenv("MOVE_FROM"), false);
    }
    if (getenv("DIE")) {
        puts("dies");
        fflush(stdout);
        _exit(0);
    }
    usrsctp_shutdown(s, SHUT_WR);
    if (take(s, buf, &info) != 0)
        calls_die("the association did not end in order");
    printf("checked %lu\n", got);
    usrsctp_close(s);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage ss;
    uint8_t *buf = malloc(BUF);
    socklen_t len;
    int rc;

    if (argc < 4 || !buf)
        return 2;
    calls_begin(udp_port());
    len = calls_address(argv[2], atoi(argv[3]), &ss);
    if (!strcmp(argv[1], "serve"))
        rc = serve(&ss, len, buf);
    else if (!strcmp(argv[1], "call") && argc == 6)
        rc = call(&ss, len, strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10), buf);
    else
        return 2;
    calls_end();
    return rc;
}
