#!/bin/bash
# sigio.sh - O_ASYNC, F_SETOWN, F_SETSIG: SIGIO and SIGURG to the owner of a socket of the stack, as the kernel sends them
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
PROBE=$top_builddir/tests/system/sigio_probe
veth_server
is_ready() { grep -q ready "$1"; }
port=7200
run() { # WHAT WATCHER PEER ADDRESS PEER-ADDRESS: what the watcher was told, in $out
    port=$((port + 2))
    local fifo=$TMP/fifo.$port
    mkfifo -m 666 "$fifo"
    bg "$TMP/peer.$port" "$3" "$PROBE" peer "$4" $port "$5" "$fifo"
    local peer=$bg_pid
    wait_for 10 is_ready "$TMP/peer.$port" || not_ok "$1: the peer listens" "$(cat "$TMP/peer.$port")"
    out=$(TMO=120 "$2" "$PROBE" watch "$4" $port "$5" "$fifo" 2>&1)
    wait_for 10 pid_gone "$peer" || not_ok "$1: the peer ends" "$(cat "$TMP/peer.$port")"
}
same() { # WHAT
    if [ "$out" = "$want" ]; then ok "$1"; else not_ok "$1" "$(diff <(printf '%s\n' "$want") <(printf '%s\n' "$out"))"; fi
}
run "kernel to kernel" in_k in_k 127.0.0.1 127.0.0.1
want=$out
check_eq "kernel to kernel: every step was made" "$(grep -c SIGIO <<<"$want")" 16
for f in 4 6; do
    s=S$f k=K$f
    run "v$f: over a port" stack in_k "${!s}" "${!k}"
    same "v$f: over a port"
    run "v$f: between two programs of the stack" stack stack "${!s}" "${!s}"
    same "v$f: between two programs of the stack"
done
run "loopback" stack stack 127.0.0.1 127.0.0.1
same "loopback, cut-through"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
