/* sctp_ext.c - SCTP's extensions between two implementations: partial reliability (RFC 3758, RFC 7496), streams that begin anew
 * (RFC 6525), interleaved messages (RFC 8260), and plenty of data whose checksum is compared. Built by the socket calls and by usrsctp's.
 *
 * usage: sctp_ext serve ADDRESS PORT                 one association; answers until it ends
 *        sctp_ext call ADDRESS PORT partial          large messages are given up, since something on the way lets none of them pass
 *        sctp_ext call ADDRESS PORT streams          each request of RFC 6525
 *        sctp_ext call ADDRESS PORT interleave       long messages on several streams, short ones between them
 *        sctp_ext call ADDRESS PORT pour BYTES SIZE  a checksum is kept a stream
 * UDP_OWN=port, UDP_PORT=port: packets go in UDP, from the one (usrsctp alone) to the other. IDATA=1: I-DATA must be agreed on.
 * The payload protocol of a message says what it is for (enum what). */
#include <stdbool.h>
#include <stddef.h>
#include "tests/system/sctp_calls.h"

#ifdef WITH_USRSCTP /* Debian's knows them; its header does not say so */
#define SCTP_INTERLEAVING_SUPPORTED 0x1206
#define SCTP_PR_SCTP_ALL 0x000f
#endif

#ifdef WITH_USRSCTP
#define TOLD(more) (STREAMS + (more))
#else
#define TOLD(more) (more)
#endif
enum { STREAMS = 5, MORE = 3, SMALL = 8, LARGE = 1200, LONG = 5000, EACH = 4, ALL = 3 * EACH, BIG = 60000, BUF = CALLS_BUF };
enum what { WHERE = 1, /* the answer tells the stream's number and the message's in it */
            KEPT, LOST, /* are counted */
            HOW_MANY, SUMMED, SUMS };

struct counts { uint32_t kept[STREAMS], lost[STREAMS], disorder, switches; };
struct sums { uint64_t sum[STREAMS], bytes; };

/* What is known of the association, at either end. */
static struct {
    sock s;
    uint8_t *part[STREAMS + MORE];           /* messages that come in parts */
    size_t at[STREAMS + MORE];
    struct counts counts;
    struct sums sums;
    uint32_t failed;                         /* bits: contexts of messages that were given up */
    uint16_t reset, assoc_reset, added_in, added_out;
    bool denied;
    int last_part;                           /* the stream of the message that has begun, or -1 */
} me = { .last_part = -1 };

static int fail(const char *what)
{
    fprintf(stderr, "sctp_ext: %s\n", what);
    exit(1);
}

/* ---- sockets ---- */
static void on(sock s, int name, uint32_t value)
{
    struct sctp_assoc_value v = { .assoc_value = value };

    if (calls_set(s, name, &v, sizeof(v)) != 0)
        calls_die("an extension is switched on");
}

static sock new_socket(const struct sockaddr_storage *ss)
{
    static const uint16_t events[] = { SCTP_STREAM_RESET_EVENT, SCTP_ASSOC_RESET_EVENT, SCTP_STREAM_CHANGE_EVENT, SCTP_SEND_FAILED_EVENT };
    sock s = calls_socket(ss->ss_family);
    struct sctp_initmsg init = { .sinit_num_ostreams = STREAMS, .sinit_max_instreams = 20 };
    struct sctp_rtoinfo rto = { .srto_initial = 100, .srto_min = 100, .srto_max = 200 };
    struct sctp_assocparams assoc = { .sasoc_asocmaxrxt = 200 };
    struct sctp_paddrparams path = { .spp_pathmaxrxt = 200 };
    int two = 2, little = 2000, yes = 1;

    path.spp_address.ss_family = ss->ss_family;
    if (calls_set(s, SCTP_INITMSG, &init, sizeof(init)) != 0 || calls_set(s, SCTP_RTOINFO, &rto, sizeof(rto)) != 0 ||
        calls_set(s, SCTP_ASSOCINFO, &assoc, sizeof(assoc)) != 0 || calls_set(s, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path)) != 0 ||
        calls_set(s, SCTP_NODELAY, &yes, sizeof(yes)) != 0)
        calls_die("options");
    for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        struct sctp_event e = { .se_type = events[i], .se_on = 1 };
        if (calls_set(s, SCTP_EVENT, &e, sizeof(e)) != 0)
            calls_die("SCTP_EVENT");
    }
    on(s, SCTP_PR_SUPPORTED, 1);
    on(s, SCTP_RECONFIG_SUPPORTED, 1);
    on(s, SCTP_ENABLE_STREAM_RESET, SCTP_ENABLE_RESET_STREAM_REQ | SCTP_ENABLE_RESET_ASSOC_REQ | SCTP_ENABLE_CHANGE_ASSOC_REQ);
    if (getenv("IDATA")) {
        if (calls_set(s, SCTP_FRAGMENT_INTERLEAVE, &two, sizeof(two)) != 0 ||
            calls_set(s, SCTP_PARTIAL_DELIVERY_POINT, &little, sizeof(little)) != 0)
            calls_die("interleaving");
        on(s, SCTP_INTERLEAVING_SUPPORTED, 1);
#ifndef WITH_USRSCTP
        on(s, SCTP_STREAM_SCHEDULER, SCTP_SS_RR); /* usrsctp's default */
#endif
    }
    if (getenv("UDP_PORT")) {
        struct sctp_udpencaps udp = { .sue_port = htons((uint16_t)atoi(getenv("UDP_PORT"))) };
        udp.sue_address.ss_family = ss->ss_family;
        if (calls_set(s, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, sizeof(udp)) != 0)
            calls_die("SCTP_REMOTE_UDP_ENCAPS_PORT");
    }
    return s;
}

