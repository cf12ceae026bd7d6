/* sctp_options.c - SOL_SCTP as a program sees it (RFC 6458 s8): set, got, refused; TAP
 *
 * usage: sctp_options local ADDRESS       sockets without an association, and one with another socket of this process
 *        sctp_options call ADDRESS PORT   an association with `sctp_probe serve`
 *        sctp_options many ADDRESS PORT OWN ADDED   addresses of a one-to-many socket change while it has an association with an echo server
 *        sctp_options peers ADDRESS PORT OTHER  one association with an echo server that has both addresses, whichever a message is sent to */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/sctp.h>

enum { WAIT_MS = 60000 };

static int n_tests, n_failed;
static struct sockaddr_storage addr;
static socklen_t addr_len;

static void check(bool good, const char *what)
{
    n_tests++;
    n_failed += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", n_tests, what);
    if (!good)
        printf("# errno %d: %s\n", errno, strerror(errno));
}

static int set(int fd, int name, const void *val, size_t len) { return setsockopt(fd, IPPROTO_SCTP, name, val, (socklen_t)len); }
static int get(int fd, int name, void *val, size_t len)
{
    socklen_t n = (socklen_t)len;
    int r = getsockopt(fd, IPPROTO_SCTP, name, val, &n);

    return r < 0 ? -errno : (int)n;
}
static void refused(int fd, int name, const void *val, size_t len, int error, const char *what)
{
    int r = set(fd, name, val, len);

    check(r < 0 && errno == error, what);
}

static void resolve(const char *text, int port)
{
    struct sockaddr_in *a4 = (void *)&addr;
    struct sockaddr_in6 *a6 = (void *)&addr;
    bool is_v6 = strchr(text, ':');

    memset(&addr, 0, sizeof(addr));
    addr.ss_family = is_v6 ? AF_INET6 : AF_INET;
    addr_len = is_v6 ? sizeof(*a6) : sizeof(*a4);
    if (inet_pton(addr.ss_family, text, is_v6 ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr) != 1)
        exit(2);
    a4->sin_port = htons((uint16_t)port); /* at the same place in both */
}

static int new_socket(int type)
{
    int fd = socket(addr.ss_family, type, IPPROTO_SCTP);

    if (fd < 0) {
        check(false, "socket()");
        exit(1);
    }
    return fd;
}

/* ---- values that are kept, before there is an association, and with one ---- */

static void test_rto(int fd)
{
    struct sctp_rtoinfo r = { .srto_initial = 2000, .srto_max = 5000, .srto_min = 500 }, got = { 0 };

    check(set(fd, SCTP_RTOINFO, &r, sizeof(r)) == 0 && get(fd, SCTP_RTOINFO, &got, sizeof(got)) == sizeof(got) && got.srto_initial == 2000 &&
          got.srto_max == 5000 && got.srto_min == 500, "SCTP_RTOINFO");
    r = (struct sctp_rtoinfo){ .srto_max = 1500 };
    check(set(fd, SCTP_RTOINFO, &r, sizeof(r)) == 0 && get(fd, SCTP_RTOINFO, &got, sizeof(got)) == sizeof(got) && got.srto_initial == 2000 &&
          got.srto_max == 1500 && got.srto_min == 500, "SCTP_RTOINFO: 0 leaves a value, the initial one may be beyond");
    r = (struct sctp_rtoinfo){ .srto_max = 400 };
    refused(fd, SCTP_RTOINFO, &r, sizeof(r), EINVAL, "SCTP_RTOINFO: the least above the most");
    refused(fd, SCTP_RTOINFO, &r, sizeof(r) + 4, EINVAL, "SCTP_RTOINFO: a value that is too long");
}

static void test_params(int fd)
{
    struct sctp_paddrparams p = { .spp_hbinterval = 7000, .spp_pathmaxrxt = 3, .spp_flags = SPP_HB_ENABLE }, got;
    struct sctp_paddrthlds_v2 t2 = { .spt_pathmaxrxt = 4, .spt_pathpfthld = 1, .spt_pathcpthld = 2 };
    struct sctp_paddrthlds t1 = { .spt_pathpfthld = 2 };
    enum { SHORT = 152 };

    memset(&got, 0, sizeof(got));
    check(set(fd, SCTP_PEER_ADDR_PARAMS, &p, sizeof(p)) == 0 && get(fd, SCTP_PEER_ADDR_PARAMS, &got, sizeof(got)) == sizeof(got) &&
          got.spp_hbinterval == 7000 && got.spp_pathmaxrxt == 3 && (got.spp_flags & SPP_HB_ENABLE), "SCTP_PEER_ADDR_PARAMS");
    p.spp_hbinterval = 8000;
    check(set(fd, SCTP_PEER_ADDR_PARAMS, &p, SHORT) == 0 && get(fd, SCTP_PEER_ADDR_PARAMS, &got, SHORT) == SHORT && got.spp_hbinterval == 8000,
          "SCTP_PEER_ADDR_PARAMS in its older, shorter form");
    p.spp_flags = SPP_HB_ENABLE | SPP_HB_DISABLE;
    refused(fd, SCTP_PEER_ADDR_PARAMS, &p, sizeof(p), EINVAL, "SCTP_PEER_ADDR_PARAMS that contradicts itself");
    check(set(fd, SCTP_PEER_ADDR_THLDS_V2, &t2, sizeof(t2)) == 0 && set(fd, SCTP_PEER_ADDR_THLDS, &t1, sizeof(t1)) == 0, "SCTP_PEER_ADDR_THLDS");
    memset(&t2, 0, sizeof(t2));
    check(get(fd, SCTP_PEER_ADDR_THLDS_V2, &t2, sizeof(t2)) == sizeof(t2) && t2.spt_pathmaxrxt == 4 && t2.spt_pathpfthld == 2 &&
          t2.spt_pathcpthld == 2, "SCTP_PEER_ADDR_THLDS and _V2 see the same values");
    t2.spt_pathpfthld = 3;
    refused(fd, SCTP_PEER_ADDR_THLDS_V2, &t2, sizeof(t2), EINVAL, "SCTP_PEER_ADDR_THLDS_V2: the primary path would change before it fails");
}

