/* vcl_sctp_internal.h - what the files of SCTP share: the state of an association, and the message at the front of its FIFO
 *
 *   peer or server -> FIFO of records (svm_sctp.h) -> vcl_sctp_look(): skips what nobody has asked for, makes what only this side can
 *                     tell (cut-through: the library speaks for the peer's stack) -> vcl_sctp_recv() copies
 * Thread: struct vcl_sctp is under the socket's lock, but for `o`, which is the program's (as struct vcl_opts). */
#ifndef HOSTSTACK_VCL_VCL_SCTP_INTERNAL_H
#define HOSTSTACK_VCL_VCL_SCTP_INTERNAL_H

#include "svm/svm_sctp.h"
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sctp.h"

enum vcl_sctp_limits {
    VCL_SCTP_NOTE_HEAD = 160,    /* the fixed part of any notification */
    VCL_SCTP_RECORDS = 64,       /* of one message */
    VCL_SCTP_BATCH = 32,
    VCL_SCTP_HELD_MAX = 256 << 10, /* bytes of messages that wait for their association to be set up */
    VCL_SCTP_FIRST_ID = 3,       /* association ids 0 to 2 are SCTP_FUTURE_ASSOC, SCTP_CURRENT_ASSOC, SCTP_ALL_ASSOC */
};

/* Notifications that the library makes by itself: bits of vcl_sctp.due and .told. */
enum vcl_sctp_note {
    VCL_SCTP_DRY = 1,            /* RFC 6458 s6.1.9 */
    VCL_SCTP_ADAPTATION = 2,     /* s6.1.6 */
    VCL_SCTP_SHUTDOWN = 4,       /* s6.1.5 */
    VCL_SCTP_COMP = 8,           /* s6.1.1 SCTP_SHUTDOWN_COMP */
    VCL_SCTP_LOST = 16,          /* s6.1.1 SCTP_COMM_LOST */
    VCL_SCTP_CANT = 32,          /* s6.1.1 SCTP_CANT_STR_ASSOC */
    VCL_SCTP_UNSENT = 64,        /* s6.1.11: messages that waited for an association that was never set up */
};

/* Options of this side: the program's wishes about what it is shown, and defaults of what it sends. */
struct vcl_sctp_opts {
    uint32_t events;             /* bit SCTP_ASSOC_CHANGE - SCTP_SN_TYPE_BASE and so on; bit 0: SCTP_SNDRCV beside each message */
    struct sctp_sndinfo snd;     /* SCTP_DEFAULT_SNDINFO */
    struct sctp_initmsg init;
    uint32_t pr_value;
    uint16_t pr_policy;
    uint32_t context;            /* SCTP_CONTEXT */
    uint32_t adaptation;
    bool has_adaptation, rcvinfo, nxtinfo, plain_v4, interleave;
};

/* Cut-through: the first record of either side, data of a notification record. */
struct vcl_sctp_hello {
    struct sctp_assoc_change up; /* the streams that the sender wants: outgoing, and incoming at most */
    uint32_t has_adaptation, adaptation;
    uint32_t pad;
};
static_assert(sizeof(struct vcl_sctp_hello) % 8 == 0, "vcl_sctp_hello is a record's data without padding");

/* A one-to-many socket (vcl_sctp_many.c). */
struct vcl_sctp_many {
    pthread_mutex_t lock;
    struct vcl_socket *first;    /* its associations, each with a reference of the list */
    struct vcl_socket *current;  /* who was read last */
    uint32_t n, connected_id;    /* connected_id: of the last connect() */
    bool in_message;             /* current has given a part of a message */
};

struct vcl_sctp_held {           /* vcl_sctp_send.c: a message that waits for its association */
    struct vcl_sctp_held *next;
    struct svm_sctp_info info;
    size_t len;
    uint8_t bytes[];
};
struct vcl_sctp_kept;            /* vcl_sctp_server.c: options of the server's for sessions to come */