/* ---- what comes ---- */
static void take_notice(const uint8_t *b, size_t len)
{
    union {
        struct sctp_stream_reset_event reset;
        struct sctp_assoc_reset_event assoc;
        struct sctp_stream_change_event change;
        struct sctp_send_failed_event failed;
    } n;
    uint16_t type;

    memset(&n, 0, sizeof(n));
    memcpy(&n, b, len < sizeof(n) ? len : sizeof(n));
    memcpy(&type, b, sizeof(type));
    if (type == SCTP_STREAM_RESET_EVENT) {
        me.reset |= n.reset.strreset_flags & (SCTP_STREAM_RESET_INCOMING_SSN | SCTP_STREAM_RESET_OUTGOING_SSN);
        me.denied = me.denied || n.reset.strreset_flags & (SCTP_STREAM_RESET_DENIED | SCTP_STREAM_RESET_FAILED);
    } else if (type == SCTP_ASSOC_RESET_EVENT) {
        me.assoc_reset++;
        me.denied = me.denied || n.assoc.assocreset_flags & (SCTP_ASSOC_RESET_DENIED | SCTP_ASSOC_RESET_FAILED);
    } else if (type == SCTP_STREAM_CHANGE_EVENT) {
        me.added_in = n.change.strchange_instrms; /* as Linux: how many more; usrsctp: how many there are */
        me.added_out = n.change.strchange_outstrms;
        me.denied = me.denied || n.change.strchange_flags;
    } else if (type == SCTP_SEND_FAILED_EVENT && n.failed.ssfe_info.snd_context < 32) {
        me.failed |= 1u << n.failed.ssfe_info.snd_context;
    }
}

/* A whole message, in me.part[its stream]; its length, 0 at the end. */
static size_t take(struct sctp_rcvinfo *info)
{
    static uint8_t buf[BUF];

    for (;;) {
        int flags;
        ssize_t n = calls_take(me.s, buf, sizeof(buf), info, &flags);
        uint16_t sid = info->rcv_sid;
        size_t len;

        if (n <= 0)
            return n == 0 ? 0 : (calls_die("receiving"), 0);
        if (flags & MSG_NOTIFICATION) {
            take_notice(buf, (size_t)n);
            continue;
        }
        if (sid >= STREAMS + MORE)
            fail("a stream that there is not");
        if (!me.part[sid] && !(me.part[sid] = malloc(BUF)))
            calls_die("malloc");
        if (me.at[sid] + (size_t)n > BUF)
            fail("a message without an end");
        memcpy(me.part[sid] + me.at[sid], buf, (size_t)n);
        me.at[sid] += (size_t)n;
        me.counts.switches += me.last_part >= 0 && me.last_part != sid;
        me.last_part = flags & MSG_EOR ? -1 : sid;
        if (flags & MSG_EOR) {
            len = me.at[sid];
            me.at[sid] = 0;
            return len;
        }
    }
}