static void test_sack(int fd)
{
    struct sctp_sack_info s = { .sack_delay = 50 };
    struct sctp_assoc_value old = { .assoc_value = 0 };

    check(set(fd, SCTP_DELAYED_SACK, &s, sizeof(s)) == 0 && (s.sack_delay = 0, get(fd, SCTP_DELAYED_SACK, &s, sizeof(s)) == sizeof(s)) &&
          s.sack_delay == 50 && s.sack_freq == 2, "SCTP_DELAYED_SACK");
    check(set(fd, SCTP_DELAYED_SACK, &old, sizeof(old)) == 0 && get(fd, SCTP_DELAYED_SACK, &s, sizeof(s)) == sizeof(s) && s.sack_freq == 1,
          "SCTP_DELAYED_ACK_TIME, the older form: 0 means no delay");
    s.sack_delay = 501;
    refused(fd, SCTP_DELAYED_SACK, &s, sizeof(s), EINVAL, "SCTP_DELAYED_SACK of more than 500 ms (RFC 9260 s6.2)");
}

static void test_numbers(int fd)
{
    struct sctp_assoc_value v = { .assoc_value = 1000 };
    uint32_t n = 4000, k = 7;

    check(set(fd, SCTP_MAXSEG, &v, sizeof(v)) == 0 && get(fd, SCTP_MAXSEG, &n, sizeof(n)) == sizeof(n) && n == 1000,
          "SCTP_MAXSEG, got in its older form");
    check(set(fd, SCTP_MAX_BURST, &k, sizeof(k)) == 0 && get(fd, SCTP_MAX_BURST, &v, sizeof(v)) == sizeof(v) && v.assoc_value == 7,
          "SCTP_MAX_BURST, set in its older form");
    n = 4000;
    check(set(fd, SCTP_PARTIAL_DELIVERY_POINT, &n, sizeof(n)) == 0 && (n = 0, get(fd, SCTP_PARTIAL_DELIVERY_POINT, &n, sizeof(n))) == sizeof(n) &&
          n == 4000, "SCTP_PARTIAL_DELIVERY_POINT");
    v.assoc_value = 2;
    check(set(fd, SCTP_EXPOSE_POTENTIALLY_FAILED_STATE, &v, sizeof(v)) == 0 &&
          get(fd, SCTP_EXPOSE_POTENTIALLY_FAILED_STATE, &v, sizeof(v)) == sizeof(v) && v.assoc_value == 2,
          "SCTP_EXPOSE_POTENTIALLY_FAILED_STATE");
    v.assoc_value = 3;
    refused(fd, SCTP_EXPOSE_POTENTIALLY_FAILED_STATE, &v, sizeof(v), EINVAL, "SCTP_EXPOSE_POTENTIALLY_FAILED_STATE has no value 3");
    k = 1;
    check(set(fd, SCTP_NODELAY, &k, sizeof(k)) == 0 && (k = 0, get(fd, SCTP_NODELAY, &k, sizeof(k))) == sizeof(k) && k == 1, "SCTP_NODELAY");
    check(set(fd, SCTP_I_WANT_MAPPED_V4_ADDR, &k, sizeof(k)) == 0, "SCTP_I_WANT_MAPPED_V4_ADDR");
}

static void test_unknown(int fd)
{
    char buf[64] = { 0 };
    uint32_t k = 60;

    refused(fd, 250, &k, sizeof(k), ENOPROTOOPT, "an option that nobody knows");
    check(get(fd, 250, buf, sizeof(buf)) == -ENOPROTOOPT, "and it cannot be got");
    refused(fd, SCTP_INTERLEAVING_SUPPORTED, &(struct sctp_assoc_value){ .assoc_value = 1 }, sizeof(struct sctp_assoc_value), EPERM,
            "SCTP_INTERLEAVING_SUPPORTED without SCTP_FRAGMENT_INTERLEAVE");
    refused(fd, SCTP_STATUS, buf, sizeof(buf), ENOPROTOOPT, "SCTP_STATUS cannot be set");
    refused(fd, SCTP_AUTOCLOSE, &k, sizeof(k), EOPNOTSUPP, "SCTP_AUTOCLOSE of a one-to-one socket");
}

