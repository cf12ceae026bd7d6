/* tcp_sent.h - what is in flight: when each byte was sent, what the peer holds of it, what is lost, and recovery's state
 *
 * The bytes from snd_una to snd_nxt are a sorted list of runs; all bytes of a run were sent at (about) the same time and have
 * the same marks. Sending extends the last run or adds one, an ACK cuts runs off at the front, SACK blocks and retransmissions
 * split them. Recovery is a set of small pieces over this list:
 *
 *   tcp_ack_process() -> tcp_sack_update(), tcp_sent_ack()   what the ACK says was delivered
 *                     -> tcp_recovery_ack()                  states; TLP, undo, RACK, PRR in turn
 *   tcp_tx()          -> tcp_sent_next_lost(), tcp_sent_resent(), tcp_sent_add()
 *   timers            -> tcp_tlp_fire(), tcp_rack_fire(), tcp_loss_enter()
 *
 * Owner:  one per tcp_conn while something is in flight, from the worker's pool: an idle connection has none.
 * Thread: owning worker only.
 * Memory: process-private.
 * Errors: -ENOBUFS: no memory for another run, nothing may be sent now. */
#ifndef HOSTSTACK_SERVER_TCP_SENT_H
#define HOSTSTACK_SERVER_TCP_SENT_H

#include "server/tcp/tcp_internal.h"

enum {
    TCP_RUNS_INLINE = 8,     /* a request, or a window sent in a few turns */
    TCP_RUNS_MAX = 4096,     /* bounds the work a peer can cause with scattered SACK blocks ... */
    TCP_RUNS_SACK_MAX = 3840, /* ... which may not use up the room that sending needs */
};

enum tcp_run_flags {
    TCP_RUN_SACKED = 1,      /* the peer holds it */
    TCP_RUN_LOST = 2,        /* held for lost, not sent again yet */
    TCP_RUN_RTX = 4,         /* sent more than once (Karn) */
    TCP_RUN_APP_LIMITED = 8, /* sent while the program had no more to send */
};

struct tcp_run {
    uint32_t start;          /* ends where the next begins, the last one at snd_nxt */
    uint32_t sent_us;        /* low half of the worker's clock, of the last transmission */
    uint32_t delivered;      /* tcp_conn.delivered when it was sent ... */
    uint32_t delivered_us;   /* ... when that byte was delivered ... */
    uint32_t first_us;       /* ... and when it was sent: the delivery rate's two intervals */
    uint32_t flags;          /* enum tcp_run_flags */
};

enum tcp_frto { TCP_FRTO_OFF, TCP_FRTO_FIRST, TCP_FRTO_SECOND }; /* which ACK after the timeout decides (RFC 5682 s2.1) */

struct tcp_sent {
    struct tcp_sent *next_free;
    struct tcp_run *r;       /* inline_r, or from malloc */
    uint16_t cap, first, n;  /* runs are r[first] to r[first + n - 1] */
    uint8_t frto;            /* enum tcp_frto */
    bool tlp_is_rtx;         /* the probe was no new data */
    uint32_t sacked, lost;   /* bytes so marked */
    uint32_t reno_sacked;    /* without SACK: a segment for each duplicate ACK */
    uint32_t fack;           /* highest byte delivered (RFC 8985 s6.2 step 3) */
    uint32_t rack_us, rack_end, rack_rtt_us; /* most recently sent of what was delivered; rtt 0 = none yet */
    uint32_t dsack_round;    /* reo_wnd was raised; not again before snd_una gets here */
    uint32_t tlp_end;        /* snd_nxt when the probe was sent; with has_tlp */
    uint32_t prr_delivered, prr_out, prr_flight; /* RFC 6937; flight = RecoverFS */
    uint32_t undo_una;       /* snd_una when the window was reduced; with has_undo */
    uint32_t undo_rtx;       /* bytes sent again since then and not reported as duplicates */
    uint32_t rtx_ts;         /* TSval of the first retransmission; with has_rtx_ts */
    uint32_t rtx_ts_min;     /* that of any retransmission is not below: tcp_rtx_ts(). 0 = none yet */
    uint32_t prior_cwnd, prior_ssthresh;
    uint32_t delivered_us, first_us; /* of the last delivery; of the run that it was */
    uint32_t app_limited;    /* until tcp_conn.delivered passes this; with is_app_limited */
    uint32_t mtu_seq, mtu_end; /* of the probe of the path MTU in flight; with mtu_probe */
    uint16_t mtu_probe;      /* its size with all headers; 0 = there is none */
    bool last_is_rtx;        /* what was sent last was sent before: a run does not go on across it */
    bool has_dsack_round, has_tlp, has_undo, has_rtx_ts, has_rtx, is_app_limited;
    struct tcp_run inline_r[TCP_RUNS_INLINE];
};

/* What one ACK has told. */
struct tcp_ack_news {
    uint32_t flight;         /* bytes in flight before it */
    uint32_t una;            /* snd_una before it */
    uint32_t acked;          /* cumulatively */
    uint32_t delivered;      /* acknowledged or SACKed for the first time */
    uint32_t sacked;         /* SACKed for the first time */
    uint32_t rtt_us;         /* of the latest byte that was sent once only; 0 = none */
    bool dsack;
    uint32_t dsack_start, dsack_end;
    bool original;           /* something arrived that was never sent again */
    bool rtx_delivered;      /* something arrived that was */
    bool is_duplicate;       /* RFC 5681 s2 */
    bool reordered;          /* ... and below something that had arrived before */
    /* delivery rate (draft-cheng-iccrg-delivery-rate-estimation): of the most recently sent run that was delivered */
    bool has_rate, rate_app_limited;
    uint32_t rate_sent_us, rate_delivered, rate_delivered_us, rate_first_us, rate_end;
    uint32_t lost;           /* bytes newly held for lost */
};

