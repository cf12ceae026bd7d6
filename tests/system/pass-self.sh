#!/bin/bash
# pass-self.sh - a descriptor that a program passes to itself, or to a child and back, and closes meanwhile: what it takes is the socket, always
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need jq
need_root
need_stack
only_hoststack
pass_self=$top_builddir/tests/system/pass_self
veth_server
empty=$(server_counts a)
for a in 127.0.0.1 ::1; do
    check "cut-through, $a" stack "$pass_self" $a 200
done
for a in $S4 $S6; do
    check "cut-through, an address of the port, $a" stack "$pass_self" $a 200
    check "TCP inside the server, $a" global "$pass_self" $a 200
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
