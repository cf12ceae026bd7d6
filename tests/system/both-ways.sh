#!/bin/bash
# both-ways.sh - a thread writes to a connection while another one reads from it; the second thread begins in the middle of a read
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
PROBE=$top_builddir/tests/system/both_ways
veth_server
is_ready() { grep -q ready "$1"; }
port=7500
both() { # WHAT WHERE PEER-WHERE PEER-ADDRESS HOW MB
    local got
    port=$((port + 1))
    bg "$TMP/peer.$port" "$3" "$PROBE" serve "$4" $port "$5" "$6"
    local peer=$bg_pid
    wait_for 20 is_ready "$TMP/peer.$port" || not_ok "$1: the peer listens" "$(cat "$TMP/peer.$port")"
    got=$(TMO=120 "$2" "$PROBE" go "$4" $port "$5" "$6" 2>&1) || got+=" exit $?"
    wait_for 60 grep -q whole "$TMP/peer.$port"
    end_pid "$peer"
    check_eq "$1, $5: all bytes, both ways" "$got, $(grep -v ready "$TMP/peer.$port")" "$(($6 << 20)) whole, $(($6 << 20)) whole"
}
for how in blocking polling; do
    both "the kernel" in_k in_k 127.0.0.1 $how 64
    both "v4: cut-through" stack stack 127.0.0.1 $how 64
    both "v6: cut-through" stack stack ::1 $how 64
    both "v4: over a port" stack in_k "$K4" $how 16
    both "v6: over a port" stack in_k "$K6" $how 16
    both "v4: through the stack's TCP" global global "$S4" $how 16
    both "v6: through the stack's TCP" global global "$S6" $how 16
done
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
