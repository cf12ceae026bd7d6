#!/bin/bash
# routes.sh - several interfaces and tables against the kernel: longest prefix, addresses, routes and neighbours changed while running
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need jq ping
topo_veth
# link NUMBER: another veth pair, vsN here, vkN in namespace $NS_KN
link() {
    local ns=$TAG-k$1
    make_ns "$ns"
    ip -n "$NS_S" link add "vs$1" type veth peer name "vk$1" netns "$ns" || bail "veth pair can be made"
    in_s sysctl -qw "net.ipv6.conf.vs$1.disable_ipv6=1"
    ip -n "$NS_S" link set "vs$1" up
    ip -n "$ns" link set "vk$1" up
}
in_n() { local n=$1; shift; $HS_EXEC ip netns exec "$TAG-k$n" ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} "$@"; }
link 1
link 2
link 3
ip -n "$TAG-k1" addr add 10.79.0.2/24 dev vk1
ip -n "$TAG-k1" addr add fd79::2/64 dev vk1 nodad
ip -n "$TAG-k2" addr add $K4/24 dev vk2 # the same addresses as in the first network: another table
ip -n "$TAG-k2" addr add $K6/64 dev vk2 nodad
ip -n "$TAG-k3" addr add 10.80.0.2/24 dev vk3
ip -n "$TAG-k3" addr add fd80::2/64 dev vk3 nodad
for a in 10.90.0.1/32 fd90::1/128; do ip -n "$NS_K" addr add $a dev lo; done
for a in 10.95.0.1/32 fd95::1/128; do # behind two routers
    ip -n "$NS_K" addr add $a dev lo
    ip -n "$TAG-k3" addr add $a dev lo
done
for a in 10.90.1.1/32 fd90:0:0:1::1/128; do ip -n "$TAG-k1" addr add $a dev lo; done
{
    conf_head a 2
    for i in 0 1 2 3; do printf 'port wire%s { device packet iface=vs%s  rx-queues 1 }\n' $i $i; done
    conf_addrs wire0 $S4 $S6
    conf_addrs wire1 10.79.0.1 fd79::1
    conf_addrs wire3 10.80.0.1 fd80::1
    printf 'interface wire2 { address %s/24  address %s/64  table 1  no-dad }\n' $S4 $S6
    cat <<CONF
route 10.90.0.0/16 via $K4
route fd90::/48 via $K6
route 10.90.1.0/24 via 10.79.0.2
route fd90:0:0:1::/64 via fd79::2
route 10.95.0.0/16 via $K4 via 10.80.0.2 dev wire3
namespace blue { interface wire2 }
CONF
} >"$TMP/a.conf"
server_start a "$NS_S"
sed "s/app-scope-local/app-scope-local namespace-id blue/" "$TMP/a.vcl" >"$TMP/blue.vcl"
stack() { spre a "$@"; }
blue() { VCL=$TMP/blue.vcl spre a "$@"; }
serve() { # LOG SIDE ADDRESS PORT: echo server
    bg "$TMP/srv.$1" ${2} "$ECHO" server "$3" "$4"
    wait_for 5 listening "$TMP/srv.$1" || not_ok "the server $1 listens" "$(cat "$TMP/srv.$1")"
}
in_1() { in_n 1 "$@"; }
in_2() { in_n 2 "$@"; }
reach() { TMO=10 "$1" "$ECHO" -b 1000 client "$2" "$3"; }
lost() { ! HS_PATIENCE=1 TMO=1 "$1" "$ECHO" -b 10 client "$2" "$3"; }
changes() { # 4|6: routes, addresses and neighbours of that family, while running
    local f=$1 k=K$1
    if [ $f = 4 ]; then
        any=0.0.0.0 far0=10.90.0.1 far1=10.90.1.1 net1=10.90.1.0/24 via1=10.79.0.2 new=10.77.0.40 len=24 me1=10.79.0.1
    else
        any=:: far0=fd90::1 far1=fd90:0:0:1::1 net1=fd90:0:0:1::/64 via1=fd79::2 new=fd77::40 len=64 me1=fd79::1
    fi
    serve k0.$f in_k $any 7005; p0=$bg_pid
    serve k1.$f in_1 $any 7005; p1=$bg_pid
    serve k2.$f in_2 $any 7006; p2=$bg_pid
    check "v$f: by the shorter prefix" reach stack $far0 7005
    check "v$f: by the longer prefix, over the other interface" reach stack $far1 7005
    check "v$f: the neighbour of the table that the namespace has" reach blue "${!k}" 7006
    check "v$f: not the one of another table" lost blue "${!k}" 7005
    check "v$f: routes of another table do not lead there" lost blue $far0 7005

    check "v$f: route del" ctl a route del $net1
    check "v$f: then the shorter prefix is taken" lost stack $far1 7005
    check "v$f: route add" ctl a route add $net1 via $via1
    check "v$f: and the longer one again" reach stack $far1 7005
    check "v$f: a second one of the prefix is refused" bash -c "! '$CTL' -s '$TMP/a.run/cli.sock' route add $net1 via $via1"
    check "v$f: a route over nothing is refused" bash -c "! '$CTL' -s '$TMP/a.run/cli.sock' route add $net1 table 5 via $via1"

    check "v$f: address add" ctl a address add wire0 $new/$len
    check "v$f: the kernel reaches it" wait_for 10 in_k ping -c 1 -W 1 $new
    serve new.$f stack $new 7007; pn=$bg_pid
    check "v$f: a program serves there" reach in_k $new 7007
    end_pid "$pn"
    check "v$f: address del" ctl a address del wire0 $new/$len
    check "v$f: it is gone" bash -c "! ip netns exec '$NS_K' ping -c 1 -W 0.5 $new"
    check "v$f: the first address of the prefix is not" in_k ping -c 1 -W 20 "$([ $f = 4 ] && echo $S4 || echo $S6)"

    check "v$f: neighbor add with a wrong hardware address" ctl a neighbor add wire1 $via1 02:00:00:00:00:99
    check "v$f: makes it unreachable" lost stack $far1 7005
    check "v$f: it is shown" test "$(ctl a --json show neighbor | jq "[.[] | select(.address == \"$via1\" and .state == \"permanent\")] | length")" = 2
    check "v$f: neighbor del" ctl a neighbor del wire1 $via1
    check "v$f: and it is found by asking" reach stack $far1 7005
    for p in $p0 $p1 $p2; do end_pid "$p"; done
}
# Several next hops: connections are spread, and leave a router that does not answer until it does.
PY=$(python3 -c 'import sys; print(sys.executable)')
cat >"$TMP/letter.py" <<'PY'
import socket, sys
s = socket.create_server(("::", 7030), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)
print("ready", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[1].encode())
    c.close()
PY
cat >"$TMP/ask.py" <<'PY'
import socket, sys
got = ""
for i in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], 7030), 60)
    got += s.recv(1).decode()
    s.close()
