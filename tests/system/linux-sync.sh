#!/bin/bash
# linux-sync.sh - addresses, routes and neighbours of a kernel interface: taken at the start, followed live, gone with the interface
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq ping python3
topo_veth
in_s sysctl -qw net.ipv4.conf.vs0.arp_ignore=8 # the kernel has the addresses, too: it shall not answer for them on the wire
make_cfg() {
    ip -n "$NS_S" link add cfg0 type veth peer name cfg1 || bail "veth pair can be made"
    in_s sysctl -qw net.ipv6.conf.cfg0.dad_transmits=0
    ip -n "$NS_S" link set cfg1 up
    ip -n "$NS_S" link set cfg0 up
}
s() { ip -n "$NS_S" "$@"; }
addresses() { ctl a --json show interface | jq -r '[.[0].addresses[].address | select(startswith("fe80") | not)] | sort | join(" ")'; }
addresses_are() { [ "$(addresses)" = "$1" ]; }
routes() { ctl a --json show route | jq -r '[.[] | select(.kind == "linux") | "\(.prefix)=\(.via // "link")"] | sort | join(" ")'; }
routes_are() { [ "$(routes)" = "$1" ]; }
neighbors() { ctl a --json show neighbor | jq -r '[.[] | select(.state == "permanent") | "\(.address)=\(.mac)/\(.worker)"] | sort | join(" ")'; }
neighbors_are() { [ "$(neighbors)" = "$1" ]; }
make_cfg
s addr add 10.77.0.5/24 dev cfg0
s addr add fd77::5/64 dev cfg0 nodad
s route add 10.91.0.0/16 via $K4 dev cfg0
s route add fd91::/32 via $K6 dev cfg0
for a in 10.91.0.1/32 fd91::1/128; do ip -n "$NS_K" addr add $a dev lo; done
{
    conf_head a 2
    printf 'port wire0 { device packet iface=vs0 }\n'
    printf 'interface wire0 { address 10.77.0.4/24  linux-sync cfg0  no-dad }\n'
    printf 'route 10.94.0.0/16 via %s\n' $K4
} >"$TMP/a.conf"
server_start a "$NS_S"
check_eq "addresses at the start" "$(addresses)" "10.77.0.4/24 10.77.0.5/24 fd77::5/64"
check_eq "routes at the start" "$(routes)" "10.91.0.0/16=$K4 fd91::/32=$K6"
for a in 10.77.0.5 fd77::5; do check "the kernel's peer reaches $a" in_k ping -q -c 2 -i 0.2 -W 20 $a; done
echo_to() { TMO=20 spre a "$ECHO" -b 10000 client "$1" 7040; }
bg "$TMP/far" in_k "$ECHO" server :: 7040
wait_for 10 listening "$TMP/far" || not_ok "the server behind the route"
bg "$TMP/far4" in_k "$ECHO" server 10.91.0.1 7040
wait_for 10 grep -q . "$TMP/far4"
for a in 10.91.0.1 fd91::1; do check "a program goes by the route to $a" echo_to $a; done