/* ---- RFC 6458 s8.1, s8.2: each of the others ---- */

static void same(int fd, int name, const void *val, void *got, size_t len, const char *what)
{
    check(set(fd, name, val, len) == 0 && get(fd, name, got, len) == (int)len && memcmp(val, got, len) == 0, what);
}

static void test_whole_numbers(int fd)
{
    static const struct { int name; uint32_t value; const char *what; } ints[] = {
        { SCTP_NODELAY, 1, "SCTP_NODELAY, s8.1.5" },
        { SCTP_DISABLE_FRAGMENTS, 1, "SCTP_DISABLE_FRAGMENTS, s8.1.11" },
        { SCTP_I_WANT_MAPPED_V4_ADDR, 0, "SCTP_I_WANT_MAPPED_V4_ADDR, s8.1.15" },
        { SCTP_FRAGMENT_INTERLEAVE, 1, "SCTP_FRAGMENT_INTERLEAVE, s8.1.20" },
        { SCTP_RECVRCVINFO, 1, "SCTP_RECVRCVINFO, s8.1.29" },
        { SCTP_RECVNXTINFO, 1, "SCTP_RECVNXTINFO, s8.1.30" },
        { SCTP_NODELAY, 0, "SCTP_NODELAY, off" },
        { SCTP_DISABLE_FRAGMENTS, 0, "SCTP_DISABLE_FRAGMENTS, off" },
        { SCTP_I_WANT_MAPPED_V4_ADDR, 1, "SCTP_I_WANT_MAPPED_V4_ADDR, on" },
        { SCTP_FRAGMENT_INTERLEAVE, 0, "SCTP_FRAGMENT_INTERLEAVE, off" },
        { SCTP_RECVRCVINFO, 0, "SCTP_RECVRCVINFO, off" },
        { SCTP_RECVNXTINFO, 0, "SCTP_RECVNXTINFO, off" },
    };
    static const struct { int name; uint32_t value; const char *what; } numbers[] = {
        { SCTP_MAXSEG, 1200, "SCTP_MAXSEG, s8.1.16" },
        { SCTP_MAX_BURST, 5, "SCTP_MAX_BURST, s8.1.24" },
        { SCTP_CONTEXT, 4711, "SCTP_CONTEXT, s8.1.25" },
    };
    uint32_t got;

    for (unsigned i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
        same(fd, ints[i].name, &ints[i].value, &got, sizeof(got), ints[i].what);
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sctp_assoc_value v = { .assoc_value = numbers[i].value }, back = { 0 };

        check(set(fd, numbers[i].name, &v, sizeof(v)) == 0 && get(fd, numbers[i].name, &back, sizeof(back)) == sizeof(back) &&
              back.assoc_value == v.assoc_value, numbers[i].what);
    }
}

static void test_defaults(int fd)
{
    struct sctp_sndinfo snd = { .snd_sid = 2, .snd_flags = SCTP_UNORDERED, .snd_ppid = 77, .snd_context = 9 }, snd_got;
    struct sctp_sndrcvinfo old = { .sinfo_stream = 3, .sinfo_ppid = 78, .sinfo_timetolive = 500 }, old_got;
    struct sctp_default_prinfo pr = { .pr_policy = SCTP_PR_SCTP_RTX, .pr_value = 3 }, pr_got;

    memset(&snd_got, 0, sizeof(snd_got));
    memset(&old_got, 0, sizeof(old_got));
    memset(&pr_got, 0, sizeof(pr_got));
    check(set(fd, SCTP_DEFAULT_SNDINFO, &snd, sizeof(snd)) == 0 && get(fd, SCTP_DEFAULT_SNDINFO, &snd_got, sizeof(snd_got)) == sizeof(snd_got) &&
          snd_got.snd_sid == 2 && snd_got.snd_flags == SCTP_UNORDERED && snd_got.snd_ppid == 77 && snd_got.snd_context == 9,
          "SCTP_DEFAULT_SNDINFO, s8.1.31");
    check(set(fd, SCTP_DEFAULT_SEND_PARAM, &old, sizeof(old)) == 0 &&
          get(fd, SCTP_DEFAULT_SEND_PARAM, &old_got, sizeof(old_got)) == sizeof(old_got) && old_got.sinfo_stream == 3 && old_got.sinfo_ppid == 78 &&
          old_got.sinfo_timetolive == 500, "SCTP_DEFAULT_SEND_PARAM, s8.1.13");
    check(set(fd, SCTP_DEFAULT_PRINFO, &pr, sizeof(pr)) == 0 && get(fd, SCTP_DEFAULT_PRINFO, &pr_got, sizeof(pr_got)) == sizeof(pr_got) &&
          pr_got.pr_policy == SCTP_PR_SCTP_RTX && pr_got.pr_value == 3, "SCTP_DEFAULT_PRINFO, s8.1.32");
    snd = (struct sctp_sndinfo){ .snd_flags = 0x4000 };
    refused(fd, SCTP_DEFAULT_SNDINFO, &snd, sizeof(snd), EINVAL, "SCTP_DEFAULT_SNDINFO with a flag that there is not");
    pr = (struct sctp_default_prinfo){ .pr_policy = 1 };
    refused(fd, SCTP_DEFAULT_PRINFO, &pr, sizeof(pr), EINVAL, "SCTP_DEFAULT_PRINFO with a policy that there is not");
    snd = (struct sctp_sndinfo){ .snd_sid = 0 };
    pr = (struct sctp_default_prinfo){ .pr_policy = SCTP_PR_SCTP_NONE };
    check(set(fd, SCTP_DEFAULT_SNDINFO, &snd, sizeof(snd)) == 0 && set(fd, SCTP_DEFAULT_PRINFO, &pr, sizeof(pr)) == 0, "defaults of before");
}

