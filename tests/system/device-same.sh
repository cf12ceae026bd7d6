#!/bin/bash
# device-same.sh - sockets bound to an interface (SO_BINDTODEVICE): one program over the kernel and over the stack, the same output
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
PROBE=$top_builddir/tests/system/device_same
S4B=10.81.0.1 S6B=fd81::1 K4B=10.81.0.2 K6B=fd81::2

# Two links to the other host, and an interface that the kernel has to itself, also under the stack.
world() { # NAME
    NS_S=$TAG-s$1 NS_K=$TAG-k$1
    HS_STACK=$([ "$1" = k ] && echo kernel || echo hoststack)
    topo_veth
    ip -n "$NS_S" link add vs1 type veth peer name vk1 netns "$NS_K" || bail "veth pair can be made"
    [ "$HS_STACK" = kernel ] || in_s sysctl -qw net.ipv6.conf.vs1.disable_ipv6=1
    ip -n "$NS_S" link set vs1 up
    ip -n "$NS_K" link set vk1 up
    ip -n "$NS_K" addr add $K4B/24 dev vk1
    ip -n "$NS_K" addr add $K6B/64 dev vk1 nodad
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" addr add $S4B/24 dev vs1
        ip -n "$NS_S" addr add $S6B/64 dev vs1 nodad
    fi
    ip -n "$NS_S" link add vx type veth peer name vy || bail "a veth pair of its own can be made"
    ip -n "$NS_S" link set vy up
    ip -n "$NS_S" link set vx up
    ip -n "$NS_S" addr add 10.90.0.1/24 dev vx
    ip -n "$NS_S" addr add fd90::1/64 dev vx nodad
    bg "$TMP/agent.$1" in_k "$PROBE" agent
    wait_for 5 listening "$TMP/agent.$1" || bail "the agent of $1 listens" "$(cat "$TMP/agent.$1")"
}
link_local() { ip -n "$1" -6 -br addr show dev "$2" scope link | grep -o 'fe80::[0-9a-f:]*'; }
own_link_local() {
    if [ "$HS_STACK" = kernel ]; then link_local "$NS_S" vs0; else ctl a --json show interface | jq -r '.[0].addresses[].address' | grep -o 'fe80::[0-9a-f:]*'; fi
}
probe() { # FAMILY
    case $1 in
    4) TMO=120 spre a "$PROBE" 4 $S4 $K4 $S4B $K4B 10.90.0.1 10.95.0.1 2>&1 ;;
    *) TMO=120 spre a "$PROBE" 6 $S6 $K6 $S6B $K6B fd90::1 fd95::1 "$(own_link_local)" "$(link_local "$NS_K" vk0)" 2>&1 ;;
    esac
}

world k
for f in 4 6; do probe $f >"$TMP/kernel.$f"; done
for n in 1 3; do
    world "h$n"
    {
        conf_head a $n
        for i in 0 1; do printf 'port wire%s { device packet iface=vs%s  rx-queues %s }\n' $i $i $n; done
        conf_addrs wire0 $S4 $S6
        conf_addrs wire1 $S4B $S6B
    } >"$TMP/a.conf"
    server_start a "$NS_S"
    for f in 4 6; do
        probe $f >"$TMP/stack.$f"
        lines=$(wc -l <"$TMP/kernel.$f")
        if diff -U 2 "$TMP/kernel.$f" "$TMP/stack.$f" >"$TMP/diff" && [ "$lines" -gt 130 ]; then
            ok "$n workers, IPv$f: $lines results as of the kernel"
        else
            not_ok "$n workers, IPv$f: $lines results as of the kernel" "$(cat "$TMP/diff")"
        fi
    done
    server_alive a && ok "$n workers: the server lives" || not_ok "$n workers: the server lives"
    server_stop a
done
finish
