#!/bin/bash
# synflood.sh - SYNs from made-up addresses fill a listener's backlog: what is established goes on, who is real still connects
# LONG=1 (make soak-flood): 100,000 a second for 10 s, and the established connection keeps 80 % of its throughput. That one is paced: flood, peer,
# programs and stack share the processors here, and what the flood's sender takes is no merit and no fault of the stack.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need iperf3 jq
if [ "${LONG:-0}" = 1 ]; then rate=100000 secs=10; else rate=20000 secs=3; fi
topo_veth
conf_packet a >"$TMP/a.conf"
printf 'route 10.99.0.0/16 via %s\nroute fd99::/16 via %s\n' $K4 $K6 >>"$TMP/a.conf"
# What the stack answers to addresses that nobody has ends in the peer.
ip -n "$NS_K" route add blackhole 10.99.0.0/16
ip -n "$NS_K" route add blackhole fd99::/16
server_start a "$NS_S"

stat() { ctl a --json show tcp | jq "[.[].$1] | add"; }
# N connections one after another, each with an echo; fails if one fails.
connect_all() { # ADDRESS N
    local i
    for i in $(seq "$2"); do
        TMO=25 in_k "$ECHO" -t 60 -b 2000 client "$1" 7000 >"$TMP/echo.$i" 2>&1 || { cat "$TMP/echo.$i"; return 1; }
    done
}
iperf_rate() { # PORT SECONDS: bits a second that arrived
    TMO=$(($2 + 20)) in_k iperf3 -J -c $S4 -p "$1" -t "$2" -b 2G >"$TMP/iperf.$1.c" 2>&1 || return 1
    jq '.end.sum_received.bits_per_second | floor' "$TMP/iperf.$1.c"
}

bg "$TMP/echo.log" spre a "$ECHO" server :: 7000
wait_for 10 grep -q '^ready' "$TMP/echo.log" || bail "echo server" "$(cat "$TMP/echo.log")"
for port in 5201 5202; do
    bg "$TMP/iperf.$port.s" spre a iperf3 -s -1 -p $port --forceflush
    wait_for 10 grep -q 'Server listening' "$TMP/iperf.$port.s" || bail "iperf server" "$(cat "$TMP/iperf.$port.s")"
done
before=$(iperf_rate 5201 $secs) || bail "iperf without flood" "$(cat "$TMP/iperf.5201.c")"

iperf_rate 5202 $secs >"$TMP/during" & # no longer than the flood, so that none of it goes without
iperf_pid=$!
established() { [ "$(ctl a --json show session | jq '[.[] | select(.state == "established")] | length')" -ge 2 ]; }
wait_for 10 established || bail "the connection is established"
bg "$TMP/flood4" in_k "$top_builddir/tests/system/synflood" $S4 7000 10.99.0.0 $((rate / 2)) $secs
flood4=$bg_pid
bg "$TMP/flood6" in_k "$top_builddir/tests/system/synflood" $S6 7000 fd99:: $((rate / 2)) $secs
flood6=$bg_pid
loaded() { [ "$(stat cookies_sent)" -gt 100 ]; }
wait_for 10 loaded || bail "cookies are sent" "$(ctl a show tcp)"
check "new IPv4 connections under flood" connect_all $S4 5
check "new IPv6 connections under flood" connect_all $S6 5
wait_for 60 pid_gone $flood4 && wait_for 60 pid_gone $flood6
diag "sent $(cat "$TMP/flood4" "$TMP/flood6" | paste -sd' '), cookies sent $(stat cookies_sent), accepted $(stat cookies_accepted), half open $(stat half_open)"
if [ "$(stat cookies_accepted)" -gt 0 ]; then ok "by SYN cookies"; else not_ok "by SYN cookies" "$(ctl a show tcp)"; fi
if [ "$(stat half_open)" -le 1100 ]; then ok "half-open connections stay within the backlog"; else not_ok "half-open connections stay within the backlog" "$(stat half_open)"; fi
if wait $iperf_pid; then ok "the established connection goes on"; else not_ok "the established connection goes on" "$(cat "$TMP/iperf.5202.c")"; fi
during=$(cat "$TMP/during")
diag "throughput before $before, during ${during:-0} bit/s"
if [ "${LONG:-0}" = 1 ]; then
    sent=$(cat "$TMP/flood4" "$TMP/flood6" | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n }')
    if [ "${sent:-0}" -ge $((rate * secs * 95 / 100)) ]; then ok "the flood is as fast as it is meant to be"
    else not_ok "the flood is as fast as it is meant to be" "${sent:-0} SYNs in $secs s"; fi
    if [ "${during:-0}" -ge $((before * 8 / 10)) ]; then ok "and keeps 80 % of its throughput"
    else not_ok "and keeps 80 % of its throughput" "$before -> ${during:-0} bit/s"; fi
fi
if server_alive a; then ok "the server lives"; else not_ok "the server lives"; fi
finish
