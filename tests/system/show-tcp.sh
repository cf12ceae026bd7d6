#!/bin/bash
# show-tcp.sh - show tcp timers, show session verbose and trace session, of connections in many states, as text and JSON
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need python3 jq nft
PROBE=$(dirname "$0")/tcp_states.py
topo_veth
{
    conf_packet a
    echo 'tcp { msl 120s  fin-wait2 240s }' # they stay as long as they are looked for
} >"$TMP/a.conf"
server_start a "$NS_S"
stack() { spre a "$@"; }
kernel() { in_k python3 "$PROBE" "$@"; }
# What these ports of the stack send does not arrive: data, FINs; and the SYNs to a port, and the answers to one SYN.
in_k nft 'add table inet holes; add chain inet holes in { type filter hook input priority 0; }
add rule inet holes in tcp sport 7502 meta length > 200 drop; add rule inet holes in tcp dport 7403 drop
add rule inet holes in tcp sport { 7505, 7510 } tcp flags & fin == fin drop; add rule inet holes in tcp dport 7511 drop' ||
    bail "nft in the kernel's namespace"
check "tracing is switched on" ctl a trace session on
started() { # WHAT WORD COMMAND...: it says so
    local what=$1 word=$2
    shift 2
    bg "$TMP/$what" "$@"
    wait_for 60 grep -q "$word" "$TMP/$what" || bail "$what is up" "$(cat "$TMP/$what")"
}
timers() { ctl a --json show tcp timers; }
row() { timers | jq -c --arg l "$1" '[.. | objects | select(.local? == $l)][0] // empty'; } # LOCAL ENDPOINT
# A row has this state, this timer with that many milliseconds at most (and more than the least), and no timer besides.
has() { # LOCAL STATE TIMER MOST [LEAST]
    row "$1" | jq -e --arg s "$2" --arg t "$3" --argjson most "${4:-0}" --argjson least "${5:-0}" '
        .state == $s and ([keys[] | select(endswith("_ms") and . != "rto_ms")] == [$t | select(. != "")]) and
        ($t == "" or (.[$t] <= $most and .[$t] >= $least))'
}
shown() { # WHAT LOCAL STATE TIMER MOST [LEAST]
    local what=$1
    shift
    if wait_for 60 eval "has $(printf "'%s' " "$@") >/dev/null"; then ok "$what"; else not_ok "$what" "$(row "$1")"; fi
}
verbose() { ctl a --json show session verbose | jq -c --arg l "$1" '[.. | objects | select(.local? == $l and .proto == "tcp")][0] // empty'; }
events() { ctl a --json show trace session | jq -r --arg l "$1" '.. | objects | select(.local? == $l) | if .event == "state" then .from + ">" + .state else .event end'; }
for f in 4 6; do
    s=S$f k=K$f s=${!s} k=${!k}
    at() { if [ $f = 4 ]; then echo "$s:$1"; else echo "[$s]:$1"; fi; }
    started peer$f listening kernel peer "$k"
    started answers$f listening kernel answers "$k"
    started hold$f ready stack python3 "$PROBE" hold "$k" "$s"
    started call$f ready kernel call "$s" "$k"
    shown "v$f: established, with keep-alive" "$(at 7501)" ESTABLISHED keepalive_ms 1000000 500000
    shown "v$f: a black hole: the time-out comes" "$(at 7502)" ESTABLISHED retransmit_ms 120000
    shown "v$f: a closed window is probed" "$(at 7503)" ESTABLISHED window_probe_ms 120000
    shown "v$f: SYN-SENT" "$(at 7504)" SYN-SENT retransmit_ms 120000
    shown "v$f: FIN-WAIT-1" "$(at 7505)" FIN-WAIT-1 retransmit_ms 120000
    shown "v$f: FIN-WAIT-2, closed: it ends by itself" "$(at 7506)" FIN-WAIT-2 fin_wait2_ms 240000 1000
    shown "v$f: FIN-WAIT-2, half closed: it stays" "$(at 7507)" FIN-WAIT-2 ""
    shown "v$f: TIME-WAIT" "$(at 7508)" TIME-WAIT time_wait_ms 240000 1000
    shown "v$f: CLOSE-WAIT" "$(at 7509)" CLOSE-WAIT ""
    shown "v$f: LAST-ACK" "$(at 7510)" LAST-ACK retransmit_ms 120000
    shown "v$f: SYN-RCVD" "$(at 7410)" SYN-RCVD retransmit_ms 120000
    check "v$f: time-outs are counted" wait_for 60 eval "row '$(at 7502)' | jq -e '.timeouts >= 2 and .rto_ms > 0' >/dev/null"
    check_eq "v$f: show session verbose of the black hole" \
        "$(verbose "$(at 7502)" | jq -c '[.state, .cc, .in_flight, .tx_queued, .cwnd == .mss, .timeouts > 0, .retransmits > 0]')" \
        '["ESTABLISHED","cubic",1000,1000,true,true,true]'
    check "v$f: and of the closed window" wait_for 60 eval "verbose '$(at 7503)' | jq -e '.state == \"ESTABLISHED\" and .snd_wnd == 0 and .not_sent > 0' >/dev/null"
    check_eq "v$f: and of one that keeps alive" "$(verbose "$(at 7501)" | jq -c '[.state, .keepalive, .nodelay, .in_flight]')" \
        '["ESTABLISHED",true,false,0]'
    check_eq "v$f: the trace of TIME-WAIT" "$(events "$(at 7508)" | tr '\n' ' ')" \
        "FREE>SYN-SENT SYN-SENT>ESTABLISHED ESTABLISHED>FIN-WAIT-1 FIN-WAIT-1>FIN-WAIT-2 FIN-WAIT-2>TIME-WAIT "
    check_eq "v$f: the trace of LAST-ACK" "$(events "$(at 7510)" | grep '>' | tr '\n' ' ')" \
        "FREE>SYN-SENT SYN-SENT>ESTABLISHED ESTABLISHED>CLOSE-WAIT CLOSE-WAIT>LAST-ACK "
    check "v$f: the trace tells time-outs" grep -qx timeout <(events "$(at 7502)")
    check "v$f: and window probes" wait_for 60 eval "events '$(at 7503)' | grep -qx 'window probe'"
    for what in "tcp timers" "session verbose" "trace session"; do
        # shellcheck disable=SC2086
        check "v$f: show $what as text" grep -qF "$(at 7502)" <(ctl a show $what)
    done
done
idle() { [ "$(ctl a --json show tcp | jq '[.[].idle] | add')" -ge 2 ]; }
check "those that keep alive take their compact form" wait_for 60 idle
for f in 4 6; do
    s=S$f s=${!s}
    shown "v$f: and are shown as before" "$(at 7501)" ESTABLISHED keepalive_ms 1000000 500000
done
check "show tcp" eval "ctl a show tcp | grep -Eq '^ *(half_open|time_wait) '"
check_eq "show tcp counts those in TIME-WAIT" "$(ctl a --json show tcp | jq '[.[].time_wait] | add')" 2
check "the trace is forgotten" ctl a trace session off
check_eq "and empty" "$(ctl a --json show trace session | jq '[.. | objects | select(.event?)] | length')" 0
finish