static void test_events(int fd)
{
    struct sctp_event_subscribe all, got;
    struct sctp_event e = { .se_type = SCTP_SHUTDOWN_EVENT };

    memset(&all, 0, sizeof(all));
    memset(&got, 0, sizeof(got));
    all.sctp_shutdown_event = all.sctp_data_io_event = 1;
    same(fd, SCTP_EVENTS, &all, &got, sizeof(all), "SCTP_EVENTS, s8.1.14");
    check(get(fd, SCTP_EVENT, &e, sizeof(e)) == sizeof(e) && e.se_on == 1, "SCTP_EVENT sees what SCTP_EVENTS has set, s8.1.28");
    e.se_on = 0;
    check(set(fd, SCTP_EVENT, &e, sizeof(e)) == 0 && get(fd, SCTP_EVENTS, &got, sizeof(got)) == sizeof(got) && !got.sctp_shutdown_event &&
          got.sctp_data_io_event, "and the other way round");
    memset(&all, 0, sizeof(all));
    same(fd, SCTP_EVENTS, &all, &got, sizeof(all), "SCTP_EVENTS, none");
}

static void test_socket_level(int fd)
{
    struct linger l = { 1, 3 }, l_got = { 0, 0 };
    int size = 100000, got = 0;
    socklen_t len = sizeof(l_got);

    check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0 && getsockopt(fd, SOL_SOCKET, SO_LINGER, &l_got, &len) == 0 && l_got.l_onoff &&
          l_got.l_linger == 3, "SO_LINGER, s8.1.4");
    l.l_onoff = 0;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    for (int i = 0; i < 2; i++) {
        int name = i ? SO_SNDBUF : SO_RCVBUF;

        len = sizeof(got);
        check(setsockopt(fd, SOL_SOCKET, name, &size, sizeof(size)) == 0 && getsockopt(fd, SOL_SOCKET, name, &got, &len) == 0 && got >= size,
              i ? "SO_SNDBUF, s8.1.7" : "SO_RCVBUF, s8.1.6");
    }
}

/* With an association, of one-to-one sockets and so of branches of others. */
static void test_status(int fd)
{
    struct sctp_status st;
    struct sctp_paddrinfo info;
    struct { struct sctp_assoc_ids v; sctp_assoc_t id[4]; } ids;
    uint32_t n = 0;

    memset(&st, 0, sizeof(st));
    memset(&info, 0, sizeof(info));
    memset(&ids, 0, sizeof(ids));
    check(get(fd, SCTP_STATUS, &st, sizeof(st)) == sizeof(st) && st.sstat_state == SCTP_ESTABLISHED && st.sstat_outstrms == 10 && st.sstat_rwnd > 0 &&
          st.sstat_fragmentation_point > 500 && memcmp(&st.sstat_primary.spinfo_address, &addr, addr_len) == 0, "SCTP_STATUS, s8.2.1");
    memcpy(&info.spinfo_address, &addr, sizeof(addr));
    check(get(fd, SCTP_GET_PEER_ADDR_INFO, &info, sizeof(info)) == sizeof(info) && info.spinfo_state == SCTP_ACTIVE && info.spinfo_cwnd > 0 &&
          info.spinfo_mtu > 500, "SCTP_GET_PEER_ADDR_INFO, s8.2.2");
    check(get(fd, SCTP_GET_ASSOC_NUMBER, &n, sizeof(n)) == sizeof(n) && n == 1, "SCTP_GET_ASSOC_NUMBER, s8.2.5");
    check(get(fd, SCTP_GET_ASSOC_ID_LIST, &ids, sizeof(ids)) == sizeof(ids.v) + sizeof(sctp_assoc_t) && ids.v.gaids_number_of_ids == 1 &&
          ids.id[0] == st.sstat_assoc_id, "SCTP_GET_ASSOC_ID_LIST, s8.2.6");
}

