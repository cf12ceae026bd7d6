/* tcp_watch.c - what became of a segment that somebody looks at: the counter of a drop that moved, else the connection's state */
#include "server/capture/capture.h"
#include "server/tcp/tcp_internal.h"

static const struct { bool is_drop; const char *text; } counters[TCP_C_MAX] = {
#define DROP true
#define EVENT false
#define X(name, severity, text) [TCP_C_##name] = { severity, text },
#include "server/tcp/tcp_drops.def"
#undef X
#undef DROP
#undef EVENT
};

void tcp_watch_begin(struct worker *w, uint64_t before[TCP_C_MAX])
{
    memcpy(before, tcp_worker_of(w)->counters, TCP_C_MAX * sizeof(before[0]));
}

void tcp_watch_end(struct worker *w, struct pkt *p, const struct tcp_seg *seg, const uint64_t before[TCP_C_MAX])
{
    const uint64_t *now = tcp_worker_of(w)->counters;

    for (unsigned i = 0; i < TCP_C_MAX; i++) {
        if (counters[i].is_drop && now[i] != before[i]) {
            capture_drop(w, p, "tcp", counters[i].text);
            return;
        }
    }
    struct transport_conn *b = session_lookup(w, SVM_PROTO_TCP, &seg->dst, &seg->src, seg->fib);
    capture_stop_at(w, p, "tcp", "port %u: %s", be16_get(seg->dst.port), b ? tcp_state_name(tcp_of_base(b)->state) : "no connection any more");
}
