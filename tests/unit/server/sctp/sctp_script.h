/* sctp_script.h - the test as the peer of stack 0, packet by packet, in words: what is said to it, and what it must answer
 *
 * A packet is its chunks, joined by " + ". TSNs are counted from each side's initial one; what is not given has a sound value.
 *   INIT, INIT_ACK          tag=1 rwnd=60000 os=10 mis=10 x=HEX (parameters); heard: os, mis and the parameters, p=TYPE
 *   DATA                    tsn=0 sid=0 ssn=0 len=4 f=BEUI
 *   SACK                    cum=0 rwnd=60000 gap=2-3 dup=0 (each as often as wanted); heard without rwnd: script.rwnd
 *   SHUTDOWN                cum=-1
 *   ABORT, SHUTDOWN_COMPLETE   f=T; ABORT, ERROR: cause=1 x=HEX (its information); heard: the causes
 *   COOKIE_ECHO             the cookie that was heard last
 *   #130                    any other by number; x=HEX its value, l=7 another length in its header than it has, for every chunk
 * Owner:  the test; one script at a time, on sctp_env.h.
 * Errors: assertions of the test that runs. */
#ifndef HOSTSTACK_TESTS_UNIT_SCTP_SCRIPT_H
#define HOSTSTACK_TESTS_UNIT_SCTP_SCRIPT_H

#include "tests/unit/server/sctp/sctp_env.h"

enum { SCRIPT_PORT = 9000, SCRIPT_TAG = 0x11223344, SCRIPT_TSN = 5000, SCRIPT_ADDRS = 4, SCRIPT_HEARD = 256 };
struct script {
    bool v4;
    unsigned from;                     /* the peer's address that the next packet comes from */
    uint32_t my_tag, sut_tag, my_tsn, sut_tsn; /* my: the peer's, which is the test */
    uint32_t rwnd;                     /* heard last */
    uint8_t cookie[4096], info[1024];  /* heard last; info: the value of the last HEARTBEAT, ERROR or ABORT */
    uint32_t cookie_len, info_len;
    uint8_t tos;                       /* of the next packets */
    struct script_heard { char text[512]; uint8_t to; uint8_t *frame; uint32_t len; uint64_t at_us; } heard[SCRIPT_HEARD];
    unsigned n_heard, n_taken;
};
extern struct script script;

void script_init(void);
void script_fini(void);
void script_begin(bool v4, bool any);      /* stack 0 listens, at its address or at all */
void script_say(const char *text);
void script_say_tag(uint32_t tag, const char *text);
void script_expect(const char *text);      /* the next packet; "to=1 ..." when it goes to another address of the peer than its first */
void script_expect_none(void);
const struct script_heard *script_next(void); /* NULL: none */
void script_forget(void);                  /* all that was heard */
void script_up(bool v4);                   /* an association that the peer began; env.sock[0] is it */
void script_up_of_two(bool v4);            /* the same with a second address, which is being asked whether it is there */
void script_call(bool v4);                 /* stack 0 has sent its INIT, which was taken */
void script_up_out(bool v4);               /* an association that stack 0 began */
void script_send(uint16_t stream, uint16_t flags, uint32_t len); /* a message of stack 0 */
struct ip_addr script_addr(unsigned i);    /* of the peer */
struct sctp_assoc *script_assoc(void);     /* the only one; NULL: none */
void script_icmp(uint8_t type, uint8_t code, uint32_t rest, const struct script_heard *about); /* from the peer's first address */

#endif
