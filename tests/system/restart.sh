#!/bin/bash
# restart.sh - the server is killed and started again under running programs: sessions end, listeners come back
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
veth_server

serve_echo echo stack $S4 7000
echo_pid=$bg_pid
check "echo before the restart" in_k "$ECHO" -b 10000 client $S4 7000
for how in KILL TERM; do
    bg "$TMP/client" stack "$ECHO" -f -N -n 5 -b 2000000 client $S4 7000
    client=$bg_pid
    has_round() { [ -s "$TMP/client" ]; }
    wait_for 10 has_round || not_ok "$how: the client makes rounds" "$(cat "$TMP/client")"
    server_stop a $how
    # Its sessions are gone: the client ends with an error of its own, it neither hangs nor crashes.
    if wait_for 10 pid_gone "$client"; then
        wait "$client"
        rc=$?
        check_eq "$how: a client in the middle of its work gets an error" "$rc" 1
        check "$how: and the error is a reset or the network being down" \
            grep -Eq 'Connection reset|Broken pipe|Network is down|Network is unreachable|Connection refused|No such process|not connected' "$TMP/client"
    else
        not_ok "$how: a client in the middle of its work gets an error" "it hangs: $(tail -n 3 "$TMP/client")"
        end_pid "$client" KILL
    fi
    kill -0 "$echo_pid" 2>/dev/null && ok "$how: the listening program lives on" || not_ok "$how: the listening program lives on" "$(cat "$TMP/echo")"
    TMO=10 stack "$ECHO" client $S4 7000 >"$TMP/down" 2>&1
    rc=$?
    check_eq "$how: without a server a new program fails at once, with its own error" "$rc" 1
    server_start a "$NS_S"
    works() { TMO=5 in_k "$ECHO" -b 10000 client $S4 7000; }
    wait_for 10 works && ok "$how: the listener comes back by itself, for the kernel" ||
        not_ok "$how: the listener comes back by itself, for the kernel" "$(cat "$TMP/echo")"
    works_local() { TMO=5 stack "$ECHO" -b 10000 client $S4 7000; }
    wait_for 5 works_local && ok "$how: the listener comes back by itself, cut-through" ||
        not_ok "$how: the listener comes back by itself, cut-through"
done
finish
