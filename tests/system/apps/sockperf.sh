#!/bin/bash
# sockperf.sh - sockperf: ping-pong, under load and throughput over TCP and UDP, waiting by recvfrom and by epoll
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin sockperf
# The IPv6 of Debian 12's version 3.7 is not built in.
FAMILIES=4
printf 'T:%s:7502\nT:%s:7503\n' $S4 $S4 >"$TMP/feed"
app_start "$TMP/tcp" stack sockperf sr -i $S4 -p 7501 --tcp
app_start "$TMP/epoll" stack sockperf sr -f "$TMP/feed" -F epoll
app_start "$TMP/udp" stack sockperf sr -i $S4 -p 7504
app_ready sockperf 7501 "$TMP/tcp"
app_ready "sockperf, epoll" 7502 "$TMP/epoll"
# sockperf keeps room for the times of so many messages a second, ping-pong without --mps for 600,000, and ends with an error when
# more are answered, which cut-through does on a quiet machine. Room for 5,000,000; it also waits 1/5,000,000 s from one message to
# the next, which no round trip between two processes gets below.
MANY=(--mps 5000000)
perf() { # PORT MODE OPTION...: messages came back, none lost, none twice
    local out n
    out=$("$client" sockperf "$2" -i "$addr" -p "$1" -t 1 "${@:3}" 2>&1) || { echo "$out"; return 1; }
    n=$(sed -n 's/.*\[Valid Duration\].*ReceivedMessages=\([0-9]*\).*/\1/p' <<<"$out")
    [ "${n:-0}" -gt 20 ] && ! grep -q ERROR <<<"$out" || { echo "$out"; return 1; }
}
throughput() {
    local out
    out=$("$client" sockperf tp -i "$addr" -p "$1" -t 1 "${@:2}" 2>&1) || { echo "$out"; return 1; }
    grep -q 'BandWidth is [1-9]' <<<"$out" || { echo "$out"; return 1; }
}
cases() {
    way_check "TCP ping-pong" perf 7501 pp --tcp "${MANY[@]}"
    way_check "TCP ping-pong, 8 KB" perf 7501 pp --tcp "${MANY[@]}" -m 8000
    way_check "TCP under load" perf 7501 ul --tcp --mps 5000 -m 200 --reply-every 5
    way_check "TCP throughput" throughput 7501 --tcp -m 1400
    way_check "UDP ping-pong" perf 7504 pp "${MANY[@]}"
    way_check "UDP under load" perf 7504 ul --mps 5000 --reply-every 5
    way_check "UDP throughput" throughput 7504 -m 1400
    way_check "TCP ping-pong, server waits by epoll" perf 7502 pp --tcp "${MANY[@]}"
}
each_way_in cases
app_end