static void test_values(int fd)
{
    test_rto(fd);
    test_params(fd);
    test_sack(fd);
    test_numbers(fd);
    test_whole_numbers(fd);
    test_defaults(fd);
    test_events(fd);
    test_socket_level(fd);
    test_unknown(fd);
}

/* RFC 6458 s8.3: keys are given before there is a session, and to one. */
static void test_keys(void)
{
    int fd = new_socket(SOCK_STREAM);
    struct sctp_assoc_value on = { .assoc_value = 1 };
    struct { struct sctp_authkey v; char text[6]; } key = { { .sca_keynumber = 3, .sca_keylength = 6 }, "secret" };
    struct sctp_authkeyid id = { .scact_keynumber = 3 };
    struct sctp_authchunk type = { .sauth_chunk = 0 };
    struct { struct sctp_hmacalgo v; uint16_t ids[2]; } hmacs = { .v.shmac_num_idents = 0 };
    struct { struct sctp_authchunks v; uint8_t types[8]; } list = { .v.gauth_number_of_chunks = 0 };

    refused(fd, SCTP_AUTH_KEY, &key, sizeof(key.v) + 6, EACCES, "SCTP_AUTH_KEY without SCTP_AUTH_SUPPORTED");
    check(set(fd, SCTP_AUTH_SUPPORTED, &on, sizeof(on)) == 0, "SCTP_AUTH_SUPPORTED");
    check(set(fd, SCTP_AUTH_KEY, &key, sizeof(key.v) + 6) == 0 && set(fd, SCTP_AUTH_ACTIVE_KEY, &id, sizeof(id)) == 0, "SCTP_AUTH_ACTIVE_KEY");
    refused(fd, SCTP_AUTH_DELETE_KEY, &id, sizeof(id), EINVAL, "the active key is not deleted");
    id.scact_keynumber = 4;
    refused(fd, SCTP_AUTH_ACTIVE_KEY, &id, sizeof(id), EINVAL, "a key that is not there");
    id.scact_keynumber = 0;
    check(set(fd, SCTP_AUTH_DELETE_KEY, &id, sizeof(id)) == 0, "the empty key 0 is deleted");
    check(set(fd, SCTP_AUTH_CHUNK, &type, sizeof(type)) == 0, "SCTP_AUTH_CHUNK");
    type.sauth_chunk = 1;
    refused(fd, SCTP_AUTH_CHUNK, &type, sizeof(type), EINVAL, "SCTP_AUTH_CHUNK of INIT");
    for (int bound = 0; bound < 2; bound++) {
        struct sockaddr_storage any = { .ss_family = addr.ss_family };

        check(!bound || bind(fd, (struct sockaddr *)&any, addr_len) == 0, bound ? "bind()" : "all that is kept");
        check(get(fd, SCTP_AUTH_ACTIVE_KEY, &id, sizeof(id)) == sizeof(id) && id.scact_keynumber == 3, "SCTP_AUTH_ACTIVE_KEY is got");
        check(get(fd, SCTP_HMAC_IDENT, &hmacs, sizeof(hmacs)) == sizeof(hmacs) && hmacs.v.shmac_num_idents == 2, "SCTP_HMAC_IDENT");
        check(get(fd, SCTP_LOCAL_AUTH_CHUNKS, &list, sizeof(list)) == sizeof(list.v) + 1 && list.v.gauth_number_of_chunks == 1 &&
              list.types[0] == 0, "SCTP_LOCAL_AUTH_CHUNKS");
        check(get(fd, SCTP_PEER_AUTH_CHUNKS, &list, sizeof(list)) == -EINVAL, "SCTP_PEER_AUTH_CHUNKS without a peer");
        hmacs.ids[0] = SCTP_AUTH_HMAC_ID_SHA1;
        hmacs.ids[1] = SCTP_AUTH_HMAC_ID_SHA256;
        check(set(fd, SCTP_HMAC_IDENT, &hmacs, sizeof(hmacs)) == 0 && (memset(&hmacs, 0, sizeof(hmacs)), true) &&
              get(fd, SCTP_HMAC_IDENT, &hmacs, sizeof(hmacs)) == sizeof(hmacs) &&
              hmacs.ids[0] == SCTP_AUTH_HMAC_ID_SHA1, "SCTP_HMAC_IDENT is set, s8.1.17");
        id.scact_keynumber = 0;
        refused(fd, SCTP_AUTH_ACTIVE_KEY, &id, sizeof(id), EINVAL, "key 0 stays deleted");
    }
    close(fd);
}

/* ---- without an association ---- */

