#!/bin/bash
# slot-again.sh - what comes late about a cut-through connection that was closed is not done to the next one in the same slot
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need jq
need_root
need_stack
only_hoststack
slot_again=$top_builddir/tests/system/slot_again
veth_server
empty=$(server_counts a)
for a in 127.0.0.1 ::1; do
    check "cut-through, $a" stack "$slot_again" $a 50
done
for a in $S4 $S6; do
    check "cut-through, an address of the port, $a" stack "$slot_again" $a 50
    check "TCP inside the server, $a" global "$slot_again" $a 50
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
