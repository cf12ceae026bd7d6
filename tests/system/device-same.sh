#!/bin/bash
# device-same.sh - sockets bound to an interface (SO_BINDTODEVICE): one program over the kernel and over the stack, the same output
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/same_lib.sh
. "$(dirname "$0")/same_lib.sh"
need_root
need_stack
only_hoststack
PROBE=$top_builddir/tests/system/device_same

# Two links to the other host, and an interface that the kernel has to itself, also under the stack.
world_begin() { # NAME
    second_link
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
world_conf() { two_links_conf "$1"; }

same 130 4 6
finish
