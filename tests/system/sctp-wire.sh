#!/bin/bash
# sctp-wire.sh - SCTP between two servers over a wire: socket calls and unmodified programs, IPv4 and IPv6
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
PROBE=$top_builddir/tests/system/sctp_probe OPTIONS=$top_builddir/tests/system/sctp_options PASS=$top_builddir/tests/system/sctp_pass
[ -x "$PROBE" ] && [ -x "$OPTIONS" ] || bail "sctp_probe and sctp_options are built"

topo_veth
in_k ip addr flush dev vk0 # the second server owns that end
in_k sysctl -qw net.ipv6.conf.vk0.disable_ipv6=1
conf_packet a >"$TMP/a.conf"
{
    conf_head b
    echo 'port wire0 { device packet iface=vk0 }'
    conf_addrs wire0 $K4 $K6
} >"$TMP/b.conf"
server_start a "$NS_S"
server_start b "$NS_K"

# serving PORT COMMAND…: an echo server at a; calling ADDRESS PORT: the probe's 90 messages of up to 200,000 bytes, and back. Both in the
# background: most of their time is waiting for acknowledgements.
declare -A server caller
serving() {
    local port=$1
    shift
    TMO=60 bg "$TMP/serve.$port" pre a "$@" "$port"
    server[$port]=$bg_pid
    wait_for 10 grep -q ready "$TMP/serve.$port" || not_ok "a listens at port $port" "$(cat "$TMP/serve.$port")"
}
calling() {
    TMO=60 bg "$TMP/call.$2" pre b "$PROBE" call "$1" "$2"
    caller[$2]=$bg_pid
}
# called PORT WHAT: the call has ended well
called() {
    wait_for 60 pid_gone "${caller[$1]}"
    if grep -q '^1\.\.' "$TMP/call.$1" && ! grep -q '^not ok' "$TMP/call.$1"; then ok "$2"; else not_ok "$2" "$(tail -n 8 "$TMP/call.$1")"; fi
}
# served PORT WHAT LINE: and the server has said so
served() {
    wait_for 10 pid_gone "${server[$1]}"
    check "$2" grep -q "$3" "$TMP/serve.$1"
}
received() { grep -aq "$2" "$TMP/$1.log"; }
# options FAMILY ADDRESS PORT: of an association over the wire
options() {
    local log=$TMP/serve.$3 pid out
    TMO=60 bg "$log" pre a "$PROBE" serve "$2" "$3"
    pid=$bg_pid
    wait_for 10 grep -q ready "$log" || not_ok "a listens at $2" "$(cat "$log")"
    if out=$(TMO=60 pre b "$OPTIONS" call "$2" "$3" 2>&1); then ok "socket options, $1"; else
        not_ok "socket options, $1" "$(grep -v '^ok' <<<"$out" | head -n 20)"
    fi
    wait_for 10 pid_gone "$pid"
}
# one_to_many FAMILY ADDRESS OWN-ADDRESS PORT: lksctp-tools' one-to-many sockets
one_to_many() {
    local pid
    TMO=40 bg "$TMP/test.$4.log" pre a stdbuf -oL sctp_test -H "$2" -P "$4" -l
    pid=$bg_pid
    wait_for 10 received "test.$4" 'Receiving packets'
    TMO=30 pre b sctp_test -H "$3" -P "$4" -h "$2" -p "$4" -s -x 3 -c 4 >"$TMP/test.out" 2>&1
    check_eq "sctp_test sends messages of all sizes, $1" "$?" 0
    check "sctp_test receives them and the end, $1" wait_for 10 received "test.$4" 'SCTP_ASSOC_CHANGE(SHUTDOWN_COMPLETE)'
    check_eq "all of them, $1" "$(grep -ac 'Data 32768 bytes' "$TMP/test.$4.log")" "$(grep -ac '32768 bytes' "$TMP/test.out")"
    end_pid "$pid"
}
iperf() { # FAMILY ADDRESS PORT
    local out
    TMO=30 bg "$TMP/iperf.$3" pre a iperf3 --forceflush -s -1 -p "$3"
    wait_for 10 grep -q 'Server listening' "$TMP/iperf.$3"
    out=$(TMO=20 pre b iperf3 --sctp -c "$2" -p "$3" -n 16M -J 2>&1)
    check_eq "iperf3 --sctp, $1" "$(jq -r '.end.sum_sent.bytes >= 16777216 and .end.sum_received.bytes > 0' <<<"$out" 2>&1)" true
}

serving 7301 "$PROBE" serve $S4
serving 7302 "$PROBE" serve $S6
serving 7305 "$PASS" exec $S4
serving 7306 "$PASS" pass $S6
serving 7307 "$PASS" peel $S4
calling $S4 7301
calling $S6 7302
calling $S4 7305
calling $S6 7306
calling $S4 7307
options IPv4 $S4 7303
options IPv6 $S6 7304
called 7301 "messages over the wire and back, IPv4"
served 7301 "and the association ends in order, IPv4" '^ok 1 - the association ends in order'
called 7302 "messages over the wire and back, IPv6"
served 7302 "and the association ends in order, IPv6" '^ok 1 - the association ends in order'
called 7306 "pass: messages to a socket that changes its process"
served 7306 "pass: and it ended in order" '^association ended in order after 88'
called 7307 "peel: messages to a socket that changes its process"
served 7307 "peel: and it ended in order" '^association ended in order after 88'
called 7305 "exec: messages to a socket that changes its process, 1"
calling $S4 7305
called 7305 "exec: messages to a socket that changes its process, 2"
served 7305 "exec: and it ended in order" '^association ended in order after 88'
if command -v sctp_test >/dev/null; then
    one_to_many IPv4 $S4 $K4 7311
    one_to_many IPv6 $S6 $K6 7312
else
    skip "one-to-many sockets" "no lksctp-tools here"
fi
if command -v iperf3 >/dev/null; then
    iperf IPv4 $S4 7321
    iperf IPv6 $S6 7322
else
    skip "iperf3 --sctp" "no program 'iperf3' here"
fi
check_eq "show sctp counts the associations" "$(ctl a --json show sctp | jq '.[0].established >= 4 and .[0].drop_checksum == 0')" true
check_eq "nothing is left in either server" "$(wait_for 20 server_is_empty a && wait_for 20 server_is_empty b && echo yes)" yes
finish