static void test_alone(void)
{
    int fd = new_socket(SOCK_STREAM), many = new_socket(SOCK_SEQPACKET);
    struct sctp_assoc_value v = { .assoc_value = 0 };
    struct sctp_prstatus pr = { .sprstat_policy = SCTP_PR_SCTP_ALL };
    struct sctp_assoc_stats stats = { 0 };
    struct sctp_prim prim;
    struct sctp_setadaptation layer = { 0x1234 }, layer_got = { 0 };
    struct sctp_initmsg init = { 6, 12, 4, 3000 }, init_got;
    struct sctp_assocparams ap = { .sasoc_asocmaxrxt = 7, .sasoc_cookie_life = 30000 };
    uint32_t k = 60;

    memset(&prim, 0, sizeof(prim));
    test_values(fd);
    check(set(fd, SCTP_PR_SUPPORTED, &v, sizeof(v)) == 0 && (v.assoc_value = 9, get(fd, SCTP_PR_SUPPORTED, &v, sizeof(v))) == sizeof(v) &&
          v.assoc_value == 0, "SCTP_PR_SUPPORTED");
    check(get(fd, SCTP_PR_ASSOC_STATUS, &pr, sizeof(pr)) == -EINVAL, "SCTP_PR_ASSOC_STATUS without an association");
    check(get(fd, SCTP_GET_ASSOC_STATS, &stats, sizeof(stats)) == -EINVAL, "SCTP_GET_ASSOC_STATS without an association");
    check(get(fd, SCTP_PRIMARY_ADDR, &prim, sizeof(prim)) == -EINVAL, "SCTP_PRIMARY_ADDR without an association");
    check(set(fd, SCTP_REUSE_PORT, &k, sizeof(k)) == 0 && get(fd, SCTP_REUSE_PORT, &k, sizeof(k)) == sizeof(k) && k == 1, "SCTP_REUSE_PORT");
    refused(many, SCTP_REUSE_PORT, &k, sizeof(k), EOPNOTSUPP, "SCTP_REUSE_PORT of a one-to-many socket");
    k = 60;
    check(set(many, SCTP_AUTOCLOSE, &k, sizeof(k)) == 0 && (k = 0, get(many, SCTP_AUTOCLOSE, &k, sizeof(k))) == sizeof(k) && k == 60,
          "SCTP_AUTOCLOSE of a one-to-many socket");
    same(fd, SCTP_ADAPTATION_LAYER, &layer, &layer_got, sizeof(layer), "SCTP_ADAPTATION_LAYER, s8.1.10");
    same(fd, SCTP_INITMSG, &init, &init_got, sizeof(init), "SCTP_INITMSG, s8.1.3");
    check(set(fd, SCTP_ASSOCINFO, &ap, sizeof(ap)) == 0 && (memset(&ap, 0, sizeof(ap)), get(fd, SCTP_ASSOCINFO, &ap, sizeof(ap))) == sizeof(ap) &&
          ap.sasoc_asocmaxrxt == 7 && ap.sasoc_cookie_life == 30000, "SCTP_ASSOCINFO, s8.1.2");
    same(fd, SCTP_AUTO_ASCONF, &(uint32_t){ 1 }, &k, sizeof(k), "SCTP_AUTO_ASCONF, s8.1.23");
    check(set(fd, SCTP_AUTO_ASCONF, &(uint32_t){ 0 }, sizeof(k)) == 0, "SCTP_AUTO_ASCONF, off");
    check(bind(fd, (struct sockaddr *)&addr, addr_len) == 0, "options do not bind a socket");
    refused(fd, SCTP_REUSE_PORT, &k, sizeof(k), EFAULT, "SCTP_REUSE_PORT after bind");
    close(fd);
    close(many);
}

/* ---- with one ---- */

static int new_assoc(void)
{
    struct sctp_rtoinfo r = { .srto_initial = 1200, .srto_max = 9000, .srto_min = 300 };
    int fd = new_socket(SOCK_STREAM);

    check(set(fd, SCTP_RTOINFO, &r, sizeof(r)) == 0 && connect(fd, (struct sockaddr *)&addr, addr_len) == 0, "connect()");
    memset(&r, 0, sizeof(r));
    check(get(fd, SCTP_RTOINFO, &r, sizeof(r)) == sizeof(r) && r.srto_initial == 1200 && r.srto_max == 9000 && r.srto_min == 300 &&
          r.srto_assoc_id > 2, "what was set before is the association's");
    return fd;
}

