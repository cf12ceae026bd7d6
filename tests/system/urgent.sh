#!/bin/bash
# urgent.sh - urgent data between the kernel and the stack, both ways, and between two programs of the stack: all as kernel to kernel
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
PROBE=$top_builddir/tests/system/urgent_probe
veth_server
is_listening() { grep -q listening "$1"; }
port=7100
run() { # WHAT RECEIVER SENDER ADDRESS: what the receiver saw, in $out
    port=$((port + 1))
    bg "$TMP/recv.$port" "$2" "$PROBE" recv "$4" $port
    local receiver=$bg_pid
    wait_for 10 is_listening "$TMP/recv.$port" || not_ok "$1: the receiver listens" "$(cat "$TMP/recv.$port")"
    TMO=40 "$3" "$PROBE" send "$4" $port >"$TMP/send.$port" 2>&1 || not_ok "$1: the sender" "$(cat "$TMP/send.$port")"
    wait_for 10 pid_gone "$receiver" || not_ok "$1: the receiver ends"
    out=$(grep -v listening "$TMP/recv.$port")
}
same() { # WHAT
    if [ "$out" = "$want" ]; then ok "$1"; else not_ok "$1" "$(diff <(printf '%s\n' "$want") <(printf '%s\n' "$out"))"; fi
}
run "kernel to kernel" in_k in_k 127.0.0.1
want=$out
check_eq "kernel to kernel: every step was looked at" "$(grep -c ' |' <<<"$want")" 19
for f in 4 6; do
    s=S$f k=K$f
    run "v$f: kernel to stack" stack in_k "${!s}"
    same "v$f: kernel to stack"
    run "v$f: stack to kernel" in_k stack "${!k}"
    same "v$f: stack to kernel"
    export URGENT_LOCAL=1
    run "v$f: between two programs of the stack" stack stack "${!s}"
    unset URGENT_LOCAL
    same "v$f: between two programs of the stack"
done
check "the server counts what it has seen" sh -c "'$CTL' -s '$TMP/a.run/cli.sock' show errors | grep -q urgent || '$CTL' -s '$TMP/a.run/cli.sock' show tcp | grep -q urgent"
finish
