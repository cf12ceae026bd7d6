/* sctp_env.h - what the SCTP tests share: two stacks, a program on each, an association, a look at the packets to stack 1
 * Owner:  the test program; one environment at a time.
 * Errors: assertions of the test that runs. */
#ifndef HOSTSTACK_TESTS_UNIT_SCTP_ENV_H
#define HOSTSTACK_TESTS_UNIT_SCTP_ENV_H

#include "server/sctp/sctp_internal.h"
#include "tests/sim/sim_msg.h"
#include "tests/sim/sim_pair.h"

enum { ENV_ETH = 14, ENV_FRAME_MAX = 2048, ENV_PORT = 7000 };
struct sctp_env {
    struct sim_pair pair;
    struct sim_app *app[2];
    struct sim_sock *listener, *sock[2];   /* sock[0] has connected, sock[1] was accepted */
    uint8_t data[65536], buf[65536];       /* buf: what was received last */
    uint8_t wanted;                        /* the last packet to stack 1 that begins with this chunk is kept */
    uint8_t frame[ENV_FRAME_MAX];
    uint32_t frame_len;
    bool cut_v4, cut_v6;                   /* nothing gets through, either way */
    unsigned drop_next;                    /* packets of SCTP that are lost */
};
extern struct sctp_env env;

void env_open(void);
void env_open_port_sums(void); /* stack 0's port completes checksums, as a card: here they stay 0 on the wire, and are vouched for */
void env_shut(void);                       /* and nothing is left */
void env_run_us(uint64_t us);
uint64_t env_counter(unsigned i, enum sctp_count c);
unsigned env_n_assocs(unsigned i);
struct sctp_assoc *env_assoc(unsigned i);  /* of sock[i] */
void env_listen(bool v4, bool any);        /* at stack 1's address, or at the wildcard */
void env_bind(bool v4);                    /* sock[0], for options */
void env_connect(bool v4);                 /* sock[0], bound or not, and sock[1] */
void env_option(struct sim_sock *s, uint16_t opt, uint32_t value); /* a number, which must be taken */
int64_t env_recv(struct sim_sock *s, struct svm_sctp_info *info); /* the next message, notifications left out */
const uint8_t *env_recv_note(struct sim_sock *s, uint16_t type);  /* the next notification of a type, the rest left out; NULL */
uint32_t env_sctp_at(const uint8_t *frame); /* where SCTP begins */
void env_fix_crc(uint8_t *frame, uint32_t len);
void env_inject(void);                     /* env.frame, to stack 1 */
void env_chunks(const uint8_t *chunks, uint32_t len); /* instead of those of env.frame, PAD behind */
void env_still_works(void);
void env_send_one(void);                   /* so that there is a frame to change */

#endif
