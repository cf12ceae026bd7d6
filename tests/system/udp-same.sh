#!/bin/bash
# udp-same.sh - errors about datagrams, control messages and options: one program over the kernel and over the stack, the same output
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
PROBE=$top_builddir/tests/system/udp_same
R4M=10.78.0.3
N4=10.79.0.1 N6=fd79::1

# Two hosts behind each other's router, the first one the kernel's or the stack's.
world() { # NAME
    local n
    NS_S=$TAG-s$1 NS_K=$TAG-k$1
    HS_STACK=$([ "$1" = k ] && echo kernel || echo hoststack)
    topo_veth
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
}
probe() { # FAMILY: in the world that stands in NS_S
    case $1 in
    6) TMO=60 spre a "$PROBE" all 6 $S6 $K6 $R6 $N6 2>&1 ;;
    4) TMO=60 spre a "$PROBE" all 4 $S4 $K4 $R4 $N4 2>&1 ;;
    *) TMO=60 spre a "$PROBE" all "$1" $S4 $K4 $R4M $N4 2>&1 ;; # another far host: what was learnt of the first is known
    esac
}

world k
for f in 4 6 mapped; do probe $f >"$TMP/kernel.$f"; done
for n in 1 3; do
    world "h$n"
    {
        conf_head "a" $n
        printf 'port wire0 { device packet iface=vs0  rx-queues %s }\n' $n
        conf_addrs wire0 $S4 $S6
        printf 'route 0.0.0.0/0 via %s\nroute ::/0 via %s\n' $K4 $K6
    } >"$TMP/a.conf"
    server_start a "$NS_S"
    for f in 4 6 mapped; do
        probe $f >"$TMP/stack.$f"
        lines=$(wc -l <"$TMP/kernel.$f")
        if diff -U 2 "$TMP/kernel.$f" "$TMP/stack.$f" >"$TMP/diff" && [ "$lines" -gt 60 ]; then
            ok "$n workers, $f: $lines results as of the kernel"
        else
            not_ok "$n workers, $f: $lines results as of the kernel" "$(cat "$TMP/diff")"
        fi
    done
    server_alive a && ok "$n workers: the server lives" || not_ok "$n workers: the server lives"
    server_stop a
done
finish