static void test_paths(int fd)
{
    struct sctp_paddrparams p = { .spp_hbinterval = 4000, .spp_flags = SPP_HB_ENABLE };
    struct sctp_paddrthlds t = { .spt_pathpfthld = 5 };
    struct sctp_prim prim, stranger;

    memcpy(&p.spp_address, &addr, sizeof(addr));
    check(set(fd, SCTP_PEER_ADDR_PARAMS, &p, sizeof(p)) == 0 && (p.spp_hbinterval = 0, get(fd, SCTP_PEER_ADDR_PARAMS, &p, sizeof(p))) == sizeof(p) &&
          p.spp_hbinterval == 4000 && memcmp(&p.spp_address, &addr, addr_len) == 0, "SCTP_PEER_ADDR_PARAMS of the peer's address");
    memset(&prim, 0, sizeof(prim));
    check(get(fd, SCTP_PRIMARY_ADDR, &prim, sizeof(prim)) == sizeof(prim) && memcmp(&prim.ssp_addr, &addr, addr_len) == 0 &&
          set(fd, SCTP_PRIMARY_ADDR, &prim, sizeof(prim)) == 0, "SCTP_PRIMARY_ADDR is the peer's, and may be set to it");
    stranger = prim;
    ((uint8_t *)&stranger.ssp_addr)[7] ^= 0x55;  /* IPv4: its last byte */
    ((uint8_t *)&stranger.ssp_addr)[23] ^= 0x55; /* IPv6: the same */
    refused(fd, SCTP_PRIMARY_ADDR, &stranger, sizeof(stranger), EINVAL, "SCTP_PRIMARY_ADDR that is not of the peer");
    memcpy(&p.spp_address, &stranger.ssp_addr, sizeof(addr));
    refused(fd, SCTP_PEER_ADDR_PARAMS, &p, sizeof(p), EINVAL, "SCTP_PEER_ADDR_PARAMS of a strange address");
    memcpy(&t.spt_address, &addr, sizeof(addr));
    check(set(fd, SCTP_PEER_ADDR_THLDS, &t, sizeof(t)) == 0 && (t.spt_pathpfthld = 0, get(fd, SCTP_PEER_ADDR_THLDS, &t, sizeof(t))) == sizeof(t) &&
          t.spt_pathpfthld == 5, "SCTP_PEER_ADDR_THLDS of the peer's address");
}

static void test_counts(int fd, bool is_local)
{
    struct sctp_assoc_stats stats = { 0 };
    struct sctp_prstatus pr = { .sprstat_policy = SCTP_PR_SCTP_ALL, .sprstat_abandoned_sent = 77 };

    check(get(fd, SCTP_GET_ASSOC_STATS, &stats, sizeof(stats)) == sizeof(stats) && (is_local || (stats.sas_opackets > 0 && stats.sas_ipackets > 0)),
          "SCTP_GET_ASSOC_STATS");
    check(get(fd, SCTP_PR_ASSOC_STATUS, &pr, sizeof(pr)) == sizeof(pr) && pr.sprstat_abandoned_sent == 0 && pr.sprstat_abandoned_unsent == 0,
          "SCTP_PR_ASSOC_STATUS: nothing was given up");
    pr.sprstat_sid = 10;
    check(get(fd, SCTP_PR_STREAM_STATUS, &pr, sizeof(pr)) == -EINVAL, "SCTP_PR_STREAM_STATUS of a stream that is not there");
    pr.sprstat_sid = 1;
    check(get(fd, SCTP_PR_STREAM_STATUS, &pr, sizeof(pr)) == sizeof(pr), "SCTP_PR_STREAM_STATUS of one that is");
    pr.sprstat_policy = 0;
    check(get(fd, SCTP_PR_ASSOC_STATUS, &pr, sizeof(pr)) == -EINVAL, "SCTP_PR_ASSOC_STATUS without a policy");
}

/* RFC 6458 s6.1.9: nothing is outstanding: told at once, and again after a message. */
static void test_dry(int fd)
{
    struct sctp_event e = { .se_type = SCTP_SENDER_DRY_EVENT, .se_on = 1 };

    check(set(fd, SCTP_EVENT, &e, sizeof(e)) == 0, "SCTP_EVENT");
    for (unsigned i = 0; i < 2; i++) {
        struct pollfd p = { fd, POLLIN, 0 };
        union sctp_notification n;
        struct iovec iov = { &n, sizeof(n) };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t got = 0;

        do {
            got = poll(&p, 1, WAIT_MS) == 1 ? recvmsg(fd, &m, 0) : -1;
        } while (got > 0 && !(m.msg_flags & MSG_NOTIFICATION)); /* the echo */
        check(got > 0 && n.sn_header.sn_type == SCTP_SENDER_DRY_EVENT, i ? "SCTP_SENDER_DRY_EVENT after a message" : "SCTP_SENDER_DRY_EVENT at once");
        if (i == 0)
            check(send(fd, "dry", 3, 0) == 3, "send()");
    }
}

static void local(void)
{
    int listener = new_socket(SOCK_STREAM), fd, peer;

    test_alone();
    test_keys();
    check(bind(listener, (struct sockaddr *)&addr, addr_len) == 0 && listen(listener, 5) == 0 &&
          getsockname(listener, (struct sockaddr *)&addr, &addr_len) == 0, "listen()");
    fd = new_assoc();
    peer = accept(listener, NULL, NULL);
    check(peer >= 0, "accept()");
    test_status(fd);
    test_values(fd);
    test_paths(fd);
    test_counts(fd, true);
    test_dry(fd);
    close(peer);
    close(fd);
    close(listener);
}

static void call(void)
{
    char c;
    int fd = new_assoc();

    check(send(fd, "x", 1, 0) == 1 && recv(fd, &c, 1, 0) == 1, "a message and its echo");
    test_status(fd);
    test_values(fd);
    test_paths(fd);
    test_counts(fd, false);
    test_dry(fd);
    close(fd);
}

