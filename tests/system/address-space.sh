#!/bin/bash
# address-space.sh - programs with little address space (RLIMIT_AS): cut-through where it fits, through the server where it does not, over the
# kernel where nothing does; never a reset, and nothing is left in the server
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need jq prlimit
need_root
need_stack
only_hoststack
veth_server
PROG=$top_builddir/tests/system/address_space
empty=$(server_counts a)
MB200=$((200 << 20))
port=7100
limited() { # SIDE BYTES ARGUMENTS...: the program, with the limit from its beginning on; - = none
    local side=$1 as=$2
    shift 2
    "$side" prlimit "--as=${as/#-/unlimited}" "$PROG" "$@"
}
pairs_gone() { [ "$(app_count a pairs)" = 0 ]; }
paths() { # what the connections of this server are, as words
    ctl a --json show session | jq -r '[.. | objects | .path? | strings | select(. != "-")] | unique | join(" ")'
}
has_ended() { pid_gone "$cli_pid"; }
is_held() { grep -q '^held' "$TMP/cli" || has_ended; }
# WHAT PATH SERVER-SIDE SERVER-AS SERVER-LIMIT CLIENT-SIDE CLIENT-AS CLIENT-LIMIT ADDRESS [COUNT BYTES]
streams() {
    local what=$1 want=$2 srv_pid
    port=$((port + 1))
    rm -f "$TMP/go"
    bg "$TMP/srv" limited "$3" "$4" "${PROTO-}server" "$9" $port "$5"
    srv_pid=$bg_pid
    wait_for 20 listening "$TMP/srv" || { not_ok "$what: the server listens" "$(cat "$TMP/srv")"; end_pid "$srv_pid"; return; }
    bg "$TMP/cli" limited "$6" "$7" "${PROTO-}client" "$9" $port "$8" "${10:-8}" "${11:-1500000}" "$TMP/go"
    cli_pid=$bg_pid
    wait_for 60 is_held
    [ -z "$want" ] || check_eq "$what: path" "$(paths)" "$want"
    : >"$TMP/go"
    wait_for 60 has_ended
    check_eq "$what: every byte" "$(grep -v '^hoststack\[' "$TMP/cli" | tr '\n' ' ')" "held ok "
    pid_gone "$srv_pid" && not_ok "$what: the server program goes on" "$(cat "$TMP/srv")"
    end_pid "$srv_pid"
    # One line of log at most from each.
    check_eq "$what: lines of log" "$(cat "$TMP/srv" "$TMP/cli" | grep '^hoststack\[' | sort | uniq -d)" ''
    wait_for 20 pairs_gone || not_ok "$what: no segment is left" "$(ctl a show app)"
}
dgrams() { # WHAT SERVER-SIDE AS LIMIT CLIENT-SIDE AS LIMIT ADDRESS
    local what=$1 srv_pid
    port=$((port + 1))
    bg "$TMP/srv" limited "$2" "$3" dgram-server "$8" $port "$4"
    srv_pid=$bg_pid
    wait_for 20 listening "$TMP/srv" || { not_ok "$what: the server listens" "$(cat "$TMP/srv")"; end_pid "$srv_pid"; return; }
    check_eq "$what: every datagram" "$(limited "$5" "$6" dgram-client "$8" $port "$7" 200 0 2>/dev/null)" ok
    end_pid "$srv_pid"
}
for a in 127.0.0.1 ::1 $S4 $S6; do
    streams "both with 200 MB, $a" cut-through stack $MB200 - stack $MB200 - $a
    streams "both with 200 MB, 100 connections, $a" "cut-through" stack $MB200 - stack $MB200 - $a 100 20000
    streams "the server with 200 MB, $a" cut-through stack $MB200 - stack - - $a
    streams "no room for a segment, the server program, $a" relay stack - later:4096 stack - - $a
    streams "no room for a segment, the client program, $a" relay stack - - stack - later:4096 $a
    streams "no room for a segment, neither, $a" relay stack - later:4096 stack - later:4096 $a
    streams "room for a few segments, $a" '' stack - later:12288 stack $MB200 - $a 200 20000
done
for a in 127.0.0.1 ::1; do
    PROTO=sctp- streams "SCTP, both with 200 MB, $a" cut-through stack $MB200 - stack $MB200 - $a
    PROTO=sctp- streams "SCTP, no room for a segment, the server program, $a" relay stack - later:4096 stack - - $a
    PROTO=sctp- streams "SCTP, no room for a segment, the client program, $a" relay stack - - stack - later:4096 $a
done
# Connections that change hands: a child that cannot map a segment with the client, and a client that cannot map one with the child.
for a in 127.0.0.1 $S6; do
    streams "children, $a" cut-through stack - child:0 stack - - $a 4
    streams "children without room for a segment, $a" relay stack - child:4096 stack - - $a 4
    streams "children, the client without room for another segment, $a" relay stack - child:0 stack - held:4096 $a 4
    streams "children, no room for a segment, neither, $a" relay stack - child:4096 stack - held:4096 $a 4
    streams "children, all with 200 MB, $a" cut-through stack $MB200 child:0 stack $MB200 - $a 4
done
for a in 127.0.0.1 ::1; do
    streams "no room at all, the server program, $a" '' stack - first:1000 stack - - $a
    streams "no room at all, the client program, $a" '' stack - - stack - first:1000 $a
    streams "no room at all, neither, $a" '' stack - first:1000 stack - first:1000 $a
    dgrams "no room at all, $a" stack - first:1000 stack - first:1000 $a
done
for a in $S4 $S6; do
    streams "over a port, the server with 200 MB, $a" '' stack $MB200 - in_k - - $a
    streams "over a port, the server with 20 MB, $a" '' stack $((20 << 20)) - in_k - - $a
    streams "over a port, limited later, $a" '' stack - later:2048 in_k - - $a
    dgrams "both with 200 MB, $a" stack $MB200 - stack $MB200 - $a
    dgrams "limited later, $a" stack - later:1024 stack - later:1024 $a
    dgrams "over a port, 20 MB, $a" stack $((20 << 20)) - in_k - - $a
done
for a in $K4 $K6; do
    streams "to the kernel, the client with 20 MB, $a" '' in_k - - stack $((20 << 20)) - $a
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
check_eq "no program broke the rules of shared memory" "$(app_count a violations)" 0
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
