#!/bin/bash
# autoconf.sh - addresses and routes from router advertisements: taken, renewed, deprecated, withdrawn; bad ones change nothing
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3 tcpdump ping
PY=$(python3 -c 'import sys; print(sys.executable)')
ra() { in_k "$PY" "$top_srcdir/tests/system/ra_send.py" vk0 "$@"; }
P1=fd99:1:: P2=fd99:2:: P3=fd99:3::
address() { ctl a --json show interface | jq -r --arg p "${1%:}" '.[0].addresses[] | select(.address | startswith($p)) | .address'; }
state() { ctl a --json show interface | jq -r --arg p "${1%:}" '.[0].addresses[] | select(.address | startswith($p)) | .state'; }
state_is() { [ "$(state "$1")" = "$2" ]; }
gateway() { ctl a --json show route | jq -r '.[] | select(.prefix == "::/0") | .via'; }
gateway_is() { [ "$(gateway)" = "$1" ]; }
has_route() { [ -n "$(ctl a --json show route | jq -r --arg p "$1" '.[] | select(.prefix == $p) | .interface')" ]; }
no_route() { ! has_route "$1"; }
counted() { ctl a --json show errors | jq -r --arg r "$1" '[.[] | select(.reason | test($r)) | .count] | add // 0'; }
is_counted() { [ "$(counted "$1")" -gt "$2" ]; }
mtu_is() { [ "$(ctl a --json show interface | jq .[0].mtu)" = "$1" ]; }
source_for() { # the address that a datagram to $1 leaves with
    spre a "$PY" -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9))
print(s.getsockname()[0])' "$1"
}
for n in 1 2; do
    NS_S=$TAG-s$n NS_K=$TAG-k$n
    topo_veth
    LL=$(ip -n "$NS_K" -j addr show dev vk0 | jq -r '.[0].addr_info[] | select(.scope == "link") | .local')
    ip -n "$NS_K" addr add fd55::1/128 dev lo
    ip -n "$NS_K" addr add ${P1}2/64 dev vk0 nodad
    ip -n "$NS_K" addr add ${P2}2/64 dev vk0 nodad
    bg "$TMP/wire.$n" in_k tcpdump --immediate-mode -U -w "$TMP/wire.$n.pcap" -i vk0 icmp6
    dump=$bg_pid
    wait_for 10 grep -q listening "$TMP/wire.$n"
    {
        conf_head a $n
        printf 'port wire0 { device packet iface=vs0  rx-queues %s }\n' $n
        printf 'interface wire0 { autoconf }\n'
    } >"$TMP/a.conf"
    server_start a "$NS_S"
    solicited() { tcpdump -nr "$TMP/wire.$n.pcap" 2>/dev/null | grep -q 'fe80::.* > ff02::2: ICMP6, router solicitation'; }
    check "$n workers: routers are asked for" wait_for 15 solicited
    # What is not to be believed: counted, nothing changes.
    before=$(counted 'ND: fails the checks')
    bad=0
    for words in "hops=64" "raw=0300" "raw=01020000000000" "raw=0100000000000000"; do
        # shellcheck disable=SC2086  # two words
        ra 1800 "prefix=$P1/64,3600,1800,LA" $words
        check "$n workers: an advertisement with $words is refused" wait_for 10 is_counted 'ND: fails the checks' $((before + bad))
        bad=$((bad + 1))
    done
    ra 0 "prefix=$P1/64,100,200,LA" "prefix=fe80::/64,100,100,LA" "prefix=ff02::/64,100,100,LA" "prefix=::ffff:0:0/96,100,100,L"
    ra 0 "prefix=$P1/64,100,100,"
    # The next one comes after them, so that what they did would be seen.
    ra 1800 "prefix=$P2/64,86400,14400,LA" "prefix=$P3/72,86400,14400,LA"
    check "$n workers: an address of the prefix" wait_for 15 state_is $P2 preferred
    check_eq "$n workers: none of the bad ones" "$(address $P1)" ""
    check_eq "$n workers: none but of 64 bits" "$(address $P3)" ""
    check "$n workers: what is on the link without an address" has_route $P3/72
    check "$n workers: the default route" gateway_is "$LL"
    a2=$(address $P2)
    check "$n workers: the kernel reaches it" in_k ping -c 2 -i 0.2 -W 20 "${a2%/*}"
    check_eq "$n workers: it is the source behind the router" "$(source_for fd55::1)" "${a2%/*}"
    ip -n "$NS_K" route replace fd55::/16 dev lo 2>/dev/null
    check "$n workers: by the router" spre a "$PY" -c 'import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(15)