/* ---- RFC 6458 s9.1, s9.2 ---- */

static void echoed(int fd, const char *what)
{
    struct pollfd p = { fd, POLLIN, 0 };
    char buf[64];

    check(sendto(fd, "hello", 5, 0, (struct sockaddr *)&addr, addr_len) == 5 &&
          poll(&p, 1, WAIT_MS) == 1 && recv(fd, buf, sizeof(buf), 0) == 5, what);
}

/* How many addresses the association has on this side. */
static unsigned locals(int fd, sctp_assoc_t id)
{
    struct { struct sctp_getaddrs v; uint8_t room[512]; } g = { .v.assoc_id = id };

    return get(fd, SCTP_GET_LOCAL_ADDRS, &g, sizeof(g)) > 0 ? g.v.addr_num : 0;
}

/* The peer answers each change: until it has, the socket has as many as before. */
static bool has_locals(int fd, sctp_assoc_t id, unsigned n)
{
    for (unsigned i = 0; i < WAIT_MS / 10 && locals(fd, id) != n; i++)
        usleep(10000);
    return locals(fd, id) == n;
}

static bool removed(int fd, const struct sockaddr_storage *ss)
{
    for (unsigned i = 0; i < WAIT_MS / 10; i++) {
        if (set(fd, SCTP_SOCKOPT_BINDX_REM, ss, addr_len) == 0)
            return true;
        if (errno != EBUSY) /* the change before is still under way */
            return false;
        usleep(10000);
    }
    return false;
}

static void many(const char *own_text, const char *added_text)
{
    struct sctp_assoc_value on = { .assoc_value = 1 };
    struct sockaddr_storage peer = addr, own, added;
    struct { struct sctp_assoc_ids v; sctp_assoc_t id[4]; } ids;
    sctp_peeloff_arg_t peel;
    socklen_t len = sizeof(peel);
    int fd;

    resolve(own_text, 0);
    own = addr;
    resolve(added_text, 0);
    added = addr;
    addr = peer;
    fd = new_socket(SOCK_SEQPACKET);
    check(set(fd, SCTP_AUTH_SUPPORTED, &on, sizeof(on)) == 0 && set(fd, SCTP_ASCONF_SUPPORTED, &on, sizeof(on)) == 0, "SCTP_ASCONF_SUPPORTED");
    check(bind(fd, (struct sockaddr *)&own, addr_len) == 0, "bind()");
    echoed(fd, "an association by its first message");
    memset(&ids, 0, sizeof(ids));
    check(get(fd, SCTP_GET_ASSOC_ID_LIST, &ids, sizeof(ids)) > 0 && ids.v.gaids_number_of_ids == 1 &&
          locals(fd, ids.id[0]) == 1, "it has one address");
    check(set(fd, SCTP_SOCKOPT_BINDX_ADD, &added, addr_len) == 0, "an address is added to the socket");
    check(has_locals(fd, ids.id[0], 2), "and so to its association");
    echoed(fd, "messages go on");
    check(removed(fd, &own), "the first address is removed from the socket");
    check(has_locals(fd, ids.id[0], 1), "and so from its association");
    echoed(fd, "messages go on from the other address");
    peel = (sctp_peeloff_arg_t){ .associd = ids.id[0] };
    check(getsockopt(fd, IPPROTO_SCTP, SCTP_SOCKOPT_PEELOFF, &peel, &len) >= 0 && peel.sd >= 0, "the association is peeled off");
    check(get(fd, SCTP_GET_ASSOC_ID_LIST, &ids, sizeof(ids)) > 0 && ids.v.gaids_number_of_ids == 0, "the socket has none any more");
    check(send(peel.sd, "hello", 5, 0) == 5 && recv(peel.sd, &ids, sizeof(ids), 0) == 5, "and it goes on as a socket of its own");
    close(peel.sd);
    close(fd);
}

/* s3.1.3: any address of the peer names the association. */
static void peers(const char *other_text)
{
    struct sockaddr_storage first = addr;
    int fd = new_socket(SOCK_SEQPACKET);
    uint32_t n = 0;

    echoed(fd, "an association by its first message");
    resolve(other_text, ntohs(((struct sockaddr_in *)&first)->sin_port));
    echoed(fd, "a message to the peer's other address");
    addr = first;
    echoed(fd, "and one to the first");
    check(get(fd, SCTP_GET_ASSOC_NUMBER, &n, sizeof(n)) == sizeof(n) && n == 1, "they are of one association");
    close(fd);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(180);
    if (argc < 3)
        return 2;
    resolve(argv[2], argc > 3 ? atoi(argv[3]) : 0);
    if (!strcmp(argv[1], "local"))
        local();
    else if (!strcmp(argv[1], "many") && argc == 6)
        many(argv[4], argv[5]);
    else if (!strcmp(argv[1], "peers") && argc == 5)
        peers(argv[4]);
    else
        call();
    printf("1..%d\n", n_tests);
    return n_failed != 0;
}
