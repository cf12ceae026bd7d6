#!/bin/bash
# ports-link.sh - links that go and come, jumbo frames, two DPDK devices bonded into one, one of which fails: v4 and v6
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq ping python3
PY=$(python3 -c 'import sys; print(sys.executable)')
serve() { # LOG SIDE ADDRESS PORT [OPTION]
    bg "$TMP/srv.$1" "$2" "$ECHO" ${5:-} server "$3" "$4"
    wait_for 10 listening "$TMP/srv.$1" || not_ok "the server $1 listens" "$(cat "$TMP/srv.$1")"
}
stack() { spre a "$@"; }
topo_veth 9000
conf_packet a 2 >"$TMP/a.conf"
server_start a "$NS_S"
check "jumbo: 8,972 bytes fill the MTU, v4" in_k ping -q -c 2 -i 0.2 -W 20 -M do -s 8972 $S4
check "jumbo: 8,952 bytes fill the MTU, v6" in_k ping -q -c 2 -i 0.2 -W 20 -M do -s 8952 $S6
for a in $S4 $S6; do
    serve u.$a stack $a 7001 -u
    check "jumbo: datagrams of 8,900 bytes both ways, $a" in_k timeout 60 "$ECHO" -u -n 50 -b 8900 client $a 7001
    serve t.$a stack $a 7002
    check "jumbo: TCP, $a" in_k timeout 60 "$ECHO" -b 3000000 client $a 7002
done
# A connection in each family lives through the link's absence.
cat >"$TMP/keep.py" <<'PYTHON'
import socket, sys
c = [socket.create_connection((a, 7002), 20) for a in sys.argv[1:]]
for word in sys.stdin:
    for s in c:
        s.settimeout(60)
        s.sendall(word.encode())
        got = b""
        while len(got) < len(word):
            got += s.recv(100)
    print("back", word.strip(), flush=True)
PYTHON
mkfifo "$TMP/words"
bg "$TMP/keep" in_k bash -c "'$PY' '$TMP/keep.py' $S4 $S6 <'$TMP/words'"
exec 5>"$TMP/words"
echo before >&5
check "connections before" wait_for 20 grep -q 'back before' "$TMP/keep"
up_is() { [ "$(ctl a --json show interface | jq '.[0].up')" = "$1" ]; }
ip -n "$NS_S" link set vs0 down
check "the link is down" wait_for 10 up_is false
echo during >&5
ip -n "$NS_S" link set vs0 up
check "the link is up" wait_for 20 up_is true
check "what was sent meanwhile arrives" wait_for 60 grep -q 'back during' "$TMP/keep"
echo after >&5
check "connections after" wait_for 20 grep -q 'back after' "$TMP/keep"
exec 5>&-
server_stop a

# Two af_packet devices as one, behind a bridge of the kernel.
NS_S=$TAG-s2 NS_K=$TAG-k2
topo_veth
ip -n "$NS_S" link add vs1 type veth peer name vk1 netns "$NS_K"
in_s sysctl -qw net.ipv6.conf.vs1.disable_ipv6=1
ip -n "$NS_S" link set vs1 up
ip -n "$NS_K" addr flush dev vk0
ip -n "$NS_K" link add br0 type bridge || { skip "net_bonding" "no bridges here"; finish; }
for l in vk0 vk1; do ip -n "$NS_K" link set $l master br0; ip -n "$NS_K" link set $l up; in_k ethtool -K $l tx off tso off gso off >/dev/null 2>&1; done
in_k ethtool -K br0 tx off tso off gso off >/dev/null 2>&1
ip -n "$NS_K" link set br0 up
ip -n "$NS_K" addr add $K4/24 dev br0
ip -n "$NS_K" addr add $K6/64 dev br0 nodad
{
    conf_head a
    for i in 0 1; do
        printf 'port m%s { device net_af_packet%s iface=vs%s blocksz=262144 framesz=2048 framecnt=1024  bond-member }\n' $i $i $i
    done
    printf 'port bond0 { device net_bonding0 mode=1 slave=net_af_packet0 slave=net_af_packet1 }\n'
    conf_addrs bond0 $S4 $S6
} >"$TMP/a.conf"
server_start a "$NS_S"
for a in $S4 $S6; do
    check "net_bonding: ping $a" wait_for 20 in_k ping -q -c 1 -W 2 $a
    serve b.$a stack $a 7003
    check "net_bonding: TCP, $a" in_k timeout 60 "$ECHO" -N -n 5 -b 300000 client $a 7003
done
server_stop a
# Two hosts with the same addresses, one behind each member: when the first one's link ends, the other one is reached.
for h in b c; do
    {
        conf_head $h
        printf 'port p0 { device net_vhost0,iface=%s  mac 02:00:00:00:77:02 }\n' "$TMP/$h.sock"
        conf_addrs p0 $K4 $K6
    } >"$TMP/$h.conf"
    server_start $h "$NS_S"
    stack_h() { spre $h "$@"; }
    for a in $K4 $K6; do serve $h.$a stack_h $a 7004; done
done
{
    conf_head a
    i=0
    for h in b c; do
        printf 'port m%s { device net_virtio_user%s,path=%s,packed_vq=1,mrg_rxbuf=1,mac=02:00:00:00:77:01  bond-member }\n' $i $i "$TMP/$h.sock"
        i=$((i + 1))
    done
    printf 'port bond0 { device net_bonding0 mode=1 slave=net_virtio_user0 slave=net_virtio_user1 }\n'
    conf_addrs bond0 $S4 $S6
} >"$TMP/a.conf"
server_start a "$NS_S"
reach() { TMO=5 stack "$ECHO" -b 1000 client "$1" 7004; }
received() { ctl c --json show interface | jq '.[0].rx_packets'; }
for a in $K4 $K6; do check "bond: $a is reached" wait_for 20 reach $a; done
check_eq "bond: by the first member" "$(received)" 0
server_stop b KILL
for a in $K4 $K6; do check "bond: the first link has ended, $a is reached" wait_for 20 reach $a; done
if [ "$(received)" -gt 0 ]; then ok "bond: by the other one"; else not_ok "bond: by the other one" "$(ctl a show interface)"; fi
server_stop a
server_stop c
{ conf_head b; printf 'port m0 { device net_ring0  bond-member }\ninterface m0 { }\n'; } >"$TMP/b.conf"
"$HOSTSTACKD" -c "$TMP/b.conf" --check-config >"$TMP/bad" 2>&1
check_eq "a member has no interface" "$? $(grep -c 'member of a bond' "$TMP/bad")" "2 1"
finish