struct how { uint16_t sid, flags, policy; uint32_t value, context; };

static void give(struct how h, enum what what, const void *from, size_t len)
{
    struct sctp_sndinfo info = { .snd_sid = h.sid, .snd_flags = h.flags, .snd_ppid = htonl(what), .snd_context = h.context };
    struct sctp_prinfo pr = { .pr_policy = h.policy, .pr_value = h.value };

    if (calls_give(me.s, from, len, &info, h.policy ? &pr : NULL) != (ssize_t)len)
        calls_die("sending");
}

/* ---- serve ---- */

/* The order of words counts, too. */
static uint64_t sum_of(uint64_t sum, const uint8_t *b, size_t len)
{
    uint64_t w;

    for (; len >= sizeof(w); b += sizeof(w), len -= sizeof(w)) {
        memcpy(&w, b, sizeof(w));
        sum = (sum ^ w) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
    }
    for (; len; len--)
        sum = (sum ^ *b++) * 0x100000001b3u;
    return sum;
}

static void serve_one(const struct sctp_rcvinfo *info, const uint8_t *b, size_t len)
{
    uint16_t sid = info->rcv_sid, where[2] = { sid, info->rcv_ssn };
    struct how back = { .sid = sid < STREAMS ? sid : 0 };
    uint32_t n;

    switch ((enum what)ntohl(info->rcv_ppid)) {
    case WHERE:
        give(back, WHERE, where, sizeof(where));
        return;
    case KEPT: /* numbered from 0 on each stream */
        memcpy(&n, b, sizeof(n));
        me.counts.disorder += !(info->rcv_flags & SCTP_UNORDERED) && n != me.counts.kept[sid];
        me.counts.kept[sid]++;
        return;
    case LOST:
        me.counts.lost[sid]++;
        return;
    case HOW_MANY:
        give(back, HOW_MANY, &me.counts, sizeof(me.counts));
        return;
    case SUMMED:
        me.sums.sum[sid] = sum_of(me.sums.sum[sid], b, len);
        me.sums.bytes += len;
        return;
    case SUMS:
        give(back, SUMS, &me.sums, sizeof(me.sums));
        return;
    }
    fail("a message that nobody sends");
}

static int serve(const struct sockaddr_storage *ss, socklen_t len)
{
    sock l = new_socket(ss);
    struct sctp_rcvinfo info;
    struct sockaddr_storage at = *ss;
    size_t n;

    if (calls_bind(l, (struct sockaddr *)&at, len) != 0 || calls_listen(l) != 0)
        calls_die("bind, listen");
    puts("ready");
    fflush(stdout);
    me.s = calls_accept(l);
    if (me.s == NO_SOCK)
        calls_die("accept");
    while ((n = take(&info)) > 0)
        serve_one(&info, me.part[info.rcv_sid], n);
    printf("ended; denied %d, reset %u %u, added %u %u\n", me.denied, me.reset, me.assoc_reset, me.added_in, me.added_out);
    calls_close(me.s);
    calls_close(l);
    return 0;
}

/* ---- call ---- */

/* The answer to a question of this kind. */
static const void *answer(enum what what, size_t len)
{
    struct sctp_rcvinfo info;
    size_t n = take(&info);

    if (n != len || ntohl(info.rcv_ppid) != what)
        fail(n ? "another answer" : "no answer");
    return me.part[info.rcv_sid];
}

static void ask_counts(struct counts *c)
{
    give((struct how){ .sid = 0 }, HOW_MANY, "?", 1);
    memcpy(c, answer(HOW_MANY, sizeof(*c)), sizeof(*c));
}

static unsigned bits(uint32_t v) { return (unsigned)__builtin_popcount(v); }

/* usrsctp's retransmission timer stops when parts of an I-DATA message are given up. */
static size_t long_size(void)
{
#ifdef WITH_USRSCTP
    return getenv("IDATA") ? LARGE : LONG;
#else
    return LONG;
#endif
}

