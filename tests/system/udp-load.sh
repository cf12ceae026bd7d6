#!/bin/bash
# udp-load.sh - programs that live on datagrams: unbound under dnsperf, iperf3 -u; a receiver, and a server, that stands still, and who is killed
# LONG=1: 100,000 queries, 10 s a stream.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
need jq python3 dnsperf iperf3 unbound
PY=$(python3 -c 'import sys; print(sys.executable)')
if [ "${LONG:-0}" = 1 ]; then QUERIES=500 RATE=10000 TIME=10; else QUERIES=5 RATE=2000 TIME=1; fi # times 200 names

topo_veth 9000
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"
stack() { spre a "$@"; }
count() { ctl a --json show errors | jq --arg n "$1" '[.[] | select(.layer == "udp" and .reason == $n) | .count] | add // 0'; }
told() { check "$@"; [ ! -s "$TMP/told" ] || diag "$(cat "$TMP/told")"; : >"$TMP/told"; } # check, with what the load says of itself

# ---- unbound, with dnsperf at a rate; the kernel does the same beside it
# shellcheck source=tests/system/unbound_lib.sh
. "$top_srcdir/tests/system/unbound_lib.sh"
unbound_start() { # SIDE ADDRESS-4 ADDRESS-6
    unbound_conf "$TMP/$1.unbound" "$2" "$3" 5300 "$unbound_zone"
    bg "$TMP/$1.log" "$1" unbound -d -c "$TMP/$1.unbound"
    unbound_pids+=("$bg_pid")
}
answers() { TMO=10 "$1" dnsperf -s "$2" -p 5300 -d "$TMP/queries" -n 1 -q 1 -t 2 | grep -Eq 'Queries lost: +0 '; }
perf() { # SIDE ADDRESS: every query answered, and well
    local out
    out=$(TMO=120 "$1" dnsperf -s "$2" -p 5300 -d "$TMP/queries" -n "$QUERIES" -Q "$RATE" -q 100 -c 8 -T 2 -t 20 2>&1)
    grep -E 'Queries (sent|lost|per second)|Average Lat' <<<"$out" | tr -s ' ' | tr '\n' ' ' >"$TMP/told"
    grep -Eq "Queries completed: +$((QUERIES * 200)) " <<<"$out" && grep -Eq 'Queries lost: +0 ' <<<"$out" &&
        grep -Eq 'Response codes: +NOERROR [0-9]+ \(100.00%\)' <<<"$out" || { echo "$out"; return 1; }
}
unbound_pids=()
unbound_start stack $S4 $S6
unbound_start in_k $K4 $K6
for c in "in_k $S4" "in_k $S6" "stack $S4" "in_k $K4" "in_k $K6"; do
    # shellcheck disable=SC2086  # side and address
    wait_for 20 answers $c || bail "unbound answers: $c" "$(tail -n 5 "$TMP/stack.log" "$TMP/in_k.log")"
done
what="$((QUERIES * 200)) queries at $RATE a second"
told "$what: unbound on the kernel, IPv4" perf in_k $K4
for f in 4 6; do
    a=S$f
    told "$what: unbound on the stack, IPv$f" perf in_k "${!a}"
done
told "$what: both on the stack" perf stack $S4
told "$what: dnsperf on the stack" perf stack $K4
for p in "${unbound_pids[@]}"; do end_pid "$p"; done

