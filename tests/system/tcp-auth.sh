#!/bin/bash
# tcp-auth.sh - TCP MD5 (RFC 2385): the stack and the kernel sign for each other, wrong and missing signatures are dropped and counted
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need python3 jq
topo_tap
conf_tap a >"$TMP/a.conf"
server_start a "$NS_S"
tap_up
probe() { python3 "$top_srcdir/tests/system/tcp_auth_probe.py" "$@"; }
exit_is() { # CODE COMMAND...
    local want=$1 rc=0
    shift
    "$@" || rc=$?
    [ "$rc" = "$want" ]
}
# shellcheck disable=SC2317
stack() { spre a python3 "$top_srcdir/tests/system/tcp_auth_probe.py" "$@"; }
# shellcheck disable=SC2317
kernel() { in_k python3 "$top_srcdir/tests/system/tcp_auth_probe.py" "$@"; }
counter() { ctl a --json show tcp | jq "[.. | objects | .$1? | numbers] | add // 0"; }

if ! kernel errors 4 2>/dev/null | grep -q '^set ok'; then skip_all "the kernel has no TCP_MD5SIG"; fi
check_eq "setsockopt answers as the kernel does, v4" "$(stack errors 4)" "$(kernel errors 4)"
check_eq "setsockopt answers as the kernel does, v6" "$(stack errors 6)" "$(kernel errors 6)"

# who listens, who connects, where; 4 and 6
both_ways() { # WHO-LISTENS WHO-CONNECTS ADDRESS PEER FAMILY PORT
    local listen=$1 connect=$2 addr=$3 peer=$4 f=$5 port=$6 what="$1 listens, $2 connects, v$5"
    echo "$peer secret" >"$TMP/keys$port"
    bg "$TMP/listen$port" "$listen" listen "$f" "$port" "$TMP/keys$port"
    wait_for 20 grep -q listening "$TMP/listen$port" || bail "$what: listener is up" "$(cat "$TMP/listen$port")"
    check "$what: a megabyte there and back" "$connect" connect "$f" "$addr" "$port" 1000000 secret
    check "$what: no answer with another key" exit_is 3 "$connect" connect "$f" "$addr" "$port" 10 wrong 0.5
    check "$what: no answer without a key" exit_is 3 "$connect" connect "$f" "$addr" "$port" 10 - 0.5
    local bits=16
    [ "$f" = 4 ] || bits=64
    echo "$peer/$bits other" >"$TMP/keys$port"
    kill -HUP "$bg_pid"
    wait_for 20 eval '[ "$(grep -c keys "$TMP/listen'"$port"'")" = 2 ]'
    check "$what: another key, for a prefix, while it listens" "$connect" connect "$f" "$addr" "$port" 100000 other
    : >"$TMP/keys$port"
    kill -HUP "$bg_pid"
    wait_for 20 eval '[ "$(grep -c keys "$TMP/listen'"$port"'")" = 3 ]'
    check "$what: without a key when it was removed" "$connect" connect "$f" "$addr" "$port" 100000
    check "$what: then a signature is unexpected" exit_is 3 "$connect" connect "$f" "$addr" "$port" 10 other 0.5
}
both_ways stack kernel $S4 $K4 4 4001
both_ways stack kernel $S6 $K6 6 4002
both_ways kernel stack $K4 $S4 4 4003
both_ways kernel stack $K6 $S6 6 4004
# The socket's keys come back with a server that was restarted; a signed connection says so, and never with what key.
echo "$K4 secret" >"$TMP/keys4005"
bg "$TMP/listen4005" stack listen 4 4005 "$TMP/keys4005"
wait_for 20 grep -q listening "$TMP/listen4005" || bail "listener is up"
wait_for 20 kernel connect 4 $S4 4005 10 secret || bail "listener answers"
for c in sig_bad sig_missing sig_unexpected; do
    check "$c was counted" test "$(counter $c)" -gt 0
done
bg "$TMP/hold" kernel hold 4 $S4 4005 secret
check "show session verbose says that it is signed" wait_for 20 eval 'ctl a --json show session verbose | jq -e "[.. | objects | .signed? | strings] | index(\"md5\")"'
check_eq "and not with what key" "$(ctl a --json show session verbose | grep -c secret)" 0
end_pid "$bg_pid"
server_stop a
server_start a "$NS_S"
tap_up
check "keys come back after a restart of the server" wait_for 30 kernel connect 4 $S4 4005 1000 secret 2
check "and without one there is no answer" exit_is 3 kernel connect 4 $S4 4005 10 - 0.5
finish
