#!/bin/bash
# unbound.sh - unbound with two threads answers dnsperf over UDP and TCP; a forwarder asks another unbound
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin unbound dnsperf "$PYTHON"
# shellcheck source=tests/system/unbound_lib.sh
. "$top_srcdir/tests/system/unbound_lib.sh"
for i in {1..50}; do echo "h$i.hoststack A" >>"$TMP/few"; done
unbound_conf "$TMP/u.conf" $S4 $S6 5300 "$unbound_zone"
unbound_conf "$TMP/k.conf" $K4 $K6 5300 "$unbound_zone"
forward='    do-tcp: yes
forward-zone:
    name: "hoststack."
    forward-no-cache: yes
    forward-addr: '
unbound_conf "$TMP/f4.conf" $S4 $S6 5301 "${forward}$K4@5300"
unbound_conf "$TMP/f6.conf" $S4 $S6 5302 "${forward}$K6@5300"
unbound_conf "$TMP/c4.conf" $S4 $S6 5303 "${forward}$S4@5300"
unbound_conf "$TMP/c6.conf" $S4 $S6 5304 "${forward}$S6@5300"
app_start "$TMP/k.out" in_k unbound -d -c "$TMP/k.conf"
for u in u f4 f6 c4 c6; do app_start "$TMP/$u.out" stack unbound -d -c "$TMP/$u.conf"; done
for p in 5300 5301 5302 5303 5304; do app_ready "unbound, port $p" $p "$TMP/u.out"; done
perf() { # PORT MODE QUERIES OPTION...: every query answered, and answered well
    local out
    out=$("$client" dnsperf -s "$addr" -p "$1" -m "$2" -d "$TMP/$3" -t 5 -c 8 -T 2 "${@:4}" 2>&1)
    grep -Eq 'Queries lost: +0 ' <<<"$out" && grep -Eq 'Response codes: +NOERROR [0-9]+ \(100.00%\)' <<<"$out" || { echo "$out"; return 1; }
}
one() { "$client" "$PYTHON" "$APPS_DIR/dns_ask.py" "$addr" 5300 "$1" h77.hoststack 192.0.2.77; }
cases() {
    way_check "one answer over UDP" one udp
    way_check "one answer over TCP" one tcp
    way_check "dnsperf, UDP" perf 5300 udp queries -n 50 -q 50
    way_check "dnsperf, TCP" perf 5300 tcp queries -n 20 -q 50
    [ "$client" = in_k ] && way_check "forwards to the kernel's" perf $((fam == 4 ? 5301 : 5302)) udp few -n 5 -q 10
    [ "$client" = stack ] && way_check "forwards to one on the stack" perf $((fam == 4 ? 5303 : 5304)) udp few -n 5 -q 10
}
each_way_in cases
app_end