# ---- iperf3 -u: what is lost is told
iperf_u() { # SERVER-SIDE CLIENT-SIDE ADDRESS BYTES RATE [-R]
    local out rc
    bg "$TMP/iperf" "$1" iperf3 -s -1 -p 5201 --forceflush
    wait_for 10 grep -q listening "$TMP/iperf"
    out=$(TMO=60 "$2" iperf3 -c "$3" -p 5201 -u -l "$4" -b "$5" -t "$TIME" -J "${@:6}" 2>&1)
    rc=$?
    wait_for 5 pid_gone "$bg_pid" # by itself: it leaves its handler of signals by longjmp(), wherever it was
    end_pid "$bg_pid"
    jq -r '.end.sum | "\(.packets) datagrams, \(.lost_packets) lost, \(.bits_per_second / 1e6 | floor) Mbit/s"' <<<"$out" >"$TMP/told" 2>/dev/null
    [ $rc = 0 ] && jq -e '.end.sum | .packets > 50 and .lost_packets < .packets' <<<"$out" >/dev/null || { echo "$out" | tail -n 20; return 1; }
    lost=$(jq '.end.sum.lost_packets' <<<"$out")
}
# Nothing is lost without being counted: what iperf3 misses found the receiver's buffer full, of the kernel or of the stack, or the port dropped it.
full_buffers() { case $1 in out) in_k cat /proc/net/snmp /proc/net/snmp6 | awk '/^Udp: [0-9]/ { n += $6 } /^Udp6RcvbufErrors/ { n += $2 } END { print n }' ;; *) count "receive buffer full" ;; esac; }
iperf_counted() { # in|out ARGUMENT...
    local way=$1 counted
    shift
    counted=$(($(full_buffers "$way") + $(port_drops)))
    iperf_u "$@" || return 1
    counted=$(($(full_buffers "$way") + $(port_drops) - counted))
    [ "$lost" -le $counted ] || { echo "$lost lost, $counted of them counted"; return 1; }
}
port_drops() { ctl a --json show interface | jq '.[0] | .tx_drops + .rx_errors + .rx_nombuf'; }
for f in 4 6; do
    s=S$f
    for size in 64:2M 1400:40M 8900:80M; do
        what="iperf3 -u, ${size%:*} bytes, IPv$f"
        # The short run has each size, each way and each family, not all of their combinations.
        pair=${LONG:-0}$f-${size%:*}
        [[ $pair = 04-1400 || $pair = 04-8900 || $pair = 06-64 || $pair = 06-1400 ]] || told "$what: into the stack" iperf_counted in stack in_k "${!s}" "${size%:*}" "${size#*:}"
        [[ $pair = 04-64 || $pair = 04-1400 || $pair = 06-64 || $pair = 06-8900 ]] || told "$what: out of the stack" iperf_counted out stack in_k "${!s}" "${size%:*}" "${size#*:}" -R
    done
done
[ "$HS_STACK" = kernel ] && finish

# ---- a receiver that stands still: the new ones are lost and counted, nobody else notices
flood() { # ADDRESS PORT N
    in_k "$PY" -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
for i in range(int(sys.argv[3])):
    s.sendto(b"x" * 1000, (sys.argv[1], int(sys.argv[2])))' "$@"
}
echo_server() { # ADDRESS PORT
    bg "$TMP/echo.$2" stack "$ECHO" -u server "$1" "$2"
    wait_for 10 listening "$TMP/echo.$2" || not_ok "the echo server at port $2 listens" "$(cat "$TMP/echo.$2")"
}
is_lossy() { flood "$1" 7001 500; [ "$(count "receive buffer full")" -gt "$full" ]; }
wait_for 10 server_is_empty a
before=$(server_counts a)
for f in 4 6; do
    s=S$f
    echo_server "${!s}" 7001; stopped=$bg_pid
    echo_server "${!s}" 7002; other=$bg_pid
    full=$(count "receive buffer full")
    kill -STOP "$stopped"
    check "IPv$f: a full receive queue drops and counts" wait_for 60 is_lossy "${!s}"
    TMO=20 check "IPv$f: another socket is served meanwhile" in_k "$ECHO" -u -n 20 -b 500 client "${!s}" 7002
    kill -CONT "$stopped"
    end_pid "$stopped"
    end_pid "$other"
done

# ---- a server that stands still: what its port has no room for is counted
missed() { ctl a --json show interface | jq '.[0].rx_errors'; }
is_missed() { [ "$(missed)" -gt "$1" ]; }
for f in 4 6; do
    s=S$f was=$(missed) pid=$(server_pid a)
    kill -STOP "$pid"
    flood "${!s}" 7001 30000
    kill -CONT "$pid"
    check "IPv$f: what comes while the server stands still, and is more than its port keeps, is counted" wait_for 10 is_missed "$was"
done

# ---- killed in the midst of it: nothing is left
endless() { # ADDRESS PORT: sends as fast as it can
    "$PY" -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    try:
        s.send(b"x" * 1000)
    except OSError:
        pass' "$@"
}
export -f endless
counts_are_back() { [ "$(server_counts a)" = "$before" ]; }
for f in 4 6; do
    s=S$f k=K$f
    echo_server "${!s}" 7003; receiver=$bg_pid
    bg "$TMP/sender" stack env PY="$PY" bash -c 'endless "$@"' - "${!k}" 9; sender=$bg_pid
    wait_for 10 listening "$TMP/sender"
    check "IPv$f: datagrams come while it is killed" flood "${!s}" 7003 2000
    end_pid "$receiver" KILL
    for p in $(pgrep -P "$sender"); do kill -KILL "$p" 2>/dev/null; done
    end_pid "$sender" KILL
    flood "${!s}" 7003 100
    wait_for 10 server_is_empty a && ok "IPv$f: nothing is left of receiver and sender" ||
        not_ok "IPv$f: nothing is left of receiver and sender" "$(ctl a show app)"
done
if wait_for 10 counts_are_back; then ok "descriptors, mappings and counts as before"; else
    not_ok "descriptors, mappings and counts as before" "before: $before"$'\n'"after: $(server_counts a)"
fi
check "the server lives" server_alive a
server_stop a
finish
