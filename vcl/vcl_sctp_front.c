/* vcl_sctp_front.c - the message or notification that the program reads next: from the FIFO, or made here
 *
 * Over a network the server writes every notification into the FIFO; here they are only skipped when the program has not asked for
 * them (RFC 6458 s6.2). Cut-through there is no protocol between the two programs: the first record of either side says how many
 * streams it wants, the end of its FIFO is its SHUTDOWN or ABORT, and the notifications of it are made here. */
#include "vcl/vcl_sctp_internal.h"

enum { NOTES_MAX = SVM_PAIR_FIFO_MAX / sizeof(struct svm_sctp_record) }; /* that are thrown away in a call: as many as a FIFO holds */

bool vcl_sctp_wants_note(const struct vcl_sctp *c, unsigned type)
{
    if (type == SCTP_SEND_FAILED_EVENT && c->o.events & 1u << (SCTP_SEND_FAILED - SCTP_SN_TYPE_BASE))
        return true; /* told in the old form, see below */
    return type > SCTP_SN_TYPE_BASE && type <= SCTP_SN_TYPE_MAX && c->o.events & 1u << (type - SCTP_SN_TYPE_BASE);
}

static uint32_t record_size(const struct svm_sctp_record *r)
{
    return r->h.hdr_len + ((r->h.data_len + 7u) & ~7u);
}

/* The record at the front: 1, 0 or -errno. */
static int peek_record(struct vcl_socket *s, struct svm_sctp_record *r)
{
    int64_t avail, n;

    if (hs_unlikely(s->rest != NULL))
        vcl_rest_turn(s);
    avail = svm_fifo_cons_avail(&s->rx);
    if (avail <= 0)
        return (int)avail;
    n = svm_fifo_peek(&s->rx, 0, r, sizeof(*r));
    if (n < 0)
        return (int)n;
    if (n < (int64_t)sizeof(*r) || r->h.version != 1 || r->h.hdr_len < sizeof(*r) || r->h.hdr_len % 8 ||
        r->h.data_len > SVM_SCTP_RECORD_MAX || r->h.data_len == 0 || r->tlv.type != SVM_TLV_SCTP ||
        r->tlv.len != sizeof(r->info) || record_size(r) > avail)
        return -EPROTO;
    if (hs_unlikely(s->sctp->rx_done > r->h.data_len)) { /* another process has read on since this one has read a part */
        if (!s->shared)
            return -EPROTO;
        s->sctp->rx_done = 0;
    }
    return 1;
}

static int drop_record(struct vcl_socket *s, const struct svm_sctp_record *r)
{
    s->sctp->rx_done = 0;
    return svm_fifo_drop(&s->rx, record_size(r));
}

/* Where the association's id stands in a notification; 0 = nowhere. */
static size_t id_offset(unsigned type)
{
    switch (type) {
    case SCTP_ASSOC_CHANGE:
        return offsetof(struct sctp_assoc_change, sac_assoc_id);
    case SCTP_PEER_ADDR_CHANGE:
        return offsetof(struct sctp_paddr_change, spc_assoc_id);
    case SCTP_SEND_FAILED:
        return offsetof(struct sctp_send_failed, ssf_assoc_id);
    case SCTP_SEND_FAILED_EVENT:
        return offsetof(struct sctp_send_failed_event, ssf_assoc_id);
    case SCTP_REMOTE_ERROR:
        return offsetof(struct sctp_remote_error, sre_assoc_id);
    case SCTP_SHUTDOWN_EVENT:
        return offsetof(struct sctp_shutdown_event, sse_assoc_id);
    case SCTP_PARTIAL_DELIVERY_EVENT:
        return offsetof(struct sctp_pdapi_event, pdapi_assoc_id);
    case SCTP_ADAPTATION_INDICATION:
        return offsetof(struct sctp_adaptation_event, sai_assoc_id);
    case SCTP_AUTHENTICATION_EVENT:
        return offsetof(struct sctp_authkey_event, auth_assoc_id);
    case SCTP_SENDER_DRY_EVENT:
        return offsetof(struct sctp_sender_dry_event, sender_dry_assoc_id);
    case SCTP_STREAM_RESET_EVENT:
        return offsetof(struct sctp_stream_reset_event, strreset_assoc_id);
    case SCTP_ASSOC_RESET_EVENT:
        return offsetof(struct sctp_assoc_reset_event, assocreset_assoc_id);
    case SCTP_STREAM_CHANGE_EVENT:
        return offsetof(struct sctp_stream_change_event, strchange_assoc_id);
    default:
        return 0;
    }
}