# Live.
s addr add 10.77.0.6/24 dev cfg0
s addr add fd77::6/64 dev cfg0 nodad
check "ip addr add" wait_for 20 addresses_are "10.77.0.4/24 10.77.0.5/24 10.77.0.6/24 fd77::5/64 fd77::6/64"
check "the new one answers" in_k ping -q -c 1 -W 20 fd77::6
s addr del 10.77.0.6/24 dev cfg0
s addr del fd77::6/64 dev cfg0
check "ip addr del" wait_for 20 addresses_are "10.77.0.4/24 10.77.0.5/24 fd77::5/64"
# What it says of its addresses: a deprecated one is no source, a temporary one is before that it is made from (RFC 6724 rules 3 and 7).
state_of() { ctl a --json show interface | jq -r --arg a "$1" '[.[0].addresses[] | select(.address | test($a)) | .state] | sort | join(" ")'; }
states_are() { [ "$(state_of "$1")" = "$2" ]; }
source_to() { TMO=20 spre a python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9))
print(s.getsockname()[0])' "$1"; }
in_s sysctl -qw net.ipv6.conf.cfg0.use_tempaddr=2 || bail "temporary addresses can be had"
s addr add fd79::5/64 dev cfg0 mngtmpaddr valid_lft 86400 preferred_lft 43200
check "a temporary address, and the one it is of" wait_for 20 states_are '^fd79:' "preferred temporary"
case $(source_to fd79::9) in
fd79::5) not_ok "the temporary one is the source" ;;
fd79:*) ok "the temporary one is the source" ;;
*) not_ok "the temporary one is the source" "$(source_to fd79::9)" ;;
esac
s addr del fd79::5/64 dev cfg0
check "both go" wait_for 20 states_are '^fd79:' ""
s addr add fd77::6/64 dev cfg0 nodad
check "two addresses of a prefix" wait_for 20 states_are '^fd77::6' preferred
check_eq "the first is the source" "$(source_to fd77::9)" fd77::5
s addr change fd77::5/64 dev cfg0 valid_lft forever preferred_lft 0
check "it becomes deprecated" wait_for 20 states_are '^fd77::5' deprecated
check_eq "and is no source" "$(source_to fd77::9)" fd77::6
s addr change fd77::5/64 dev cfg0 valid_lft forever preferred_lft forever
check "it is preferred again" wait_for 20 states_are '^fd77::5' preferred
s addr del fd77::6/64 dev cfg0
check "the other one goes" wait_for 20 addresses_are "10.77.0.4/24 10.77.0.5/24 fd77::5/64"
s route add 10.92.0.0/16 via 10.77.0.9 dev cfg0
s route add fd92::/32 dev cfg0
s route add 10.94.0.0/16 via 10.77.0.9 dev cfg0
s route add default via $K4 dev cfg0 metric 200
s route add default via 10.77.0.9 dev cfg0 metric 100
want="0.0.0.0/0=10.77.0.9 10.91.0.0/16=$K4 10.92.0.0/16=10.77.0.9 fd91::/32=$K6 fd92::/32=link"
check "ip route add, the better metric first" wait_for 20 routes_are "$want"
check_eq "a configured route stays" "$(ctl a --json show route | jq -r '.[] | select(.prefix == "10.94.0.0/16") | "\(.kind) \(.via)"')" "static $K4"
s route replace 10.92.0.0/16 via $K4 dev cfg0
s route del default via 10.77.0.9 dev cfg0 metric 100
s route del fd92::/32 dev cfg0
check "ip route replace and del" wait_for 20 routes_are "0.0.0.0/0=$K4 10.91.0.0/16=$K4 10.92.0.0/16=$K4 fd91::/32=$K6"
s neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev cfg0 nud permanent
s neigh add fd77::9 lladdr 02:00:00:00:00:19 dev cfg0 nud permanent
m4=10.77.0.9=02:00:00:00:00:09 m6=fd77::9=02:00:00:00:00:19
check "ip neigh add, on all workers" wait_for 20 neighbors_are "$m4/0 $m4/1 $m6/0 $m6/1"
s neigh change 10.77.0.9 lladdr 02:00:00:00:00:29 dev cfg0 nud permanent
s neigh del fd77::9 dev cfg0
m4=10.77.0.9=02:00:00:00:00:29
check "ip neigh change and del" wait_for 20 neighbors_are "$m4/0 $m4/1"
# Many at once, more than a netlink socket's buffer may hold; then the end of the interface, and its return.
for i in $(seq 1 250); do for k in 1 2 3 4; do echo "route add 10.9$k.$i.0/24 via $K4 dev cfg0"; done; done >"$TMP/batch"
in_s ip -batch "$TMP/batch"
many() { [ "$(ctl a --json show route | jq '[.[] | select(.kind == "linux")] | length')" = "$1" ]; }
check "1,000 routes" wait_for 30 many 1004
s link del cfg0
check "the interface is gone: so is all of it" wait_for 30 addresses_are "10.77.0.4/24"
check "its routes" wait_for 20 routes_are ""
check "its neighbours" wait_for 20 neighbors_are ""
make_cfg
s addr add 10.77.0.7/24 dev cfg0
check "an interface of that name is back" wait_for 20 addresses_are "10.77.0.4/24 10.77.0.7/24"
check "and answers" in_k ping -q -c 1 -W 20 10.77.0.7
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
