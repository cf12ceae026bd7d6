#!/bin/bash
# offered-moved.sh - what was written before a connection changed hands comes first, whoever accepts it, though it was offered to another one
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need jq
need_root
need_stack
only_hoststack
offered_moved=$top_builddir/tests/system/offered_moved
veth_server
empty=$(server_counts a)
for a in 127.0.0.1 ::1; do
    check "cut-through, $a" stack "$offered_moved" $a 20
done
for a in $S4 $S6; do
    check "cut-through, an address of the port, $a" stack "$offered_moved" $a 20
    check "TCP inside the server, $a" global "$offered_moved" $a 20
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