static void put_id(const struct vcl_socket *s, uint8_t *note, size_t len)
{
    sctp_assoc_t id = (sctp_assoc_t)s->sctp->assoc_id;
    uint16_t type;
    size_t at;

    memcpy(&type, note, sizeof(type));
    at = id_offset(type);
    if (at && at + sizeof(id) <= len)
        memcpy(note + at, &id, sizeof(id));
}

/* Who asked for SCTP_SEND_FAILED (RFC 6458 s6.1.4, deprecated) and not for SCTP_SEND_FAILED_EVENT (s6.1.11) gets that form. */
static bool wants_old_form(const struct vcl_sctp *c) { return !(c->o.events & 1u << (SCTP_SEND_FAILED_EVENT - SCTP_SN_TYPE_BASE)); }

static void to_old_form(struct vcl_sctp_front *f)
{
    struct sctp_send_failed_event e;
    struct sctp_send_failed o;

    memcpy(&e, f->head, sizeof(e));
    memset(&o, 0, sizeof(o));
    o.ssf_type = SCTP_SEND_FAILED;
    o.ssf_flags = e.ssf_flags;
    o.ssf_error = e.ssf_error;
    o.ssf_info.sinfo_stream = e.ssfe_info.snd_sid;
    o.ssf_info.sinfo_flags = e.ssfe_info.snd_flags;
    o.ssf_info.sinfo_ppid = e.ssfe_info.snd_ppid;
    o.ssf_info.sinfo_context = e.ssfe_info.snd_context;
    f->tail_off = sizeof(e);
    f->head_len = sizeof(o);
    f->len = f->head_len + (f->r.h.data_len - f->tail_off);
    o.ssf_length = f->len;
    memcpy(f->head, &o, sizeof(o));
}

/* Cut-through: the first record is the other side's INIT. What was asked for there and here gives the numbers of streams
 * (RFC 9260 s5.1.1). */
static void take_hello(struct vcl_socket *s, struct vcl_sctp_front *f)
{
    struct vcl_sctp *c = s->sctp;
    struct vcl_sctp_hello h;

    memset(&h, 0, sizeof(h));
    memcpy(&h, f->head, hs_min_u32(f->head_len, sizeof(h)));
    c->in_streams = (uint16_t)hs_min_u32(h.up.sac_outbound_streams, c->o.init.sinit_max_instreams);
    c->out_streams = (uint16_t)hs_min_u32(c->out_streams, h.up.sac_inbound_streams);
    h.up.sac_outbound_streams = c->out_streams;
    h.up.sac_inbound_streams = c->in_streams;
    f->len = f->head_len = f->tail_off = sizeof(h.up);
    h.up.sac_length = sizeof(h.up);
    memcpy(f->head, &h.up, sizeof(h.up));
    if (!c->is_up && h.has_adaptation && vcl_sctp_wants_note(c, SCTP_ADAPTATION_INDICATION)) {
        c->due |= VCL_SCTP_ADAPTATION;
        c->peer_adaptation = h.adaptation;
    }
    c->is_up = true;
}

static void note_up(struct vcl_socket *s, struct vcl_sctp_front *f)
{
    struct sctp_assoc_change up;

    memcpy(&up, f->head, sizeof(up));
    if (up.sac_type != SCTP_ASSOC_CHANGE || (up.sac_state != SCTP_COMM_UP && up.sac_state != SCTP_RESTART))
        return;
    if (vcl_sctp_is_near(s)) {
        take_hello(s, f);
        return;
    }
    s->sctp->is_up = true;
    s->sctp->out_streams = up.sac_outbound_streams;
    s->sctp->in_streams = up.sac_inbound_streams;
}

/* Cut-through another program has written it, which may tell of itself but nothing of the association. */
static bool is_hello(const struct vcl_sctp_front *f)
{
    struct sctp_assoc_change up;

    memcpy(&up, f->head, sizeof(up));
    return f->r.h.data_len == sizeof(struct vcl_sctp_hello) && up.sac_type == SCTP_ASSOC_CHANGE && up.sac_state == SCTP_COMM_UP;
}

