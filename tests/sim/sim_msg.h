/* sim_msg.h - SCTP messages of a program inside the test: records of svm/svm_sctp.h in the FIFOs of a sim_sock
 * Owner:  the test.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_TESTS_SIM_MSG_H
#define HOSTSTACK_TESTS_SIM_MSG_H

#include "svm/svm_sctp.h"
#include "tests/sim/sim_app.h"

/* One record, or -EAGAIN: full. more: the message goes on with the next call. */
int sim_msg_send(struct sim_sock *s, const struct svm_sctp_info *info, const void *data, uint32_t len, bool more);
/* One record; bytes, -EAGAIN none, 0 end of stream, or the reset's error. */
int64_t sim_msg_recv(struct sim_sock *s, struct svm_sctp_info *info, void *buf, uint32_t len, bool *more);
/* Whole option by parts, as a client does it. *len: in and out for get. */
int sim_msg_option(struct sim_sock *s, bool set, uint16_t opt, void *val, uint32_t *len);

#endif
