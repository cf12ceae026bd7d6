/* sctp_input.c - packets in: checksum, association, verification tag (RFC 9260 s8.5), and chunk by chunk by the table below */
#include "common/crc32c.h"
#include "server/capture/capture.h"
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include "server/ip/interface.h"

typedef void sctp_chunk_fn(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);

/* Permitted states, as bits. */
enum {
    CW = 1 << SCTP_S_COOKIE_WAIT, CE = 1 << SCTP_S_COOKIE_ECHOED, ES = 1 << SCTP_S_ESTABLISHED, SP = 1 << SCTP_S_SHUTDOWN_PENDING,
    SS = 1 << SCTP_S_SHUTDOWN_SENT, SR = 1 << SCTP_S_SHUTDOWN_RECEIVED, SA = 1 << SCTP_S_SHUTDOWN_ACK_SENT,
    ANY = CW | CE | ES | SP | SS | SR | SA, UP = ES | SP | SS | SR | SA,
};
enum { ALONE = 1, TAG_T = 2, TAG_ZERO = 4, IS_DATA = 8, LAST = 16 };

struct rule {
    sctp_chunk_fn *fn;
    uint16_t min_len;
    uint8_t states;
    uint8_t flags;
    const char *section;
    uint32_t feature;                /* without it the chunk is one of those that are not known (s3.2) */
};
static const struct rule rules[256] = {
    [SCTP_CT_DATA] = { sctp_data_input, SCTP_DATA_HDR, ES | SP | SS, IS_DATA, "RFC 9260 s6.2" },
    [SCTP_CT_INIT] = { sctp_init_input, SCTP_INIT_LEN, ANY, ALONE | TAG_ZERO, "RFC 9260 s5.2.1, s5.2.2" },
    [SCTP_CT_INIT_ACK] = { sctp_init_ack_input, SCTP_INIT_LEN, CW, ALONE, "RFC 9260 s5.1 C, s5.2.3" },
    [SCTP_CT_SACK] = { sctp_sack_input, SCTP_SACK_LEN, ES | SP | SR, 0, "RFC 9260 s6, s6.2.1" },
    [SCTP_CT_HEARTBEAT] = { sctp_heartbeat_input, SCTP_CHUNK_HDR, UP | CE, 0, "RFC 9260 s8.3" },
    [SCTP_CT_HEARTBEAT_ACK] = { sctp_heartbeat_ack_input, SCTP_CHUNK_HDR, UP, 0, "RFC 9260 s8.3" },
    [SCTP_CT_ABORT] = { sctp_abort_input, SCTP_CHUNK_HDR, ANY, TAG_T, "RFC 9260 s9.1" },
    [SCTP_CT_SHUTDOWN] = { sctp_shutdown_input, 8, ES | SP | SS | SR | SA, 0, "RFC 9260 s9.2" },
    [SCTP_CT_SHUTDOWN_ACK] = { sctp_shutdown_ack_input, SCTP_CHUNK_HDR, ANY, 0, "RFC 9260 s9.2, s8.5.1 E" },
    [SCTP_CT_ERROR] = { sctp_error_input, SCTP_CHUNK_HDR, UP | CE, 0, "RFC 9260 s3.3.10" },
    [SCTP_CT_COOKIE_ECHO] = { sctp_cookie_echo_input, SCTP_CHUNK_HDR + 1, ANY, 0, "RFC 9260 s5.2.4" },
    [SCTP_CT_COOKIE_ACK] = { sctp_cookie_ack_input, SCTP_CHUNK_HDR, CE, 0, "RFC 9260 s5.1 E, s5.2.5" },
    [SCTP_CT_SHUTDOWN_COMPLETE] = { sctp_shutdown_complete_input, SCTP_CHUNK_HDR, SA, ALONE | TAG_T, "RFC 9260 s8.5.1 C" },
    [SCTP_CT_IDATA] = { sctp_data_input, SCTP_IDATA_HDR, ES | SP | SS, IS_DATA, "RFC 8260 s2.1", SCTP_F_IDATA },
    [SCTP_CT_IFORWARD_TSN] = { sctp_forward_tsn_input, 8, ES | SP | SS, 0, "RFC 8260 s2.3.1", SCTP_F_IDATA },
    [SCTP_CT_FORWARD_TSN] = { sctp_forward_tsn_input, 8, ES | SP | SS, 0, "RFC 3758 s3.6" },
    [SCTP_CT_ECNE] = { sctp_ecne_input, 8, UP, 0, "RFC 4960 App. A", SCTP_F_ECN },
    [SCTP_CT_CWR] = { sctp_cwr_input, 8, UP, 0, "RFC 4960 App. A", SCTP_F_ECN },
    [SCTP_CT_RECONF] = { sctp_reconf_input, SCTP_CHUNK_HDR + SCTP_PARAM_HDR, ES | SP | SS | SR, LAST, "RFC 6525 s5.2", SCTP_F_RECONF },
    [SCTP_CT_ASCONF] = { sctp_asconf_input, 16, ES | SP | SS | SR, 0, "RFC 5061 s5.2", SCTP_F_ASCONF },
    [SCTP_CT_ASCONF_ACK] = { sctp_asconf_ack_input, 8, ES | SP | SS | SR, 0, "RFC 5061 s5.1", SCTP_F_ASCONF },
    [SCTP_CT_AUTH] = { sctp_auth_input, SCTP_AUTH_HDR, ANY, 0, "RFC 4895 s6.3" },
    [SCTP_CT_PAD] = { NULL, SCTP_CHUNK_HDR, ANY, 0, "RFC 4820 s3" },
};

