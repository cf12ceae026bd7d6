#!/bin/bash
# lowat.sh - SO_RCVLOWAT: few bytes make no socket readable, and what is larger than any window is waited for no longer than that lets come
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
need python3
PROBE=$(dirname "$0")/lowat.py
veth_server
port=7600
of_lowat() { # WHAT CLIENT ADDRESS BYTES [read]
    local what=$1 client=$2
    shift 2
    port=$((port + 1))
    bg "$TMP/out.$port" stack python3 "$PROBE" server "$1" $port "${@:2}"
    wait_for 20 listening "$TMP/out.$port" || { not_ok "$what: it listens" "$(cat "$TMP/out.$port")"; return; }
    TMO=60 check "$what: the client" "$client" python3 "$PROBE" client "$1" $port "$2"
    wait_for 60 pid_gone "$bg_pid"
    check_eq "$what" "$(sed 1d "$TMP/out.$port" | xargs)" "fewer: 0 0 0 enough: 1 1 1 much"
}
for a in $S4 $S6; do
    for bytes in 3000 500000; do
        for client in in_k stack global; do
            of_lowat "$bytes bytes at $a, $client" $client $a $bytes
        done
        of_lowat "$bytes bytes at $a, in_k, set when something was read" in_k $a $bytes read
    done
done
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
