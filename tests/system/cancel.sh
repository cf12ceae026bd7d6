#!/bin/bash
# cancel.sh - pthread_cancel() of threads in calls on sockets of the stack: they end as they do on the kernel, and nothing of them is left
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
PROBE=$top_builddir/tests/system/cancel_probe
veth_server
is_ready() { grep -q ready "$1"; }
port=7300
peer_begin() { # WHERE ADDRESS
    port=$((port + 1))
    bg "$TMP/peer.$port" "$1" "$PROBE" peer "$2" $port
    peer=$bg_pid
    wait_for 10 is_ready "$TMP/peer.$port" || not_ok "the peer listens" "$(cat "$TMP/peer.$port")"
}
run() { # WHERE PEER-WHERE PEER-ADDRESS OWN-ADDRESS NOWHERE: what became of the calls, in $out; of a thousand, in $many
    peer_begin "$2" "$3"
    out=$(TMO=200 "$1" "$PROBE" try "$3" $port "$4" "$5" 2>&1)
    many=$(TMO=200 "$1" "$PROBE" many "$3" $port "$4" "$5" 2>&1)
    end_pid "$peer"
}
NOTHING_LEFT=$'descriptors 0 more\nconnections 0'
same() { # WHAT
    if [ "$out" = "$want" ]; then ok "$1: every call"; else not_ok "$1: every call" "$(diff <(printf '%s\n' "$want") <(printf '%s\n' "$out"))"; fi
    check_eq "$1: nothing is left of 1,000 cancelled threads" "$many" "$NOTHING_LEFT"
}
N4=10.77.0.99 N6=fd77::99 # nobody has these
run in_k in_k 127.0.0.1 127.0.0.1 $N4
want=$out
check_eq "the kernel: calls made" "$(grep -c 'ready: .*closed' <<<"$want")" 37
check_eq "the kernel: nothing is left" "$many" "$NOTHING_LEFT"
run stack stack 127.0.0.1 127.0.0.1 $N4
same "loopback, cut-through"
for f in 4 6; do
    s=S$f k=K$f n=N$f
    run stack in_k "${!k}" "${!s}" "${!n}"
    same "v$f: over a port"
done
run global global $S6 $S6 $N6
same "v6: through the stack's TCP"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
