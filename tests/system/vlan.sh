#!/bin/bash
# vlan.sh - VLANs of a port: tags both ways, apart from each other and from untagged frames, super-frames, MTU, unknown ones, capture
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3 tcpdump ping
PY=$(python3 -c 'import sys; print(sys.executable)')
RELAY=$top_srcdir/tests/system/vlan_relay.py
counted() { ctl a --json show errors | jq -r --arg r "$1" '[.[] | select(.reason | test($r)) | .count] | add // 0'; }
is_counted() { [ "$(counted "$1")" -gt "$2" ]; }
serve() { # LOG SIDE ADDRESS PORT
    bg "$TMP/srv.$1" "$2" "$ECHO" server "$3" "$4"
    wait_for 10 listening "$TMP/srv.$1" || not_ok "the server $1 listens" "$(cat "$TMP/srv.$1")"
}
stack() { spre a "$@"; }
# 100 and 200 are networks of their own, behind the trunk that untagged frames use, too.
for n in 1 2; do
    NS_S=$TAG-s$n NS_K=$TAG-k$n
    topo_veth
    for v in 1 2; do
        ip -n "$NS_K" link add kv$v type veth peer name kw$v || bail "veth pair can be made"
        in_k sysctl -qw net.ipv6.conf.kw$v.disable_ipv6=1
        ip -n "$NS_K" link set kv$v up
        ip -n "$NS_K" link set kw$v up
        ip -n "$NS_K" addr add 10.78.$v.2/24 dev kv$v
        ip -n "$NS_K" addr add fd78:$v::2/64 dev kv$v nodad
    done
    bg "$TMP/relay.$n" in_k "$PY" "$RELAY" vk0 100:kw1 200:kw2
    relay=$bg_pid
    wait_for 15 grep -q ready "$TMP/relay.$n" || bail "the relay starts" "$(cat "$TMP/relay.$n")"
    {
        conf_packet a $n
        printf 'interface wire0.100 { address 10.78.1.1/24  address fd78:1::1/64  no-dad }\n'
        printf 'interface wire0.200 { address 10.78.2.1/24  address fd78:2::1/64  mtu 1400 }\n'
    } >"$TMP/a.conf"
    server_start a "$NS_S"
    check_eq "$n workers: shown with their number" \
        "$(ctl a --json show interface | jq -r '.[] | select(.kind == "vlan") | "\(.name) \(.port) \(.vlan) \(.mtu)"')" \
        $'wire0.100 wire0 100 1500\nwire0.200 wire0 200 1400'
    check_eq "$n workers: each has a link-local address of its own" \
        "$(ctl a --json show interface | jq -r '.[].addresses[].address | select(startswith("fe80"))' | sort -u | wc -l)" 3
    ctl a capture start "$TMP/cap.$n" >/dev/null || not_ok "$n workers: the capture starts"
    for a in $S4 $S6 10.78.1.1 fd78:1::1 10.78.2.1 fd78:2::1; do
        check "$n workers: ping $a" in_k ping -q -c 2 -i 0.1 -W 20 $a
    done
    check "$n workers: 1,472 bytes fill the MTU" in_k ping -q -c 1 -W 20 -M do -s 1472 10.78.1.1
    check "$n workers: 1,452 bytes do, v6" in_k ping -q -c 1 -W 20 -M do -s 1452 fd78:1::1
    ctl a capture stop >/dev/null || not_ok "$n workers: the capture ends"
    # Both ways, streams long enough for super-frames.
    port=$((7000 + 10 * n))
    for a in 10.78.1 fd78:1: 10.78.2 fd78:2:; do
        case $a in *:) me=$a:1 peer=$a:2 ;; *) me=$a.1 peer=$a.2 ;; esac
        port=$((port + 1))
        serve $port stack $me $port
        check "$n workers: 600 KB of echo from the kernel to $me" in_k timeout 60 "$ECHO" -b 600000 client $me $port
        serve k$port in_k $peer $port
        check "$n workers: 600 KB of echo from $me" stack timeout 60 "$ECHO" -b 600000 client $peer $port
    done
    tagged() { [ "$(tcpdump -nr "$TMP/cap.$n" "vlan $1 and $2" 2>/dev/null | wc -l)" -ge "$3" ]; }
    for v in 100 200; do
        check "$n workers: the capture has the tag $v both ways, v4" tagged $v icmp 4
        check "$n workers: the capture has the tag $v both ways, v6" tagged $v 'icmp6 and (icmp6[0] == 128 or icmp6[0] == 129)' 4
    done
    check_eq "$n workers: and none on the others" "$(tcpdump -nr "$TMP/cap.$n" 'not vlan and icmp' 2>/dev/null | grep -c 10.78)" 0
    # What is not there, or only a priority.
    mac=$(ctl a --json show interface | jq -r '.[0].mac' | tr -d :)
    before=$(counted 'VLAN without')
    for tci in 101 0x0fff 0x2065; do in_k "$PY" "$RELAY" --send vk0 $tci "$mac" 0800 4500; done
    check "$n workers: unknown VLANs are counted" wait_for 10 is_counted 'VLAN without' $((before + 2))
    before=$(counted 'ARP: malformed')
    in_k "$PY" "$RELAY" --send vk0 0xa000 "$mac" 0806 0001
    check "$n workers: a priority without a VLAN is as no tag" wait_for 10 is_counted 'ARP: malformed' "$before"
    before=$(counted 'protocol not served')
    in_k "$PY" "$RELAY" --send vk0 100 "$mac" 8100 00c8 0800 4500
    check "$n workers: a second tag is none of ours" wait_for 10 is_counted 'protocol not served' "$before"
    before=$(counted 'about another station')
    in_k ip neigh flush dev kv2
    in_k ip route add 10.78.1.1/32 dev kv2
    check "$n workers: an address of one VLAN is not asked for in another" bash -c "! ip netns exec $NS_K ping -q -c 1 -W 1 10.78.1.1"
    check "$n workers: counted there" wait_for 10 is_counted 'about another station' "$before"
    server_stop a
    end_pid "$relay"
done
for bad in wire0.0 wire0.4095 wire0.x wire0.01 wire1.5; do
    { conf_head b; printf 'port wire0 { device packet iface=lo }\ninterface %s { }\n' $bad; } >"$TMP/b.conf"
    "$HOSTSTACKD" -c "$TMP/b.conf" --check-config >"$TMP/bad" 2>&1
    check_eq "interface $bad is refused" "$? $(grep -c ':5: interface' "$TMP/bad")" "2 1"
done
finish