/* The notification at the front of the FIFO: 1 = the program wants it, 0 = dropped, or -errno. */
static int look_note(struct vcl_socket *s, struct vcl_sctp_front *f)
{
    struct vcl_sctp *c = s->sctp;
    uint16_t type;
    int64_t n;

    memset(f->head, 0, sizeof(f->head));
    f->head_len = hs_min_u32(f->r.h.data_len, sizeof(f->head));
    n = svm_fifo_peek(&s->rx, f->r.h.hdr_len, f->head, f->head_len);
    if (n != (int64_t)f->head_len || n < (int64_t)sizeof(struct sctp_shutdown_event))
        return n < 0 ? (int)n : -EPROTO;
    f->kind = VCL_SCTP_NOTE;
    f->len = f->r.h.data_len;
    f->tail_off = f->head_len;
    memcpy(&type, f->head, sizeof(type));
    if (vcl_sctp_is_near(s) && !is_hello(f))
        return -EPROTO;
    note_up(s, f);
    if (!vcl_sctp_wants_note(c, type)) {
        int rc = drop_record(s, &f->r);

        return rc;
    }
    if (type == SCTP_SEND_FAILED_EVENT && wants_old_form(c) && f->head_len >= sizeof(struct sctp_send_failed_event))
        to_old_form(f);
    put_id(s, f->head, f->head_len);
    return 1;
}

/* Which of the notifications that are made here comes now, the FIFO being as it is; 0 = none. */
static uint8_t due_note(struct vcl_socket *s, bool is_empty)
{
    struct vcl_sctp *c = s->sctp;
    bool rst, fin;

    if (c->making)
        return c->making;
    if (c->due && !c->in_message && !c->rx_done) {
        uint8_t soon = c->due & (VCL_SCTP_ADAPTATION | VCL_SCTP_DRY), last = c->due & (VCL_SCTP_LOST | VCL_SCTP_CANT);

        if (c->due & VCL_SCTP_UNSENT)
            return VCL_SCTP_UNSENT;

        if (soon || (last && is_empty))
            return soon & VCL_SCTP_ADAPTATION ? VCL_SCTP_ADAPTATION : soon ? VCL_SCTP_DRY : last & VCL_SCTP_LOST ? VCL_SCTP_LOST : VCL_SCTP_CANT;
    }
    if (!s->has_fifos || c->aborted)
        return 0;
    if (!vcl_sctp_is_near(s) || !is_empty)
        return 0;
    rst = svm_fifo_cons_rst(vcl_rx_last(s));
    fin = svm_fifo_cons_is_fin(vcl_rx_last(s)) || atomic_load_explicit(&s->peer_gone, memory_order_acquire);
    if ((!rst && !fin) || svm_fifo_cons_avail(&s->rx) != 0) /* the end may have come with messages before it */
        return 0;
    if (rst)
        return c->told & VCL_SCTP_LOST || !vcl_sctp_wants_note(c, SCTP_ASSOC_CHANGE) ? 0 : VCL_SCTP_LOST;
    if (vcl_sctp_answer_fin(s))
        c->fin_due = true;
    if (!c->i_shut && !(c->told & VCL_SCTP_SHUTDOWN) && vcl_sctp_wants_note(c, SCTP_SHUTDOWN_EVENT))
        return VCL_SCTP_SHUTDOWN;
    return c->told & VCL_SCTP_COMP || !vcl_sctp_wants_note(c, SCTP_ASSOC_CHANGE) ? 0 : VCL_SCTP_COMP;
}

static void make_unsent(struct vcl_socket *s, struct vcl_sctp_front *f)
{
    struct vcl_sctp *c = s->sctp;
    const struct vcl_sctp_held *h = c->held;
    struct sctp_send_failed_event n = { .ssf_type = SCTP_SEND_FAILED_EVENT, .ssf_flags = SCTP_DATA_UNSENT };

    n.ssf_length = f->len = f->r.h.data_len = (uint32_t)(sizeof(n) + h->len);
    n.ssfe_info.snd_sid = h->info.stream;
    n.ssfe_info.snd_flags = h->info.flags;
    n.ssfe_info.snd_ppid = h->info.ppid;
    n.ssfe_info.snd_context = h->info.context;
    memset(f->head, 0, sizeof(f->head));
    memcpy(f->head, &n, sizeof(n));
    f->head_len = sizeof(n);
    f->tail_off = 0;
    f->kind = VCL_SCTP_NOTE;
    f->made = VCL_SCTP_UNSENT;
    if (wants_old_form(c))
        to_old_form(f);
    f->tail = h->bytes;
    put_id(s, f->head, f->head_len);
}

