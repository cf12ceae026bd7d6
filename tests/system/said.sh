#!/bin/bash
# said.sh - what a program has said on many connections, more than its queue to the server takes at once, is heard though it then does
# something else: bytes, and that the connections are closed
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need python3
need_stack
veth_server
port=7460
who=$top_srcdir/tests/system/said.py
sed -i 's/vcl {/vcl { event-queue-size 64 /' "$TMP"/*.vcl

said() { # WHAT ADDRESS CLIENT...
    local what=$1 addr=$2 srv cl word
    shift 2
    port=$((port + 1))
    bg "$TMP/srv.$port" "$1" python3 "$who" server "$addr" $port
    srv=$bg_pid
    wait_for 60 grep -q waits "$TMP/srv.$port" || { not_ok "$what: it waits" "$(cat "$TMP/srv.$port")"; end_pid "$srv"; return; }
    mkfifo "$TMP/in.$port"
    bg "$TMP/cl.$port" "$2" python3 "$who" client "$addr" $port "$TMP/in.$port"
    cl=$bg_pid
    for word in connect send close; do
        echo $word >"$TMP/in.$port"
        wait_for 60 grep -q $word "$TMP/cl.$port" || not_ok "$what: $word" "$(cat "$TMP/cl.$port")"
        [ $word = connect ] && continue
        check "$what: $word, and away: all is heard" wait_for 60 grep -q "$([ $word = send ] && echo bytes || echo ends)" "$TMP/srv.$port"
    done
    end_pid "$cl"
    end_pid "$srv"
}
for f in 4 6; do
    s=S$f k=K$f
    said "v$f: over a port" "${!k}" in_k stack
    said "v$f: cut-through" "${!s}" stack stack
    said "v$f: through the stack's TCP" "${!s}" global global
done
check "nothing is left in the server" wait_for 30 server_is_empty a
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
