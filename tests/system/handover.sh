#!/bin/bash
# handover.sh - ends of a cut-through connection go to other processes while bytes are unread, before anybody used them, or while a peer sleeps
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need jq python3
need_stack
handover=$top_builddir/tests/system/handover
conf_head a >"$TMP/a.conf"
server_start a ''
empty=$(server_counts a)
port=7300
one() { # MODE ADDRESS
    local log=$TMP/serve.$1.$port server rc
    port=$((port + 1))
    TMO=60 bg "$log" pre a "$handover" serve "$1" "$2" $port "$TMP/mark.$port"
    server=$bg_pid
    wait_for 10 listening "$log" || { not_ok "$1 $2: it listens" "$(cat "$log")"; return; }
    TMO=60 check "$1 $2: the sender" pre a "$handover" send "$2" $port "$TMP/mark.$port"
    wait_for 60 pid_gone "$server"
    wait "$server"
    rc=$?
    [ $rc = 0 ] && ok "$1 $2: every byte came once, in order" ||
        not_ok "$1 $2: every byte came once, in order" "exit $rc :: $(cat "$log")"
}
for a in 127.0.0.1 ::1; do
    for mode in fork exec pass turns late other twice; do
        one $mode "$a"
    done
done
for a in 127.0.0.1 ::1; do
    for mode in silent unread end server twice late; do
        check_eq "both ends, $mode, $a" "$(TMO=60 pre a python3 "$top_srcdir/tests/system/both_ends.py" "$a" $mode 2>&1)" ok
        [ $mode = end ] || # an association ends as a whole
            check_eq "both ends, SCTP, $mode, $a" "$(TMO=60 pre a python3 "$top_srcdir/tests/system/both_ends.py" "$a" $mode sctp 2>&1)" ok
    done
done
asleep() { # ADDRESS MODE
    check_eq "a peer that sleeps, $2, $1" "$(TMO=60 pre a python3 "$top_srcdir/tests/system/sleeping_peer.py" "$1" "$2" 2>&1)" ok
}
for mode in stop spin part chain back die closed early nobody both; do
    asleep 127.0.0.1 $mode
done
for mode in stop die early nobody; do
    asleep ::1 $mode
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