/* The next chunk of the packet: 1, 0 at the end, -1: its length cannot be (s3.2). */
static int next_chunk(const struct sctp_in *in, uint32_t *off, struct sctp_chunk *c)
{
    if (*off == in->len)
        return 0;
    if (in->len - *off < SCTP_CHUNK_HDR)
        return -1;
    const uint8_t *b = in->b + *off;
    *c = (struct sctp_chunk){ .type = b[0], .flags = b[1], .len = sctp_get16(b + 2), .b = b };
    if (c->len < SCTP_CHUNK_HDR || c->len > in->len - *off)
        return -1;
    *off += hs_min_u32(sctp_pad(c->len), in->len - *off);
    return 1;
}

/* RFC 4895 s6.3: a cookie behind an AUTH chunk is still the first. */
static const struct sctp_chunk *behind_auth(const struct sctp_in *in, uint32_t off, const struct sctp_chunk *c, struct sctp_chunk *room)
{
    return c->type == SCTP_CT_AUTH && next_chunk(in, &off, room) > 0 && room->type == SCTP_CT_COOKIE_ECHO ? room : c;
}

/* s8.5, s8.5.1: does the packet's tag fit what its first chunk is? */
static bool tag_ok(const struct sctp_assoc *a, const struct sctp_in *in, const struct sctp_chunk *c)
{
    const struct rule *r = &rules[c->type];

    if (r->flags & TAG_ZERO)
        return in->tag == 0;
    if ((r->flags & TAG_T) && (c->flags & SCTP_FLAG_T))
        return in->tag == a->peer_tag && a->peer_tag != 0; /* B, C: the other's tag, reflected */
    if (c->type == SCTP_CT_COOKIE_ECHO && in->tag != a->my_tag)
        return true; /* D: a restart's cookie has its own tag, and is looked at there */
    return in->tag == a->my_tag;
}

static void unknown_chunk(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    sctp_count(w, SCTP_N_drop_chunk);
    if (sctp_unknown_is_report(c->type) && a->state >= SCTP_S_ESTABLISHED) /* s5.1 C: nothing but the cookie before */
        sctp_error_send(w, a, in, SCTP_C_UNKNOWN_CHUNK, c->b, c->len);
}