static inline bool tcp_sent_any_sacked(const struct tcp_conn *c) { return c->sent && c->sent->sacked; }
static inline uint32_t tcp_run_end(const struct tcp_conn *c, const struct tcp_run *r)
{
    const struct tcp_sent *s = c->sent;

    return r == &s->r[s->first + s->n - 1] ? c->snd_nxt : r[1].start;
}
/* Bytes held to be in the network (RFC 6675 s4). */
static inline uint32_t tcp_pipe(const struct tcp_conn *c)
{
    uint32_t flight = c->snd_nxt - c->snd_una, gone;

    if (!c->sent)
        return flight;
    gone = c->sent->sacked + c->sent->lost + c->sent->reno_sacked;
    return flight > gone ? flight - gone : 0;
}

/* tcp_sent.c */
int tcp_sent_reserve(struct worker *w, struct tcp_conn *c);  /* room for one more run; before something new is sent */
void tcp_sent_add(struct worker *w, struct tcp_conn *c);     /* bytes from snd_nxt on were sent; before snd_nxt moves */
void tcp_sent_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n); /* up to seg->ack */
void tcp_sent_sack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, uint32_t start, uint32_t end,
                   struct tcp_ack_news *n);                  /* the peer holds [start, end), within what is in flight */
bool tcp_sent_next_lost(const struct tcp_conn *c, uint32_t *start, uint32_t *end); /* the first run held for lost */
void tcp_sent_resent(struct worker *w, struct tcp_conn *c, uint32_t start, uint32_t len); /* the front of a run, or its end */
uint32_t tcp_sent_rtx_bytes(const struct tcp_conn *c);       /* sent again and neither acknowledged nor lost again */
void tcp_sent_refused(struct worker *w, struct tcp_conn *c); /* a probe of the closed window was sent: its time is not the path's */
void tcp_sent_mark_lost(struct tcp_conn *c, struct tcp_run *r);
void tcp_sent_mark_head_lost(struct tcp_conn *c);            /* the first segment, without SACK */
void tcp_sent_mark_all_lost(struct tcp_conn *c);             /* but for what the peer holds */
void tcp_sent_unmark_lost(struct tcp_conn *c);
void tcp_sent_forget_sacks(struct tcp_conn *c);              /* the peer has reneged (RFC 2018 s8) */
void tcp_sent_clear(struct worker *w, struct tcp_conn *c);   /* nothing is in flight any more */
void tcp_sent_pool_free(struct tcp_worker *tw);

/* tcp_rate.c: the delivery rate (draft-cheng-iccrg-delivery-rate-estimation) */
/* Of what this ACK tells, in units of TCP_PACE_UNIT bytes a second; 0 = nothing, as when it was sooner than any round trip. */
uint32_t tcp_rate_of(const struct worker *w, const struct tcp_conn *c, const struct tcp_ack_news *n, uint32_t min_rtt_us);
void tcp_rate_sample(const struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n); /* c->delivered counts it already */

/* tcp_pmtu_search.c */
void tcp_pmtu_ack(struct worker *w, struct tcp_conn *c, struct tcp_ack_news *n); /* with mtu_probe, when losses are known */

/* tcp_sack.c */
void tcp_sack_update(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n);

/* tcp_rack.c: RACK-TLP (RFC 8985) */
uint32_t tcp_rack_detect(struct worker *w, struct tcp_conn *c, uint32_t *wait_us); /* bytes newly held for lost; 0 = no timer */
void tcp_rack_dsack(struct worker *w, struct tcp_conn *c);   /* a retransmission was needless */
void tcp_rack_recovered(struct tcp_conn *c);                 /* a recovery has ended */
void tcp_rack_fire(struct worker *w, struct tcp_conn *c);    /* the reordering timer */
uint32_t tcp_rtx_lag_ms(const struct tcp_conn *c);           /* retransmissions say that they were sent so much earlier ... */
uint32_t tcp_rtx_ts(struct worker *w, struct tcp_conn *c);   /* ... in the TSval of the one that goes out now */
bool tcp_tlp_wanted(const struct tcp_conn *c);
uint32_t tcp_tlp_timeout_us(const struct tcp_conn *c);
void tcp_tlp_fire(struct worker *w, struct tcp_conn *c);
void tcp_tlp_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, const struct tcp_ack_news *n);

/* tcp_prr.c: proportional rate reduction (RFC 6937) */
void tcp_prr_begin(struct tcp_conn *c);
void tcp_prr_ack(struct tcp_conn *c, const struct tcp_ack_news *n);

/* tcp_undo.c: needless reductions are taken back (RFC 3522, RFC 4015, RFC 5682, RFC 2883) */
void tcp_undo_begin(struct tcp_conn *c);                     /* before cwnd and ssthresh are reduced */
void tcp_undo_resent(struct tcp_conn *c, uint32_t start, uint32_t len);
bool tcp_undo_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, const struct tcp_ack_news *n); /* true: undone */

/* tcp_recovery.c: the states of recovery */
void tcp_recovery_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n);
void tcp_recovery_enter(struct worker *w, struct tcp_conn *c);
void tcp_cwr_enter(struct worker *w, struct tcp_conn *c);    /* reduce without a loss: ECN, or a loss that TLP has repaired */
void tcp_loss_enter(struct worker *w, struct tcp_conn *c);   /* retransmission timeout */
void tcp_cwnd_grow(struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n);

#endif
