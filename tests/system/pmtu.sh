#!/bin/bash
# pmtu.sh - a router of the kernel with a smaller link behind it: the stack finds the path MTU by its ICMP errors, and without them
# (a black hole) by its own time-outs; IPv4 and IPv6
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need nft jq
topo_veth
topo_router 1280
# The receiver says that it takes 1460 bytes: a SYN's MSS must not hide what the path takes.
ip -n "$NS_R" route change default via 10.78.0.1 advmss 1460
ip -n "$NS_R" -6 route change default via fd78::1 advmss 1440
conf_packet a >"$TMP/a.conf"
printf 'route 10.78.0.0/24 via %s\nroute fd78::/64 via %s\n' $K4 $K6 >>"$TMP/a.conf"
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
    TMO=60 check "$1" spre a "$ECHO" -t 50 -b 300000 client "$2" $port
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
if server_alive a; then ok "the server lives"; else not_ok "the server lives"; fi
finish
