#!/bin/bash
# udp-same.sh - errors about datagrams, control messages and options: one program over the kernel and over the stack, the same output
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/same_lib.sh
. "$(dirname "$0")/same_lib.sh"
need_root
need_stack
only_hoststack
PROBES="$top_builddir/tests/system/udp_same $top_builddir/tests/system/udp_aside"
R4M=10.78.0.3
N4=10.79.0.1 N6=fd79::1

# Two hosts behind each other's router, the first one the kernel's or the stack's.
world_begin() { # NAME
    local n
    topo_router 1300
    for n in "$NS_K" "$NS_R" "$NS_S"; do
        ip netns exec "$n" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 2>/dev/null
        ip netns exec "$n" sysctl -qw net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=100000 2>/dev/null
    done
    ip -n "$NS_R" addr add $R4M/24 dev rk0
    ip -n "$NS_K" route add unreachable 10.79.0.0/24
    ip -n "$NS_K" route add unreachable fd79::/64
    for n in "$NS_K" "$NS_R"; do
        bg "$TMP/echo.$n" ip netns exec "$n" "$ECHO" -u server :: 7000
        wait_for 5 listening "$TMP/echo.$n" || bail "the echo server of $n listens" "$(cat "$TMP/echo.$n")"
    done
    bg "$TMP/stream.$1" ip netns exec "$NS_R" "$ECHO" server :: 7000
    wait_for 20 listening "$TMP/stream.$1" || bail "the echo server of streams listens" "$(cat "$TMP/stream.$1")"
}
probe() { # FAMILY: in the world that stands in NS_S
    local p
    for p in $PROBES; do
        case $1 in
        6) TMO=60 spre a "$p" all 6 $S6 $K6 $R6 $N6 2>&1 ;;
        4) TMO=60 spre a "$p" all 4 $S4 $K4 $R4 $N4 2>&1 ;;
        *) TMO=60 spre a "$p" all "$1" $S4 $K4 $R4M $N4 2>&1 ;; # another far host: what was learnt of the first is known
        esac || return
    done
}
world_conf() { # WORKERS
    conf_head a "$1"
    printf 'port wire0 { device packet iface=vs0  rx-queues %s }\n' "$1"
    conf_addrs wire0 $S4 $S6
    printf 'route 0.0.0.0/0 via %s\nroute ::/0 via %s\n' $K4 $K6
}

same 60 4 6 mapped
finish
