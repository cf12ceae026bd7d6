/* sctp_watch.c - what became of a packet that somebody looks at: the counter of a drop that moved, else the association's state */
#include "server/capture/capture.h"
#include "server/sctp/sctp_internal.h"

static const struct { const char *name, *text; } counters[SCTP_N_MAX] = {
#define COUNT(name, text) [SCTP_N_##name] = { #name, text },
#include "server/sctp/sctp_drops.def"
#undef COUNT
};

void sctp_watch_begin(struct worker *w, uint64_t before[SCTP_N_MAX])
{
    memcpy(before, sctp_worker_of(w)->count, SCTP_N_MAX * sizeof(before[0]));
}

void sctp_watch_end(struct worker *w, struct pkt *p, const struct sctp_in *in, const uint64_t before[SCTP_N_MAX])
{
    const uint64_t *now = sctp_worker_of(w)->count;

    for (unsigned i = 0; i < SCTP_N_MAX; i++) {
        if (now[i] != before[i] && strncmp(counters[i].name, "drop_", 5) == 0) {
            capture_drop(w, p, "sctp", counters[i].text);
            return;
        }
    }
    capture_stop_at(w, p, "sctp", "port %u: %s", be16_get(in->lcl.port),
                    sctp_find(w, &in->lcl, &in->rmt, in->fib) ? "taken by its association" : "no association any more");
}
