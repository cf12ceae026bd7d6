#!/bin/bash
# pmtu.sh - a router of the kernel with a smaller link behind it: the stack finds the path MTU by its ICMP errors, and without them
# (a black hole) by its own time-outs and probes, which also find out that the path takes more again; IPv4 and IPv6
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need nft jq python3
topo_veth
topo_router 1280
# The receiver says that it takes 1460 bytes: a SYN's MSS must not hide what the path takes.
ip -n "$NS_R" route change default via 10.78.0.1 advmss 1460
ip -n "$NS_R" -6 route change default via fd78::1 advmss 1440
conf_packet a >"$TMP/a.conf"
printf 'route 10.78.0.0/24 via %s\nroute fd78::/64 via %s\n' $K4 $K6 >>"$TMP/a.conf"
echo 'tcp { mtu-probe-interval 2s }' >>"$TMP/a.conf"
server_start a "$NS_S"
stat() { ctl a --json show tcp | jq "[.[].$1] | add"; }

port=7100
# transfer WHAT ADDRESS: 300,000 bytes there and back, every byte checked
transfer() {
    local pid
    port=$((port + 1))
    bg "$TMP/srv.$port" in_r "$ECHO" server "$2" $port
    pid=$bg_pid
    wait_for 10 listening "$TMP/srv.$port" || { not_ok "$1: server" "$(cat "$TMP/srv.$port")"; return; }
    TMO=60 check "$1" spre a "$ECHO" -t 150 -b 300000 client "$2" $port
    end_pid "$pid"
}
transfer "IPv4, by ICMP" $R4
transfer "IPv6, by ICMP" $R6
if [ "$(stat pmtu_lowered)" -ge 2 ] && [ "$(stat pmtu_black_hole)" = 0 ]; then ok "ICMP told the path MTU"
else not_ok "ICMP told the path MTU" "$(ctl a show tcp)"; fi
# Now the router says nothing.
in_k nft -f - <<'NFT' || bail "nft in the router"
table inet hole {
    chain out {
        type filter hook output priority 0
        icmp type destination-unreachable drop
        icmpv6 type packet-too-big drop
    }
}
NFT
lowered=$(stat pmtu_lowered)
transfer "IPv4, in a black hole" $R4
transfer "IPv6, in a black hole" $R6
if [ "$(stat pmtu_black_hole)" -ge 2 ] && [ "$(stat pmtu_lowered)" = "$lowered" ]; then ok "time-outs told it"
else not_ok "time-outs told it" "$(ctl a show tcp)"; fi
# Streams that last: what the path takes is found by probes, first downwards, then upwards again.
narrow() { ip -n "$NS_K" link set kr0 mtu "$1" && ip -n "$NS_R" link set rk0 mtu "$1"; }
# stream_to ADDRESS: a program of the stack's that writes and reads back, again and again; STREAM.ADDRESS.PORT
streams=()
stream_to() {
    port=$((port + 1))
    bg "$TMP/srv.$port" in_r "$ECHO" server "$1" $port
    wait_for 10 listening "$TMP/srv.$port" || bail "server $1" "$(cat "$TMP/srv.$port")"
    bg "$TMP/stream.$port" spre a python3 "$top_srcdir/tests/system/pmtu_stream.py" "$1" $port
    streams+=("$bg_pid")
    wait_for 10 grep -q going "$TMP/stream.$port" || bail "stream to $1" "$(cat "$TMP/stream.$port")"
}
# told FIELD: of each stream
told() {
    ctl a --json show session verbose |
        jq -r "[.. | objects | select(.path_mtu? and .state == \"ESTABLISHED\") | .$1] | sort | map(tostring) | join(\" \")"
}
mtus_are() { [ "$(told path_mtu)" = "$1" ]; }
narrow 1500 || bail "the link takes 1500 bytes"
stream_to $R4
stream_to $R6
check_eq "streams begin with what the link takes" "$(told path_mtu) $(told path_mtu_search)" "1500 1500 off off"
narrow 1400 || bail "the link takes 1400 bytes"
if wait_for 90 mtus_are "1400 1400"; then ok "probes find that 1400 bytes get through the black hole"
else not_ok "probes find that 1400 bytes get through the black hole" "$(told path_mtu; ctl a show tcp)"; fi
found() { # by the stream over IPv4: its search is over, and the cache knows
    [ "$(ctl a --json show session verbose |
        jq -r "[.. | objects | select(.path_mtu? and (.remote | startswith(\"$R4\"))) | .path_mtu_search] | first")" = waits ]
}
wait_for 60 found || diag "the search over IPv4 has no end"
stream_to $R4
check_eq "a new connection knows it" "$(told path_mtu)" "1400 1400 1400"
narrow 1500 || bail "the link takes 1500 bytes again"
searches_are() { [ "$(told path_mtu_search)" = "$1" ]; }
if wait_for 60 mtus_are "1500 1500 1500" && wait_for 60 searches_are "done done done"; then ok "and probes find that it takes 1500 again"
else not_ok "and probes find that it takes 1500 again" "$(told path_mtu; ctl a show tcp)"; fi
if [ "$(stat mtu_probes_arrived)" -ge 4 ] && [ "$(stat mtu_probes_lost)" -ge 2 ]; then ok "counted"
else not_ok "counted" "$(ctl a show tcp)"; fi
for p in "${streams[@]}"; do end_pid "$p"; done
check_eq "every byte was right" "$(cat "$TMP"/stream.* | grep -c '^right')" 3
if server_alive a; then ok "the server lives"; else not_ok "the server lives"; fi
finish
