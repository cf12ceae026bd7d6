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
# Behind the router: namespace R, its link takes no more than 1280 bytes.
NS_R=$TAG-r R4=10.88.0.2 R6=fd88::2
make_ns "$NS_R"
in_r() { $HS_EXEC ip netns exec "$NS_R" ${TMO:+timeout -k 2 "$TMO"} "$@"; }
ip -n "$NS_K" link add kr0 mtu 1280 type veth peer name rk0 mtu 1280 netns "$NS_R" || bail "second veth pair can be made"
ip -n "$NS_K" link set kr0 up
ip -n "$NS_R" link set rk0 up
ip -n "$NS_K" addr add 10.88.0.1/24 dev kr0
ip -n "$NS_K" addr add fd88::1/64 dev kr0 nodad
ip -n "$NS_R" addr add $R4/24 dev rk0
ip -n "$NS_R" addr add $R6/64 dev rk0 nodad
ip -n "$NS_R" route add default via 10.88.0.1
ip -n "$NS_R" -6 route add default via fd88::1
in_k sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
# The receiver says that it takes 1460 bytes: a SYN's MSS must not hide what the path takes.
ip -n "$NS_R" route change default via 10.88.0.1 advmss 1460
ip -n "$NS_R" -6 route change default via fd88::1 advmss 1440
conf_packet a >"$TMP/a.conf"
printf 'route 10.88.0.0/24 via %s\nroute fd88::/64 via %s\n' $K4 $K6 >>"$TMP/a.conf"
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
