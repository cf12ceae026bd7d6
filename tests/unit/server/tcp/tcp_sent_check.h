/* tcp_sent_check.h - what must hold of the list of runs in flight at any time */
#ifndef HOSTSTACK_TESTS_TCP_SENT_CHECK_H
#define HOSTSTACK_TESTS_TCP_SENT_CHECK_H

#include <criterion/criterion.h>
#include "server/tcp/tcp_sent.h"

static inline void tcp_sent_check(const struct tcp_conn *c)
{
    const struct tcp_sent *s = c->sent;
    uint32_t sacked = 0, lost = 0, at = c->snd_una;

    if (!s)
        return;
    cr_assert(s->first + s->n <= s->cap);
    for (unsigned i = s->first; i < s->first + s->n; i++) {
        const struct tcp_run *r = &s->r[i];
        uint32_t end = tcp_run_end(c, r);

        cr_assert_eq(r->start, at, "a gap in the list");
        cr_assert(seq_lt(r->start, end), "an empty run");
        cr_assert((r->flags & (TCP_RUN_SACKED | TCP_RUN_LOST)) != (TCP_RUN_SACKED | TCP_RUN_LOST));
        if (r->flags & TCP_RUN_SACKED)
            sacked += end - r->start;
        if (r->flags & TCP_RUN_LOST)
            lost += end - r->start;
        at = end;
    }
    cr_assert_eq(at, c->snd_nxt, "the list does not end at snd_nxt");
    cr_assert(sacked == s->sacked && lost == s->lost, "%u and %u are marked, %u and %u counted", sacked, lost, s->sacked, s->lost);
}

#endif
