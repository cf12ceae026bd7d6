/* tcp_fake.h - what lies above and below TCP, replaced: a session layer over plain arrays, and a wire that is a list
 *
 * A fake host is one worker with the real TCP. What TCP sends waits in `out` until the test takes it or a fake link delivers
 * it. Defines the functions of transport.h and ip.h that TCP calls, so that no session or IP code is linked in.
 *
 * Owner:  the test.
 * Errors: asserts. */
#ifndef HOSTSTACK_TESTS_TCP_FAKE_H
#define HOSTSTACK_TESTS_TCP_FAKE_H

#include "server/ip/interface.h"
#include "server/tcp/tcp_cc.h"

enum { FAKE_FIFO = 65536, FAKE_OUT = 4096, FAKE_SESSIONS = 32 };

struct session {
    struct transport_conn *conn;
    bool used, accepted, connected, is_closed, rx_fin, tx_due, connect_waits, rx_streams, rx_near;
    uint8_t connect_how;                 /* enum svm_connect_how */
    int connect_error, reset_error, soft_error;
    uint32_t rx_max, rx_len;             /* readable, in order */
    uint32_t rx_says;                    /* what session_rx_max() tells, above rx_max; 0 = the truth */
    uint32_t want_space, layer_cfg;
    uint8_t rx[FAKE_FIFO];
    bool have[FAKE_FIFO];                /* beyond rx_len: bytes that came out of order */
    uint32_t rx_urgent;                  /* offset of the urgent byte when it was told */
    unsigned n_urgent;                   /* how often */
    bool urgent_came;
    uint32_t tx_urgent_end;              /* set by the test: offset behind the urgent byte, 0 = none */
    uint32_t tx_len, tx_seen;            /* tx_seen: what the last look found */
    unsigned n_tx_looks, late_look;      /* late_look, late_len: set by the test, so many bytes are written just before that look */
    uint32_t late_len;
    uint32_t tx_at;                      /* what is not acknowledged is at tx + tx_at: dropped from the front without moving the rest */
    uint8_t tx[3 * FAKE_FIFO];
    uint8_t kept[SESSION_KEPT];
};

struct listener {
    struct ip_endpoint lcl;
    int half_open, backlog;
    int accept_error;                    /* what session_accept() answers */
    int32_t rx_max, rx_says;             /* SVM_ATTR_RX_FIFO, 0 = not told; rx_says: what is told in its place */
    const char *congestion;              /* SVM_ATTR_CONGESTION, NULL = not told */
    uint32_t layer_cfg;                  /* number of its keys */
    int32_t attr[64];                    /* the other SVM_ATTR_*, 0 = not set */
    unsigned n_fastopen_keys;
    uint8_t fastopen_key[2 * SVM_FASTOPEN_KEY];
};

struct fake_host {
    struct stack stack;
    struct worker w;
    struct tcp_worker tw;
    struct session s[FAKE_SESSIONS];
    struct listener listener;
    bool listening;
    struct transport_conn *lookup;
    struct pkt *out[FAKE_OUT];
    unsigned n_out;
    uint16_t mtu;
    uint16_t cached_mtu;                 /* of the path, as pmtu.c would know it; 0 = nothing */
    uint32_t tso_max;
    bool takes_attached;
    unsigned n_attach_asked;             /* how often session_tx_attach_iov() was */
    uint32_t rx_says;                    /* of new sessions: for a window scale that FAKE_FIFO does not need */
    uint32_t layer_cfg;                  /* of sessions that connect */
    uint8_t connect_how;                 /* likewise */
    int32_t connect_attr[64];            /* likewise: SVM_ATTR_* set before, 0 = not set */
    const char *connect_congestion;      /* likewise: SVM_ATTR_CONGESTION, NULL = not set */
    int route_error, output_error;
    struct ip_tx last_tx;                /* how the last segment was to be sent */
    struct interface ifc;                /* what packets come in by; its fib is that of passive connections */
};

int fake_eal_init(void);
void fake_init(struct fake_host *h, const char *pool_name);
void fake_fini(struct fake_host *h);                 /* asserts that no packet, timer or connection is left */
void fake_advance(struct fake_host *h, uint64_t us); /* time passes: timers, then what is due to be sent */
void fake_tx(struct fake_host *h);                   /* sessions that are due to send */
struct session *fake_accepted(struct fake_host *h);  /* the last accepted session, NULL = none */
struct session *fake_connect(struct fake_host *h, const char *lcl, uint16_t lport, const char *rmt, uint16_t rport);
uint32_t fake_write(struct fake_host *h, struct session *s, const void *data, uint32_t len);
uint32_t fake_read(struct fake_host *h, struct session *s, void *buf, uint32_t len);
struct ip_endpoint fake_endpoint(const char *ip, uint16_t port);
void fake_deliver(struct fake_host *h, struct pkt *p); /* one packet of another host, copied */

/* A segment of the wire, built and read by tests. */
struct fake_seg {
    uint8_t flags, tos;
    uint32_t seq, ack;
    uint16_t wnd;
    const uint8_t *opt;
    unsigned opt_len;
    const void *data;
    uint32_t len;
    uint16_t urgent;
    uint16_t pkt_flags;   /* enum pkt_flags besides PKT_L4_CSUM_GOOD */
    uint8_t ttl;          /* 0 = 64 */
    uint8_t reserved;     /* low four bits of data_off */
    bool bad_checksum;    /* the checksum field holds nonsense, and nobody has checked it yet */
};
struct pkt *fake_packet(struct fake_host *h, const struct ip_endpoint *src, const struct ip_endpoint *dst, const struct fake_seg *s);
void fake_input(struct fake_host *h, const struct ip_endpoint *src, const struct ip_endpoint *dst, const struct fake_seg *s);
bool fake_take(struct fake_host *h, struct fake_seg *s, uint8_t *data, uint32_t data_max); /* oldest sent; false = none */

#endif