s.connect(("fd55::1", 9))
for i in range(50):
    s.send(b"x")
    try:
        s.settimeout(0.3)
        s.recv(1)
    except ConnectionRefusedError:
        raise SystemExit(0)
    except socket.timeout:
        pass
raise SystemExit(1)'
    # A second prefix, the first not preferred any more: another source, the old one still answers. The link's MTU.
    ra 1800 "prefix=$P2/64,86400,0,LA" "prefix=$P1/64,86400,14400,LA" mtu=1400
    check "$n workers: the old address is deprecated" wait_for 15 state_is $P2 deprecated
    check "$n workers: the new one is there" wait_for 15 state_is $P1 preferred
    a1=$(address $P1)
    check_eq "$n workers: the new one is the source" "$(source_for fd55::1)" "${a1%/*}"
    check "$n workers: the old one answers" in_k ping -c 1 -W 20 "${a2%/*}"
    check "$n workers: the link's MTU" mtu_is 1400
    ra 1800 mtu=1000 "prefix=$P2/64,86400,14400,LA"
    check "$n workers: it may be preferred again" wait_for 15 state_is $P2 preferred
    check "$n workers: no MTU below 1280" mtu_is 1400
    if [ "$n" = 2 ]; then # the rest is worker 0's alone
        server_stop a
        end_pid "$dump"
        break
    fi
    # RFC 4862 s5.5.3 e: nobody takes an address away at once; an on-link prefix goes when it is told to.
    ra 1800 "prefix=$P2/64,0,0,LA" "prefix=$P3/72,0,0,L"
    check "$n workers: an on-link prefix is withdrawn" wait_for 15 no_route $P3/72
    check_eq "$n workers: an address is not" "$(address $P2)" "$a2"
    ra 1800 "prefix=$P3/64,5,5,LA"
    check "$n workers: a short life begins" wait_for 15 has_route $P3/64
    check "$n workers: and ends" wait_for 20 no_route $P3/64
    check_eq "$n workers: without its address" "$(address $P3)" ""
    # The router says good-bye; a route put in by hand stays.
    ra 0
    check "$n workers: no router any more" wait_for 15 gateway_is ""
    ctl a route add ::/0 via $LL dev wire0 || not_ok "$n workers: a default route by hand"
    ra 1800
    ra 0 mtu=1300
    check "$n workers: all of that was heard" wait_for 15 mtu_is 1300
    check "$n workers: the route by hand is there" gateway_is "$LL"
    # More than there is room for.
    for i in 1 2 3; do
        words=()
        for k in 0 1 2 3 4 5 6 7 8 9; do words+=("prefix=fd9$k:$i::/64,3600,3600,LA"); done
        ra 0 "${words[@]}"
    done
    ra 0 mtu=1290
    check "$n workers: many prefixes" wait_for 15 mtu_is 1290
    check_eq "$n workers: not more than eight" "$(ctl a --json show interface | jq '.[0].addresses | length')" 9
    server_stop a
    # The same address after a new start, and another one when somebody has taken it (RFC 7217 s6); needs a machine's id.
    if [ "$n" = 1 ] && [ "$(wc -c </etc/machine-id 2>/dev/null || echo 0)" -ge 32 ]; then
        ip -n "$NS_K" addr add "${a1%/*}/128" dev vk0 nodad
        server_start a "$NS_S"
        ra 0 "prefix=$P1/64,86400,14400,LA" "prefix=$P2/64,86400,14400,LA"
        check "after a new start" wait_for 15 state_is $P2 preferred
        check_eq "the address is the same" "$(address $P2)" "$a2"
        check "of one that is taken" wait_for 20 state_is $P1 preferred
        b1=$(address $P1)
        if [ "$b1" != "$a1" ]; then ok "another one is made"; else not_ok "another one is made" "$b1"; fi
        server_stop a
    fi
    end_pid "$dump"
done
finish