/* Stream 1: messages of several packets, given up after one retransmission; stream 2: after a while; stream 3: the same, unordered. */
static void partial(void)
{
    static uint8_t large[LONG];
    struct counts c = { .disorder = 0 };
    struct sctp_prstatus st = { .sprstat_policy = SCTP_PR_SCTP_ALL };
    socklen_t len = sizeof(st);

    for (uint32_t i = 0; i < EACH; i++) {
        for (uint16_t sid = 1; sid <= 3; sid++) {
            uint16_t flags = sid == 3 ? SCTP_UNORDERED : 0;
            uint8_t small[SMALL] = { 0 };

            memcpy(small, &i, sizeof(i));
            give((struct how){ .sid = sid, .flags = flags }, KEPT, small, sizeof(small));
            give((struct how){ .sid = sid, .flags = flags, .policy = sid == 1 ? SCTP_PR_SCTP_RTX : SCTP_PR_SCTP_TTL,
                               .value = sid == 1 ? 1 : 100, .context = i * 3 + sid }, LOST, large, sid == 1 ? long_size() : LARGE);
        }
    }
    do {
        usleep(20000);
        ask_counts(&c);
    } while (c.kept[1] + c.kept[2] + c.kept[3] < ALL || bits(me.failed) < ALL);
    if (c.disorder || c.lost[1] + c.lost[2] + c.lost[3] || bits(me.failed) != ALL)
        fail("more than what was to be given up is missing, or less");
    if (calls_get(me.s, SCTP_PR_ASSOC_STATUS, &st, &len) != 0 || st.sprstat_abandoned_sent + st.sprstat_abandoned_unsent < ALL)
        fail("SCTP_PR_ASSOC_STATUS does not count what was given up");
}

/* A message on the stream: the peer sees it as number `there`, and its answer is number `here`. */
static void numbered(uint16_t sid, uint16_t there, uint16_t here, const char *what)
{
    struct sctp_rcvinfo info;
    uint16_t where[2];

    give((struct how){ .sid = sid }, WHERE, "?", 1);
    if (take(&info) != sizeof(where))
        fail(what);
    memcpy(where, me.part[info.rcv_sid], sizeof(where));
    if (where[0] != sid || where[1] != there || info.rcv_ssn != here) {
        fprintf(stderr, "stream %u: number %u there, %u here; wanted %u, %u\n", where[0], where[1], info.rcv_ssn, there, here);
        fail(what);
    }
}

/* Until the peer's word about it has come; messages go on meanwhile. */
static void until(const uint16_t *what, uint16_t wanted, const char *name)
{
    struct counts c;

    while ((*what & wanted) != wanted && !me.denied) {
        usleep(10000);
        ask_counts(&c);
    }
    if (me.denied)
        fail(name);
}

static void reset_streams(uint16_t flags, uint16_t sid)
{
    struct { struct sctp_reset_streams v; uint16_t list[1]; } r = { .v = { .srs_flags = flags, .srs_number_streams = 1 } };

    memcpy((char *)&r + offsetof(struct sctp_reset_streams, srs_stream_list), &sid, sizeof(sid));
    if (calls_set(me.s, SCTP_RESET_STREAMS, &r, offsetof(struct sctp_reset_streams, srs_stream_list) + sizeof(sid)) != 0)
        calls_die("SCTP_RESET_STREAMS");
}

static void streams(void)
{
    struct sctp_add_streams more = { .sas_outstrms = MORE };

    for (uint16_t i = 0; i < 3; i++)
        numbered(1, i, i, "numbers before");
    numbered(2, 0, 0, "another stream");
    reset_streams(SCTP_STREAM_RESET_OUTGOING, 1);
    until(&me.reset, SCTP_STREAM_RESET_OUTGOING_SSN, "our stream is not reset");
    numbered(1, 0, 3, "our stream begins anew, the peer's goes on");
    reset_streams(SCTP_STREAM_RESET_INCOMING, 1);
    until(&me.reset, SCTP_STREAM_RESET_INCOMING_SSN, "the peer's stream is not reset");
    numbered(1, 1, 0, "the peer's stream begins anew, ours goes on");
    numbered(2, 1, 1, "the other stream is as it was");
#ifndef WITH_USRSCTP /* it answers well; asking, it takes the peer's TSN for its own cumulative one, and falls silent every other time */
    if (calls_set(me.s, SCTP_RESET_ASSOC, &(sctp_assoc_t){ 0 }, sizeof(sctp_assoc_t)) != 0)
        calls_die("SCTP_RESET_ASSOC");
    until(&me.assoc_reset, 1, "the association is not reset");
    numbered(1, 0, 0, "all begins anew");
#endif
    if (calls_set(me.s, SCTP_ADD_STREAMS, &more, sizeof(more)) != 0)
        calls_die("SCTP_ADD_STREAMS");
    until(&me.added_out, TOLD(MORE), "no more streams");
    give((struct how){ .sid = STREAMS + MORE - 1 }, WHERE, "?", 1);
    if (memcmp(answer(WHERE, 4), &(uint16_t[2]){ STREAMS + MORE - 1, 0 }, 4) != 0)
        fail("the new stream does not work");
}