static void make_note(struct vcl_socket *s, struct vcl_sctp_front *f, uint8_t which)
{
    union {
        struct sctp_assoc_change change;
        struct sctp_shutdown_event shutdown;
        struct sctp_adaptation_event adaptation;
        struct sctp_sender_dry_event dry;
    } n;

    memset(&n, 0, sizeof(n));
    switch ((enum vcl_sctp_note)which) {
    case VCL_SCTP_UNSENT:
        make_unsent(s, f);
        return;
    case VCL_SCTP_DRY:
        n.dry.sender_dry_type = SCTP_SENDER_DRY_EVENT;
        f->len = n.dry.sender_dry_length = sizeof(n.dry);
        break;
    case VCL_SCTP_ADAPTATION:
        n.adaptation.sai_type = SCTP_ADAPTATION_INDICATION;
        n.adaptation.sai_adaptation_ind = s->sctp->peer_adaptation;
        f->len = n.adaptation.sai_length = sizeof(n.adaptation);
        break;
    case VCL_SCTP_SHUTDOWN:
        n.shutdown.sse_type = SCTP_SHUTDOWN_EVENT;
        f->len = n.shutdown.sse_length = sizeof(n.shutdown);
        break;
    case VCL_SCTP_COMP:
    case VCL_SCTP_LOST:
    case VCL_SCTP_CANT:
        n.change.sac_type = SCTP_ASSOC_CHANGE;
        n.change.sac_state = which == VCL_SCTP_COMP ? SCTP_SHUTDOWN_COMP : which == VCL_SCTP_LOST ? SCTP_COMM_LOST : SCTP_CANT_STR_ASSOC;
        n.change.sac_outbound_streams = s->sctp->out_streams;
        n.change.sac_inbound_streams = s->sctp->in_streams;
        f->len = n.change.sac_length = sizeof(n.change);
        break;
    }
    memcpy(f->head, &n, sizeof(n));
    put_id(s, f->head, sizeof(n));
    f->kind = VCL_SCTP_NOTE;
    f->made = which;
    f->head_len = f->len;
}

int vcl_sctp_look(struct vcl_socket *s, struct vcl_sctp_front *f)
{
    f->made = 0;
    f->tail = NULL;
    for (unsigned n = 0; n < NOTES_MAX; n++) {
        int rc = s->has_fifos && !s->sctp->is_broken ? peek_record(s, &f->r) : 0;
        uint8_t which;

        if (rc < 0)
            return rc;
        which = due_note(s, rc == 0);
        if (which) {
            make_note(s, f, which);
            return 1;
        }
        if (rc == 0)
            return 0;
        if (!(f->r.info.flags & SCTP_NOTIFICATION)) {
            f->kind = VCL_SCTP_DATA;
            f->len = f->r.h.data_len;
            f->head_len = f->tail_off = 0;
            return 1;
        }
        rc = look_note(s, f);
        if (rc)
            return rc;
    }
    return 0; /* for this time */
}

int vcl_sctp_next(struct vcl_socket *s, const struct vcl_sctp_front *f)
{
    struct vcl_sctp *c = s->sctp;

    if (!f->made) {
        c->in_message = f->kind == VCL_SCTP_DATA && f->r.h.flags & SVM_DGRAM_MORE;
        return drop_record(s, &f->r);
    }
    c->rx_done = 0;
    c->making = 0;
    if (f->made == VCL_SCTP_UNSENT)
        vcl_sctp_held_next(c);
    if (f->made != VCL_SCTP_UNSENT || !c->held)
        c->due &= (uint8_t)~f->made;
    c->told |= f->made;
    return 0;
}

bool vcl_sctp_has_data(struct vcl_socket *s)
{
    struct vcl_sctp_front f;

    /* A peer may put them there as fast as they are thrown away. */
    for (unsigned n = 0; n < NOTES_MAX && vcl_sctp_look(s, &f) == 1; n++) {
        if (f.kind == VCL_SCTP_DATA)
            return true;
        if (vcl_sctp_next(s, &f) != 0)
            return false;
    }
    return false;
}
