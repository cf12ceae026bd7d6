#!/bin/bash
# freebind.sh - IP_FREEBIND, IP_TRANSPARENT: bound to an address that comes later, over the kernel and over the stack the same
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/same_lib.sh
. "$(dirname "$0")/same_lib.sh"
need_root
need_stack
only_hoststack
need python3 nft ping
PY="python3 $top_srcdir/tests/system/freebind.py"

# The stack takes its addresses from cfg0, as they come and go.
# 198.51.100.7 and 2001:db8:77::7 are the other host's.
world_begin() { # NAME
    local far
    for far in 198.51.100.7/32 2001:db8:77::7/128; do ip -n "$NS_K" addr add $far dev lo; done
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" route add 198.51.100.0/24 via $K4
        ip -n "$NS_S" route add 2001:db8:77::/64 via $K6
        return
    fi
    in_s sysctl -qw net.ipv4.conf.vs0.arp_ignore=8 # the kernel has them, too: it shall not answer for them on the wire
    deafen
    ip -n "$NS_S" link add cfg0 type veth peer name cfg1 || bail "a veth pair can be made"
    in_s sysctl -qw net.ipv6.conf.cfg0.dad_transmits=0
    ip -n "$NS_S" link set cfg1 up
    ip -n "$NS_S" link set cfg0 up
}
world_conf() { # WORKERS
    conf_head a "$1"
    printf 'port wire0 { device packet iface=vs0  rx-queues %s }\n' "$1"
    printf 'interface wire0 { address %s/24  address %s/64  linux-sync cfg0  no-dad }\n' $S4 $S6
    printf 'route 198.51.100.0/24 via %s\nroute 2001:db8:77::/64 via %s\n' $K4 $K6
}
address() { # add|del FAMILY
    local dev=cfg0
    [ "$HS_STACK" = kernel ] && dev=vs0
    if [ "$2" = 4 ]; then ip -n "$NS_S" addr "$1" 10.77.0.77/24 dev $dev; else ip -n "$NS_S" addr "$1" fd77::77/64 dev $dev nodad; fi
}
comes_late() { # FAMILY HOW: own is there already
    local a=10.77.0.77
    [ "$1" = 6 ] && a=fd77::77
    [ "$2" != own ] || { [ "$1" = 4 ] && a=$S4 || a=$S6; }
    bg "$TMP/serve" spre a $PY serve "$1" $a "$2"
    wait_for 20 grep -q '^[0-9]' "$TMP/serve" || diag "$(cat "$TMP/serve")"
    [ "$2" = own ] || address add "$1"
    wait_for 20 in_k ping -q -c 1 -W 1 $a
    TMO=100 in_k $PY call "$1" $a "$(head -n 1 "$TMP/serve")" 2>&1
    wait_for 60 grep -q '^connected' "$TMP/serve"
    tail -n +2 "$TMP/serve"
    [ "$2" = own ] || address del "$1"
}
probe() {
    local own=$S4 peer=$K4
    [ "${1%-*}" = 6 ] && own=$S6 peer=$K6
    case $1 in
    *-options) TMO=60 spre a $PY options "${1%-*}" $own $peer 2>&1 ;;
    *) comes_late "${1%-*}" "${1#*-}" ;;
    esac
}

same 4 4-options 6-options 4-block 4-poll 4-own 6-block 6-poll 6-own
finish
