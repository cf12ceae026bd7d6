#!/bin/bash
# way-same.sh - where datagrams go and come in (ENETUNREACH, IP_PKTINFO, IP_UNICAST_IF): one program over the kernel and over the stack, the
# same output
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
PROBE=$top_builddir/tests/system/way_same
S4B=10.81.0.1 S6B=fd81::1 K4B=10.81.0.2 K6B=fd81::2

# Two links to the other host, which sends to all on the first one, and nowhere a way to others.
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
    bg "$TMP/echo.$1" in_k "$ECHO" -u server :: 7000
    wait_for 5 listening "$TMP/echo.$1" || bail "the echo server of $1 listens" "$(cat "$TMP/echo.$1")"
    bg "$TMP/all.$1" in_k python3 -c '
import socket, time
four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
four.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
four.bind(("'$K4'", 0)); six.bind(("'$K6'", 0))
while True:
    four.sendto(b"all", ("10.77.0.255", 5620))
    six.sendto(b"all", ("ff02::1", 5621, 0, socket.if_nametoindex("vk0")))
    time.sleep(0.05)'
}
probe() { # FAMILY
    case $1 in
    4) TMO=60 spre a "$PROBE" 4 $S4 $K4 $S4B $K4B 10.95.0.1 2>&1 ;;
    *) TMO=60 spre a "$PROBE" 6 $S6 $K6 $S6B $K6B fd95::1 2>&1 ;;
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
        if diff -U 2 "$TMP/kernel.$f" "$TMP/stack.$f" >"$TMP/diff" && [ "$lines" -gt 100 ]; then
            ok "$n workers, IPv$f: $lines results as of the kernel"
        else
            not_ok "$n workers, IPv$f: $lines results as of the kernel" "$(cat "$TMP/diff")"
        fi
    done
    server_alive a && ok "$n workers: the server lives" || not_ok "$n workers: the server lives"
    server_stop a
done
finish
