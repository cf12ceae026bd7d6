#!/bin/bash
# dhcp.sh - an address by DHCP: from dnsmasq, given back at the end, one that is taken; renewed, rebound, refused, run out; bad answers
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3 ping dnsmasq
PY=$(python3 -c 'import sys; print(sys.executable)')
show() { ctl $SRV --json show dhcp | jq -r ".[0].$1 // empty"; }
state_is() { [ "$(show state)" = "$1" ]; }
address() { ctl $SRV --json show interface | jq -r '.[0].addresses[] | select(.address | startswith("10.")) | "\(.address) \(.state)"'; }
address_is() { [ "$(address)" = "$1" ]; }
via() { ctl $SRV --json show route | jq -r --arg p "$1" '.[] | select(.prefix == $p and .kind == "dhcp") | .via // "link"'; }
via_is() { [ "$(via "$1")" = "$2" ]; }
counted() { ctl $SRV --json show errors | jq -r '[.[] | select(.reason | test("DHCP")) | .count] | add // 0'; }
mtu_is() { [ "$(ctl $SRV --json show interface | jq .[0].mtu)" = "$1" ]; }
heard() { [ "$(grep -c "$1" "$LOG")" -gt "${2:-0}" ]; } # PATTERN [MORE THAN]
count() { grep -c "$1" "$LOG"; }

# Two worlds stand at once, so that one of them is worked with while the other has to wait.
world() { NS_S=$TAG-s$1 NS_K=$TAG-k$1 SRV=$2 LOG=$TMP/heard.$2; } # NUMBER SERVER

# ---- dnsmasq: an address that somebody has is declined, the next one is used, and given back at the end
world 1 a
topo_veth
{ conf_head a 2; printf 'port wire0 { device packet iface=vs0 }\ninterface wire0 { address dhcp }\n'; } >"$TMP/a.conf"
ip -n "$NS_K" addr add 10.77.0.50/32 dev lo # not on vk0: dnsmasq does not give away what it sees there
cat >"$TMP/dnsmasq.conf" <<CONF
port=0
interface=vk0
bind-interfaces
no-ping
user=root
leasefile-ro
log-dhcp
dhcp-authoritative
dhcp-range=10.77.0.50,10.77.0.50,2m
dhcp-option=option:router,$K4
dhcp-option=option:mtu,1400
CONF
bg "$LOG" in_k dnsmasq --no-daemon --log-facility=- --conf-file="$TMP/dnsmasq.conf"
dnsmasq=$bg_pid
server_start a "$NS_S"
check "an address that another host has is declined" wait_for 30 heard DHCPDECLINE
check_eq "it is not used" "$(address)" ""
end_pid "$dnsmasq"
sed -i 's/^dhcp-range.*/dhcp-range=10.77.0.60,10.77.0.60,2m/' "$TMP/dnsmasq.conf"
bg "$LOG" in_k dnsmasq --no-daemon --log-facility=- --conf-file="$TMP/dnsmasq.conf"
dnsmasq=$bg_pid

