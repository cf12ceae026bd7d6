#!/bin/bash
# jump.sh - signal handlers in the middle of calls on sockets of the stack: they may jump out, and make such calls themselves
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
PROBE=$top_builddir/tests/system/jump_probe
veth_server
is_ready() { grep -q ready "$1"; }
port=7400
run() { # WHERE PEER-WHERE PEER-ADDRESS OWN-ADDRESS NOWHERE: what came of it, in $out
    port=$((port + 1))
    bg "$TMP/peer.$port" "$2" "$PROBE" peer "$3" $port
    local peer=$bg_pid
    wait_for 20 is_ready "$TMP/peer.$port" || not_ok "the peer listens" "$(cat "$TMP/peer.$port")"
    out=$(TMO=200 "$1" "$PROBE" try "$3" $port "$4" "$5" 2>&1) || out+=$'\n'"exit $?"
    end_pid "$peer"
}
same() { # WHAT
    if [ "$out" = "$want" ]; then ok "$1"; else not_ok "$1" "$(diff <(printf '%s\n' "$want") <(printf '%s\n' "$out"))"; fi
}
N4=10.77.0.99 N6=fd77::99 # nobody has these
run in_k in_k 127.0.0.1 127.0.0.1 $N4
want=$out
check_eq "the kernel: every case ends" "$(wc -l <<<"$want")" 51
check_eq "the kernel: nothing is wrong" "$(grep -cE 'NOT|LEFT' <<<"$want")" 0
run stack stack 127.0.0.1 127.0.0.1 $N4
same "loopback, cut-through"
for f in 4 6; do
    s=S$f k=K$f n=N$f
    run stack in_k "${!k}" "${!s}" "${!n}"
    same "v$f: over a port"
done
run global global $S6 $S6 $N6
same "v6: through the stack's TCP"
run global global $S4 $S4 $N4
same "v4: through the stack's TCP"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