static void fill(uint8_t *b, size_t len, uint64_t *state)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        memcpy(b + i, state, 8);
    }
}

static void check_sums(const struct sums *sent)
{
    struct sums there;

    /* Streams do not wait for each other: the question may be there first. */
    do {
        give((struct how){ .sid = 0 }, SUMS, "?", 1);
        memcpy(&there, answer(SUMS, sizeof(there)), sizeof(there));
        if (there.bytes < sent->bytes)
            usleep(10000);
    } while (there.bytes < sent->bytes);
    if (memcmp(&there, sent, sizeof(there)) != 0)
        fail("the checksums differ");
    printf("%llu bytes\n", (unsigned long long)there.bytes);
}

static void pour(uint64_t bytes, size_t size)
{
    static uint8_t buf[BUF];
    struct sums sent = { .bytes = 0 };
    uint64_t state = 1;

    if (size == 0 || size > BUF)
        fail("no such size");
    for (uint16_t sid = 0; sent.bytes < bytes; sid = (uint16_t)((sid + 1) % STREAMS)) {
        fill(buf, size, &state);
        give((struct how){ .sid = sid }, SUMMED, buf, size);
        sent.sum[sid] = sum_of(sent.sum[sid], buf, size);
        sent.bytes += size;
    }
    check_sums(&sent);
}

/* Long messages on streams 1 to 3, short ones on stream 4 among them: all whole and in order. */
static void interleave(void)
{
    static uint8_t buf[BIG];
    struct sums sent = { .bytes = 0 };
    struct counts c;
    uint64_t state = 7;

    for (unsigned i = 0; i < 6; i++) {
        for (uint16_t sid = 1; sid <= 4; sid++) {
            size_t len = sid == 4 ? 40 : BIG;

            fill(buf, len, &state);
            give((struct how){ .sid = sid }, SUMMED, buf, len);
            sent.sum[sid] = sum_of(sent.sum[sid], buf, len);
            sent.bytes += len;
        }
    }
    check_sums(&sent);
    ask_counts(&c);
    printf("a message came between the parts of another %u times\n", c.switches);
}

static void check_idata(void)
{
    struct sctp_assoc_value v = { .assoc_value = 0 };
    socklen_t len = sizeof(v);

    if (calls_get(me.s, SCTP_INTERLEAVING_SUPPORTED, &v, &len) != 0 || v.assoc_value != 1)
        fail("I-DATA was not agreed on");
}

static int call(const struct sockaddr_storage *ss, socklen_t len, int argc, char **argv)
{
    struct sctp_rcvinfo info;
    struct sockaddr_storage to = *ss;

    me.s = new_socket(ss);
    if (calls_connect(me.s, (struct sockaddr *)&to, len) != 0)
        calls_die("connect");
    if (getenv("IDATA"))
        check_idata();
    if (!strcmp(argv[0], "partial"))
        partial();
    else if (!strcmp(argv[0], "streams"))
        streams();
    else if (!strcmp(argv[0], "interleave"))
        interleave();
    else if (!strcmp(argv[0], "pour") && argc == 3)
        pour(strtoull(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
    else
        return 2;
    calls_shutdown(me.s);
    while (take(&info) > 0)
        ;
    calls_close(me.s);
    puts("done");
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage ss;
    socklen_t len;
    int rc;

    if (argc < 4)
        return 2;
    calls_begin((uint16_t)(getenv("UDP_OWN") ? atoi(getenv("UDP_OWN")) : 0));
    len = calls_address(argv[2], atoi(argv[3]), &ss);
    if (!strcmp(argv[1], "serve"))
        rc = serve(&ss, len);
    else if (!strcmp(argv[1], "call") && argc > 4)
        rc = call(&ss, len, argc - 4, argv + 4);
    else
        return 2;
    calls_end();
    for (unsigned i = 0; i < STREAMS + MORE; i++)
        free(me.part[i]);
    return rc;
}
