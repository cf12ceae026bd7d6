/* trace.c - packets followed from stop to stop: who is followed, what each stop said */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/capture/capture_internal.h"

uint16_t trace_number(struct worker *w)
{
    struct capture *c = w->capture->owner;

    if (!w->capture->stop || __atomic_load_n(&c->given, __ATOMIC_RELAXED) >= c->wanted)
        return 0;
    uint32_t k = __atomic_fetch_add(&c->given, 1, __ATOMIC_RELAXED); /* several workers may pass the check */
    return k < c->wanted ? (uint16_t)(c->first + 1 + k) : 0;
}

static struct trace_stop *new_stop(struct worker *w, const struct pkt *p, const char *name)
{
    struct capture_worker *cw = w->capture;
    uint16_t number = pkt_meta((struct pkt *)p)->trace;
    uint16_t k = (uint16_t)(number - cw->owner->first);

    if (number == 0 || !cw->stop || k == 0 || k > cw->owner->wanted || cw->n_stops == cw->max_stops)
        return NULL;
    struct trace_stop *t = &cw->stop[cw->n_stops++];
    t->time_us = w->now_us;
    t->packet = k;
    t->stop = name;
    t->text[0] = '\0';
    return t;
}

void capture_stop_at(struct worker *w, const struct pkt *p, const char *stop, const char *fmt, ...)
{
    struct trace_stop *t = new_stop(w, p, stop);
    va_list ap;

    if (!t)
        return;
    va_start(ap, fmt);
    vsnprintf(t->text, sizeof(t->text), fmt, ap);
    va_end(ap);
}

void capture_stop_ip(struct worker *w, const struct pkt *p, const char *stop)
{
    const struct pkt_meta *m = pkt_meta((struct pkt *)p);
    struct trace_stop *t = new_stop(w, p, stop);
    char src[IP_ADDR_TEXT_MAX], dst[IP_ADDR_TEXT_MAX];

    if (t)
        snprintf(t->text, sizeof(t->text), "%s -> %s, protocol %u", ip_addr_format(&m->src, src), ip_addr_format(&m->dst, dst), m->ip_proto);
}

uint32_t trace_show(struct worker *w, uint32_t from, uint32_t max, json_t *array)
{
    const struct capture_worker *cw = w->capture;

    for (uint32_t i = from; cw && cw->stop && i < cw->n_stops; i++) {
        const struct trace_stop *t = &cw->stop[i];
        if (i - from == max)
            return i;
        json_array_append_new(array, json_pack("{s:i, s:i, s:I, s:s, s:s}", "packet", (int)t->packet, "worker", (int)w->index, "time_us",
                                               (json_int_t)t->time_us, "stop", t->stop, "verdict", t->text));
    }
    return UINT32_MAX;
}
