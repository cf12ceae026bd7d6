#!/bin/bash
# waiting-child.sh - connections go to the process that waits for them, not to its parent that could but does something else
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq python3
need_stack
veth_server
port=7300
who=$top_srcdir/tests/system/waiting_child.py

waiting_child() { # WHAT ADDRESS PARENT CHILD CLIENT...
    local what=$1 addr=$2 parent=$3 child=$4 pid
    shift 4
    port=$((port + 1))
    bg "$TMP/srv.$port" stack python3 "$who" server "$addr" $port "$parent" "$child"
    pid=$bg_pid
    wait_for 60 grep -q waits "$TMP/srv.$port" || { not_ok "$what: the child waits" "$(cat "$TMP/srv.$port")"; end_pid "$pid"; return; }
    if [ "$(TMO=120 "$@" python3 "$who" client "$addr" $port 2>&1)" = ok ] && wait "$pid"; then
        ok "$what"
    else
        not_ok "$what" "$(cat "$TMP/srv.$port")"$'\n'"$(ctl a show session)"
        end_pid "$pid"
    fi
}
for f in 4 6; do
    s=S$f
    for child in poll epoll inherited; do
        for parent in epoll accept; do
            waiting_child "v$f: parent $parent, child $child, the kernel's peer" "${!s}" $parent $child in_k
            waiting_child "v$f: parent $parent, child $child, cut-through" "${!s}" $parent $child stack
        done
    done
done
check "nothing is left in the server" wait_for 30 server_is_empty a
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
