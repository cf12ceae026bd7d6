#!/bin/bash
# shared-turns.sh - a connection that a parent and its child use in turns: nobody finds it empty that is not, or never has it
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need python3
need_stack
only_hoststack
veth_server
who=$top_srcdir/tests/system/shared_turns.py

shared_turns() { # WHAT ADDRESS first|while|end WAY HOW
    local out
    out=$(TMO=120 "$5" python3 "$who" "$2" "$3" "$4" 2>&1)
    [ "$out" = ok ] && ok "$1" || not_ok "$1" "$out"$'\n'"$(ctl a show session)"
}
for addr in $S4 $S6; do
    for way in recv peek poll size; do
        shared_turns "$addr: $way finds what the busy peer has written to the parent" $addr first $way stack
    done
    for way in nothing written; do
        shared_turns "$addr: a child ends one end while its parent polls both ($way), cut-through" $addr end $way stack
        shared_turns "$addr: a child ends one end while its parent polls both ($way), TCP inside the server" $addr end $way global
    done
    for way in in out none sleeps epoll peek; do
        shared_turns "$addr: a child has its turns while its parent asks ($way), cut-through" $addr while $way stack
        shared_turns "$addr: a child has its turns while its parent asks ($way), TCP inside the server" $addr while $way global
    done
done
check "nothing is left in the server" wait_for 30 server_is_empty a
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