/* Chunks of a packet whose association is a. It may go on the way: its id is asked each time. */
static void chunks_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in)
{
    struct sctp_chunk c;
    struct sctp_chunk last = { .b = NULL };
    uint32_t off = 0, id = a->id;
    int more;

    a->n_rx_packets++;
    for (in->n_chunks = 0; (more = next_chunk(in, &off, &c)) > 0 && in->n_chunks < SCTP_CHUNKS_PER_PACKET; in->n_chunks++) {
        const struct rule *r = &rules[c.type];
        struct sctp_chunk room;
        if (in->n_chunks == 0 && !tag_ok(a, in, behind_auth(in, off, &c, &room))) {
            sctp_count(w, SCTP_N_drop_tag);
            return;
        }
        if (in->n_chunks == 0 && in->tag == a->my_tag && ip_addr_eq(&in->path->ip, &in->rmt.ip))
            sctp_path_take_udp(w, in->path, in->udp_port);
        if (!r->section || (r->feature && !sctp_has(a, r->feature)) || (c.type == SCTP_CT_AUTH && !a->auth)) {
            unknown_chunk(w, a, in, &c);
            if (sctp_unknown_is_stop(c.type))
                break;
            continue;
        }
        if ((r->flags & ALONE) && (in->n_chunks > 0 || off != in->len)) { /* s4.3: never bundled */
            sctp_count(w, SCTP_N_drop_bundled);
            return;
        }
        if (in->auth != SCTP_AUTH_GOOD && sctp_auth_is_wanted(a, c.type)) { /* RFC 4895 s6.3: silently */
            sctp_count(w, SCTP_N_drop_auth);
            continue;
        }
        if (in->n_chunks > 0 && c.type == SCTP_CT_ABORT && (c.flags & SCTP_FLAG_T)) {
            sctp_count(w, SCTP_N_drop_tag);
            return;
        }
        if (c.len < r->min_len) {
            if (c.type == SCTP_CT_INIT || c.type == SCTP_CT_INIT_ACK || a->state < SCTP_S_ESTABLISHED || in->tag != a->my_tag ||
                !sctp_auth_may_end(a, in))
                sctp_count(w, SCTP_N_drop_short);
            else
                sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
            return;
        }
        if (!(r->states & (1u << a->state))) {
            sctp_count(w, SCTP_N_drop_state);
            if (r->flags & IS_DATA) /* s6.2, s9.2: data in these states is not taken, and not acknowledged */
                break;
            continue;
        }
        if (r->flags & LAST) {
            if (last.b) /* an answer, and now a request */
                r->fn(w, a, in, &last);
            last = c;
        } else if (r->fn) {
            r->fn(w, a, in, &c);
        }
        if (sctp_assoc_by_id(w, id) != a || a->dead || !in->path)
            return;
        if (in->auth == SCTP_AUTH_BAD)
            break;
        /* a cookie of another association, a reflected tag: nothing that follows has a right to be here */
        if (in->tag != a->my_tag && c.type != SCTP_CT_AUTH) {
            more = 0;
            break;
        }
    }
    if (more < 0) {
        sctp_count(w, SCTP_N_drop_short);
        if (in->tag != a->my_tag || (off < in->len && in->b[off] == SCTP_CT_ABORT)) /* it may be of anybody (s8.5); s3.3.7: silently */
            return;
        if (a->state >= SCTP_S_ESTABLISHED && sctp_auth_may_end(a, in)) { /* s3.2: may be answered so */
            sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
            return;
        }
    }
    /* A SACK behind the request counts for it: usrsctp sends them so, and does not ask again (RFC 6525 s5.2.3, s5.2.4). */
    if (last.b && rules[last.type].states & (1u << a->state)) {
        rules[last.type].fn(w, a, in, &last);
        if (sctp_assoc_by_id(w, id) != a || a->dead)
            return;
    }
    sctp_packet_seen(w, a, in);
    sctp_touch(w, a);
}