# ---- meanwhile, a server that does all it can; a client that has declined waits 10 s (RFC 2131 s3.1.5)
world 2 b
topo_veth
MODE=$TMP/mode
times="lease=8 t1=1 t2=2"
say() { printf '%s\n' "$times $*" >"$MODE.new" && mv "$MODE.new" "$MODE"; }
say "give=10.77.0.61/24 router=10.77.0.9 mtu=1380 route=10.99.0.0/16,10.77.0.8 route=0.0.0.0/0,$K4 route=10.98.0.0/15,0.0.0.0 bad"
bg "$LOG" in_k "$PY" "$top_srcdir/tests/system/dhcp_serve.py" vk0 $K4 "$MODE"
wait_for 15 heard ready || bail "the server starts" "$(cat "$LOG")"
{
    conf_head b
    printf 'port wire0 { device packet iface=vs0 }\n'
    printf 'interface wire0 { address dhcp  no-dad }\n'
} >"$TMP/b.conf"
server_start b "$NS_S"
check "an address after malformed offers" wait_for 20 address_is "10.77.0.61/24 preferred"
# Ten for each time that it asks, which it does again when the machine is slow.
ten_each() { local n; n=$(counted); [ "$n" -gt 0 ] && [ $((n % 10)) = 0 ]; }
check "these are counted" wait_for 10 ten_each
check "classless routes: by a router" wait_for 10 via_is 10.99.0.0/16 10.77.0.8
check "classless routes: on the link" via_is 10.98.0.0/15 link
check "classless routes: the default route, not that of the router option" via_is 0.0.0.0/0 $K4
check "the MTU" mtu_is 1380
check "asked for by broadcast from no address" heard "request broadcast from 0.0.0.0"
say "give=10.77.0.61/24 router=10.77.0.9"
check "renewed by unicast" wait_for 15 heard "request unicast from 10.77.0.61" 
check "what the server does not tell any more goes: routes" wait_for 15 via_is 10.99.0.0/16 ""
check "the router option" via_is 0.0.0.0/0 10.77.0.9
check "the MTU is the port's again" mtu_is 1500
say "give=10.77.0.61/24 router=10.77.0.9 nounicast"
check "nobody answers: asked for by broadcast, with the address" wait_for 20 heard "request broadcast from 10.77.0.61"
say "give=10.77.0.61/24 router=10.77.0.9 nounicast"
check "that is answered" wait_for 15 state_is bound
check_eq "the address was never away" "$(address)" "10.77.0.61/24 preferred"
# The server is killed: the next one asks for the address that it had (RFC 2131 s3.2), and is given it without a question.
times="lease=600 t1=1 t2=2" # it must not be over before the next one runs
say "give=10.77.0.61/24 router=10.77.0.9 nounicast"
lasts() { [ "$(show expire_s)" -gt 300 ]; }
check "a longer lease" wait_for 20 lasts
discovers=$(count discover)
server_stop b KILL
requests=$(count "request broadcast from 0.0.0.0")
server_start b "$NS_S"
check "after a crash: asked for again" wait_for 20 heard "request broadcast from 0.0.0.0" "$requests"
check "it has the same address" wait_for 20 address_is "10.77.0.61/24 preferred"
check_eq "nothing else was asked for" "$(count discover)" "$discovers"
say nak
check "refused: the address goes" wait_for 20 address_is ""
check "with its route" via_is 0.0.0.0/0 ""
check_eq "why is shown, as text" "$(show refused)" "go? away"
times="lease=3 t1=1 t2=2"
say "give=10.77.0.62/24"
check "another address" wait_for 30 address_is "10.77.0.62/24 preferred"
discovers=$(count discover)
say quiet
check "the lease runs out: the address goes" wait_for 30 address_is ""
check "and is asked for again" wait_for 20 heard discover "$discovers"
server_stop b
check_eq "no file of a lease is left" "$(ls "$TMP/b.run" | grep -c dhcp-)" 0

# ---- dnsmasq again
world 1 a
check "the next one is used" wait_for 60 address_is "10.77.0.60/24 preferred"
check "bound" wait_for 10 state_is bound
check_eq "what is shown" "$(show address) $(show server) $(show 'routers[0]') $(show mtu) $(show declines)" "10.77.0.60/24 $K4 $K4 1400 1"
check "the default route" via_is 0.0.0.0/0 $K4
check "the MTU" mtu_is 1400
check "the kernel reaches it" in_k ping -q -c 2 -i 0.2 -W 10 10.77.0.60
bg "$TMP/echo" spre a "$ECHO" server 10.77.0.60 7000
echo_pid=$bg_pid
wait_for 10 listening "$TMP/echo" || not_ok "a program binds to it" "$(cat "$TMP/echo")"
check "a program is reached there" in_k timeout 60 "$ECHO" -b 100000 client 10.77.0.60 7000
end_pid "$echo_pid"
server_stop a
check "given back at the end" wait_for 10 heard DHCPRELEASE
end_pid "$dnsmasq"
finish