struct vcl_sctp {
    struct vcl_sctp_opts o;
    uint32_t assoc_id;
    uint16_t in_streams, out_streams;
    uint32_t tx_want;            /* bytes that the message has asked for that did not fit last; 0 = none */
    pthread_mutex_t ask_lock;    /* one option at a time; taken before op_lock */
    pthread_mutex_t kept_lock;   /* after all others */
    struct vcl_sctp_kept *kept;
    struct vcl_sctp_held *held;
    uint32_t held_bytes;
    struct vcl_sctp_many *many;  /* not NULL: this is a one-to-many socket */
    struct vcl_socket *parent, *next; /* an association of a one-to-many socket: that, and the next of it; worker and many lock */
    struct ip_addr from;         /* that the last message came from, with has_from */
    struct ip_addr *peers;       /* all of the peer's that were asked for when one was missed, n_peers; NULL: not yet */
    uint32_t n_peers;
    uint32_t rx_done;            /* bytes of the message at the front that the program has */
    uint32_t peer_adaptation;
    uint32_t tsn;                /* cut-through: of the next message */
    uint16_t *ssn;               /* cut-through: next number of each outgoing stream; NULL until the first message */
    uint8_t due, told;           /* enum vcl_sctp_note */
    uint8_t making;              /* the one that the program has read a part of */
    bool has_from;
    bool is_up;                  /* the other side has said hello */
    bool in_message;             /* the record before this one went on here (SVM_DGRAM_MORE) */
    bool is_branch;              /* an association of a one-to-many socket, or was: may be ended by SCTP_EOF and SCTP_ABORT */
    bool i_shut;                 /* we began to shut down */
    bool aborted;                /* cut-through: by this side */
    bool fin_due;                /* cut-through: the peer must be told of our end */
    bool is_carried;             /* was cut-through: the server carries the records as they are */
    bool hello_due;              /* cut-through: what begins the association was put where nobody reads it */
    bool begin_due;                  /* it is connected, and has no FIFOs yet */
    bool is_broken;              /* cut-through: what the peer has written makes no sense; nothing more of it is read */
};

enum vcl_sctp_kind { VCL_SCTP_NOTE, VCL_SCTP_DATA };
struct vcl_sctp_front {
    struct svm_sctp_record r;    /* of a message or notification in the FIFO; checked */
    uint8_t kind;                /* enum vcl_sctp_kind */
    uint8_t made;                /* enum vcl_sctp_note: not in the FIFO */
    uint32_t len;                /* bytes that the program gets of it in all */
    uint32_t head_len;           /* of them these are in head, ... */
    uint32_t tail_off;           /* ... the others in the record's data from here on */
    const uint8_t *tail;         /* instead of the record's: of a held message */
    uint8_t head[VCL_SCTP_NOTE_HEAD];
};

/* The other end is a program of this host, and there is no protocol but these records between the two. */
static inline bool vcl_sctp_is_near(const struct vcl_socket *s) { return s->local || s->sctp->is_carried; }
static inline bool vcl_sctp_is_many(const struct vcl_socket *s) { return s->sctp && s->sctp->many; }

/* vcl_sctp.c */
void vcl_sctp_hello_again(struct vcl_socket *s);              /* with new FIFOs */
int vcl_sctp_new(struct vcl_socket *s);                       /* 0, -ENOMEM */
void vcl_sctp_free(struct vcl_socket *s);
void vcl_sctp_inherit(struct vcl_socket *s, const struct vcl_socket *listener);
void vcl_sctp_begin(struct vcl_socket *s);                    /* its FIFOs are there; worker lock held */
bool vcl_sctp_answer_fin(struct vcl_socket *s);               /* true: an event is due; socket lock held */
void vcl_sctp_on_data(struct vcl_socket *s);                  /* the end may have come; worker lock held */
int vcl_sctp_abort(struct vcl_socket *s);                     /* RFC 6458 s5.3.4 SCTP_ABORT; 0 or -errno */

int64_t vcl_sctp_readable_bytes(struct vcl_socket *s);        /* FIONREAD: what is left of the next message; socket lock held */
bool vcl_sctp_is_readable(struct vcl_socket *s);              /* socket lock held */

bool vcl_sctp_has_news(struct vcl_socket *s);                 /* a message or notification; takes the socket's lock */
bool vcl_sctp_is_over(struct vcl_socket *s);                  /* ended, and nothing more to tell of it; takes the socket's lock */
void vcl_sctp_failed(struct vcl_socket *s);                   /* setting up has failed; worker lock held */

/* vcl_sctp_export.c: what goes with a socket to another process (exec, SCM_RIGHTS) */
int vcl_sctp_export(struct vcl_socket *s, uint8_t *state, uint32_t *len); /* adds to len; 0, -EOPNOTSUPP */
int vcl_sctp_import(struct vcl_socket *s, const uint8_t *state, uint32_t len);              /* makes s->sctp; 0, -EPROTO, -ENOMEM */