void sctp_chunks_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in)
{
    uint32_t id = a->id;

    chunks_input(w, a, in);
    sctp_reply_flush(w, sctp_assoc_by_id(w, id) == a ? a : NULL, in);
}

/* An INIT in the middle of other chunks, and the like, is found in the table; here only who it is for. */
void sctp_input_bytes(struct worker *w, struct sctp_in *in, const uint8_t *b, uint32_t len, bool csum_good)
{
    uint32_t crc, got;
    uint8_t zero[4] = { 0 };

    sctp_count(w, SCTP_N_rx_packets);
    if (len < SCTP_COMMON_LEN + SCTP_CHUNK_HDR) {
        sctp_count(w, SCTP_N_drop_short);
        return;
    }
    memcpy(&got, b + 8, 4);
    if (!csum_good) {
        crc = crc32c(UINT32_MAX, b, 8);
        crc = crc32c(crc, zero, 4);
        crc = ~crc32c(crc, b + SCTP_COMMON_LEN, len - SCTP_COMMON_LEN);
        if (crc != got) { /* s6.8: silently */
            sctp_count(w, SCTP_N_drop_checksum);
            return;
        }
    }
    memcpy(&in->rmt.port, b, 2);
    memcpy(&in->lcl.port, b + 2, 2);
    in->tag = sctp_get32(b + 4);
    in->packet = b;
    in->packet_len = len;
    in->b = b + SCTP_COMMON_LEN;
    in->len = len - SCTP_COMMON_LEN;
    if (in->rmt.port.raw == 0 || in->lcl.port.raw == 0 || ip_addr_is_multicast(&in->rmt.ip) || ip_addr_is_any(&in->rmt.ip) ||
        ip_addr_is_broadcast(&in->rmt.ip)) {
        sctp_count(w, SCTP_N_drop_address);
        return;
    }
    in->path = sctp_find(w, &in->lcl, &in->rmt, in->fib);
    if (in->path)
        sctp_chunks_input(w, in->path->a, in);
    else
        sctp_ootb(w, in);
}

static void input_one(struct worker *w, struct pkt *p, uint16_t udp_port)
{
    bool is_watched = capture_is_on(w);
    uint64_t before[SCTP_N_MAX];
    struct sctp_worker *sw = sctp_worker_of(w);
    struct pkt_meta *m = pkt_meta(p);
    struct sctp_in in = { .lcl.ip = m->dst, .rmt.ip = m->src, .fib = m->ifc ? m->ifc->fib : 0, .udp_port = udp_port,
                          .is_ce = (m->tos & 3) == 3 };
    uint32_t len = pkt_len(p);
    const uint8_t *b = pkt_data(p);

    if (is_watched)
        sctp_watch_begin(w, before);
    if (m->flags & PKT_BCAST || len > 65536) { /* s8.4: never answered */
        sctp_count(w, SCTP_N_drop_address);
    } else {
        if (pkt_first_len(p) < len) {
            pkt_copy_out(p, 0, sw->flat, len);
            b = sw->flat;
        }
        sctp_input_bytes(w, &in, b, len, (m->flags & PKT_LOCAL) || (!udp_port && (m->flags & PKT_L4_CSUM_GOOD)));
    }
    if (is_watched)
        sctp_watch_end(w, p, &in, before);
    pkt_free(p);
}

void sctp_input(struct worker *w, struct pkt **pkts, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        input_one(w, pkts[i], 0);
    sctp_touched_run(w);
}

void sctp_input_in_udp(struct worker *w, struct pkt *p, be16 rmt_port)
{
    if (rmt_port.raw == 0) { /* nobody to answer */
        sctp_count(w, SCTP_N_drop_address);
        pkt_free(p);
        return;
    }
    input_one(w, p, be16_get(rmt_port));
    sctp_touched_run(w);
}
