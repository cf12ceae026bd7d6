/* session_option.c - options larger than a message: their parts are put together here, and the transport sees whole values */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_sctp.h"

struct session_option {
    uint16_t opt;                /* SVM_SCTP_OPT_INPUT too */
    uint32_t total, have;        /* of what is being collected; of an answer: its length */
    bool is_answer;
    uint8_t value[SVM_SCTP_OPT_MAX];
};

static struct session_option *option_get(struct session *s)
{
    struct session_rare *r = session_rare_get(s);

    if (r && !r->option)
        r->option = calloc(1, sizeof(*r->option));
    return r ? r->option : NULL;
}

int session_option_set_part(struct worker *w, struct session *s, const void *val, uint32_t len)
{
    struct svm_sctp_opt_part p;
    struct session_option *o;

    if (!s->ops->option)
        return -ENOPROTOOPT;
    if (len != sizeof(p))
        return -EINVAL;
    memcpy(&p, val, sizeof(p));
    if (p.total > SVM_SCTP_OPT_MAX || p.len > sizeof(p.bytes) || p.offset + p.len > p.total)
        return -EINVAL;
    o = option_get(s);
    if (!o)
        return -ENOMEM;
    if (p.offset == 0) {
        memset(o, 0, sizeof(*o));
        o->opt = p.opt;
        o->total = p.total;
    }
    if (o->is_answer || p.opt != o->opt || p.total != o->total || p.offset != o->have)
        return -EINVAL;
    memcpy(o->value + p.offset, p.bytes, p.len);
    o->have += p.len;
    if (o->have < o->total || (p.opt & SVM_SCTP_OPT_INPUT))
        return 0;
    uint32_t total = o->total;
    int err = s->ops->option(w, s, true, p.opt, o->value, &total);
    explicit_bzero(o->value, o->total); /* it may have been a key */
    free(o);
    s->rare->option = NULL;
    return err;
}

int session_option_get_part(struct worker *w, struct session *s, void *val, uint32_t *len)
{
    struct svm_sctp_opt_part p;
    struct session_option *o;

    if (!s->ops->option)
        return -ENOPROTOOPT;
    if (*len < sizeof(p))
        return -EINVAL;
    memcpy(&p, val, sizeof(p));
    if (p.total > SVM_SCTP_OPT_MAX)
        return -EINVAL;
    o = option_get(s);
    if (!o)
        return -ENOMEM;
    if (p.offset == 0) {
        if (o->is_answer || o->opt != (p.opt | SVM_SCTP_OPT_INPUT) || o->have != o->total)
            memset(o, 0, sizeof(*o)); /* no input for it */
        o->total = p.total;
        int err = s->ops->option(w, s, false, p.opt, o->value, &o->total);
        if (err != 0)
            return err;
        o->opt = p.opt;
        o->is_answer = true;
    }
    if (!o->is_answer || o->opt != p.opt || p.offset > o->total)
        return -EINVAL;
    p.total = (uint16_t)o->total;
    p.len = (uint16_t)hs_min_u32(sizeof(p.bytes), o->total - p.offset);
    memset(p.bytes, 0, sizeof(p.bytes));
    memcpy(p.bytes, o->value + p.offset, p.len);
    memcpy(val, &p, sizeof(p));
    *len = sizeof(p);
    return 0;
}