/* vcl_sctp_many.c */
void vcl_sctp_many_free(struct vcl_sctp_many *m);
void vcl_sctp_many_adopt(struct vcl_socket *s, struct vcl_socket *a); /* takes over the caller's reference of a */
void vcl_sctp_many_close(struct vcl_socket *s);
struct vcl_socket *vcl_sctp_assoc(struct vcl_socket *s, uint32_t id); /* with a reference; NULL = none */
uint32_t vcl_sctp_many_ids(struct vcl_socket *s, sctp_assoc_t *ids, uint32_t room); /* how many there are */
int vcl_sctp_many_each(struct vcl_socket *s, int (*fn)(struct vcl_socket *a, void *arg), void *arg); /* first error */
bool vcl_sctp_many_arm_read(struct vcl_socket *s);
bool vcl_sctp_many_arm_write(struct vcl_socket *s);
uint32_t vcl_sctp_many_poll(struct vcl_socket *s);
ssize_t vcl_sctp_many_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info);
ssize_t vcl_sctp_many_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info);
int vcl_sctp_many_connect(struct vcl_socket *s, const struct ip_endpoint *rmt);

/* vcl_sctp_front.c. Socket lock held. */
int vcl_sctp_look(struct vcl_socket *s, struct vcl_sctp_front *f); /* 1 there is one, 0 none, -EPROTO, -ENXIO */
int vcl_sctp_next(struct vcl_socket *s, const struct vcl_sctp_front *f); /* done with it; 0 or -errno */
bool vcl_sctp_has_data(struct vcl_socket *s);                 /* a message that nobody has read; drops notifications before it */
int vcl_sctp_subscribe(struct vcl_socket *s, uint32_t on, uint32_t mask); /* takes the socket's lock; 0 or -errno */
bool vcl_sctp_wants_note(const struct vcl_sctp *c, unsigned type);

/* vcl_sctp_recv.c, vcl_sctp_send.c */
ssize_t vcl_sctp_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info);
ssize_t vcl_sctp_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info);
void vcl_sctp_hold_room(struct vcl_socket *s, uint32_t more); /* room for what is held and more bytes; socket lock held */
void vcl_sctp_send_held(struct vcl_socket *s);                /* socket lock held */
void vcl_sctp_held_free(struct vcl_sctp *c);
void vcl_sctp_held_next(struct vcl_sctp *c);                  /* done with the first; socket lock held */
struct svm_sctp_record vcl_sctp_record(const struct vcl_socket *s, uint32_t len);

/* vcl_sctp_addrs.c: several addresses, as setters and getters of options */
int vcl_sctp_bindx_add(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_bindx_rem(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_connectx(struct vcl_socket *s, const void *val, socklen_t len); /* the association's id, or -errno */
int vcl_sctp_connectx_old(struct vcl_socket *s, const void *val, socklen_t len); /* 0, or -errno */
int vcl_sctp_name_also(struct vcl_socket *s, const struct ip_endpoint *rmt, const struct vcl_sctp_msg *m); /* 0, or -errno */
uint32_t vcl_sctp_ask_peers(struct vcl_socket *s, struct ip_addr ip[SVM_SCTP_ADDRS_MAX]); /* how many; 0: not to be had */
int vcl_sctp_connectx3(struct vcl_socket *s, void *val, socklen_t *len);

/* vcl_sctp_options.c, vcl_sctp_prefs.c */
void vcl_sctp_opts_init(struct vcl_sctp_opts *o);
int vcl_sctp_set(struct vcl_socket *s, int name, const void *val, socklen_t len);
int vcl_sctp_get(struct vcl_socket *s, int name, void *val, socklen_t *len);

/* vcl_sctp_server.c. Getters: val holds the argument, then the value; *len its room, then its length. */
bool vcl_sctp_is_there(const struct vcl_socket *s);           /* it has a session at the server */
int vcl_sctp_server_set(struct vcl_socket *s, int name, const void *val, uint32_t len); /* of its session */
int vcl_sctp_server_get(struct vcl_socket *s, int name, void *val, socklen_t *len);
int vcl_sctp_ask_set(struct vcl_socket *s, int name, const void *val, uint32_t len, bool whole); /* with or without one; is kept */
int vcl_sctp_ask_get(struct vcl_socket *s, int name, void *val, socklen_t *len);
void vcl_sctp_kept_free(struct vcl_sctp *c);
int vcl_sctp_kept_copy(struct vcl_sctp *c, struct vcl_sctp *from); /* 0, -ENOMEM: none */
bool vcl_sctp_has_kept(const struct vcl_socket *s);
void vcl_sctp_push(struct vcl_socket *s);                     /* what was kept, to the bound session */

#endif