print("".join(sorted(set(got))))
PY
# What goes by wire3 may have the source of wire0.
ip -n "$TAG-k3" route add 10.77.0.1/32 via 10.80.0.1 dev vk3
ip -n "$TAG-k3" route add fd77::1/128 via fd80::1 dev vk3
bg "$TMP/letter0" in_k "$PY" "$TMP/letter.py" A
wait_for 15 listening "$TMP/letter0" || not_ok "the first server"
bg "$TMP/letter1" in_n 3 "$PY" "$TMP/letter.py" B
wait_for 15 listening "$TMP/letter1" || not_ok "the second server"
check "route add with two hops, v6" ctl a route add fd95::/32 via $K6 via fd80::2
check_eq "both are shown" "$(ctl a --json show route | jq -r '.[] | select(.prefix | test("^(10.95|fd95)")) | "\(.via) \(.interface)"')" \
    "$(printf '%s wire0\n10.80.0.2 wire3\n%s wire0\nfd80::2 wire3' $K4 $K6)"
dead() { ctl a --json show route | jq -r '.[] | select(.dead) | .via'; }
dead_is() { [ "$(dead | sort | tr '\n' ' ')" = "$1" ]; }
asks() { TMO=60 stack "$PY" "$TMP/ask.py" "$@"; }
for a in 10.95.0.1 fd95::1; do check_eq "flows to $a go by both" "$(asks $a 40)" AB; done
# The router of wire3 is gone: it answers nobody. What finds it dead, and alive again 10 s later, takes its time: the changes go on meanwhile.
ip -n "$TAG-k3" link set vk3 down
ctl a neighbor del wire3 10.80.0.2 2>/dev/null
ctl a neighbor del wire3 fd80::2 2>/dev/null
asks_both() { local p; asks 10.95.0.1 "$1" & p=$!; asks fd95::1 "$1"; wait $p; } # NUMBER
asks_both 5 >/dev/null 2>&1 & asking=$!
changes 4
wait $asking
until_dead() { asks_both 5; dead_is "10.80.0.2 fd80::2 "; }
check "a router that does not answer is found dead" wait_for 60 until_dead
for a in 10.95.0.1 fd95::1; do check_eq "flows to $a go by the other" "$(asks $a 40)" A; done
ip -n "$TAG-k3" link set vk3 up
ip -n "$TAG-k3" addr replace fd80::2/64 dev vk3 nodad
ip -n "$TAG-k3" route replace 10.77.0.1/32 via 10.80.0.1 dev vk3
ip -n "$TAG-k3" route replace fd77::1/128 via fd80::1 dev vk3
changes 6
back() { asks_both 2; dead_is ""; }
check "it answers again" wait_for 60 back
for a in 10.95.0.1 fd95::1; do check_eq "flows to $a go by both again" "$(asks $a 40)" AB; done
check "route del takes both" ctl a route del fd95::/32
check_eq "none is left" "$(ctl a --json show route | jq -r '.[] | select(.prefix == "fd95::/32") | .via')" ""
check "a prefix that is none is refused" bash -c "! '$CTL' -s '$TMP/a.run/cli.sock' route add 10.0.0.0/33 via $K4"
check "an interface that is not there is refused" bash -c "! '$CTL' -s '$TMP/a.run/cli.sock' address add wire9 10.1.1.1/24"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
