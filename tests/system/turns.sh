#!/bin/bash
# turns.sh - processes that take turns in waiting for connections, by a lock of their own: none is offered one while it waits for its turn
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need python3
need_stack
veth_server
port=7400
who=$top_srcdir/tests/system/turns.py

turns() { # WHAT ADDRESS WAY CLIENT...
    local what=$1 addr=$2 way=$3 pid
    shift 3
    port=$((port + 2))
    bg "$TMP/srv.$port" stack python3 "$who" server "$addr" $port "$way" "$TMP/lock.$port"
    pid=$bg_pid
    wait_for 60 grep -q waits "$TMP/srv.$port" || { not_ok "$what: it waits" "$(cat "$TMP/srv.$port")"; end_pid "$pid"; return; }
    if [ "$(TMO=120 "$@" python3 "$who" client "$addr" $port 2>&1)" = ok ] && wait "$pid"; then
        ok "$what"
    else
        not_ok "$what" "$(cat "$TMP/srv.$port")"$'\n'"$(ctl a show session)"
        end_pid "$pid"
    fi
}
for f in 4 6; do
    s=S$f
    for way in turns drain away tries; do
        turns "v$f: $way, the kernel's peer" "${!s}" $way in_k
        turns "v$f: $way, cut-through" "${!s}" $way stack
    done
done
check "nothing is left in the server" wait_for 30 server_is_empty a
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
