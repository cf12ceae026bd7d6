#!/bin/bash
# autoconf-routers.sh - several advertised routers: preference, one that does not answer, redirects and their checks
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3 ping
PY=$(python3 -c 'import sys; print(sys.executable)')
ra() { in_k "$PY" "$top_srcdir/tests/system/ra_send.py" vk0 "$@"; }
show() { ctl a --json show autoconf | jq -r ".[0].$1"; }
used() { show 'routers[] | select(.used) | .address'; }
used_is() { [ "$(used)" = "$1" ]; }
routers() { show 'routers | map("\(.address)=\(.preference)\(if .reachable then "" else "!" end)") | sort | join(" ")'; }
routers_are() { [ "$(routers)" = "$1" ]; }
redirects() { show 'redirects | map("\(.destination)=\(.via)") | sort | join(" ")'; }
redirects_are() { [ "$(redirects)" = "$1" ]; }
counted() { ctl a --json show errors | jq -r '[.[] | select(.reason | test("ND: fails the checks")) | .count] | add // 0'; }
is_counted() { [ "$(counted)" = "$1" ]; }
topo_veth
R1=fe80::1:1 R2=fe80::1:2 R3=fe80::1:3
for a in $R1 $R2 $R3; do ip -n "$NS_K" addr add $a/64 dev vk0 nodad; done
for a in fd55::1 fd55::2; do ip -n "$NS_K" addr add $a/128 dev lo; done
ip -n "$NS_K" addr add fd55::3/128 dev vk0 nodad
{ conf_head a 2; printf 'port wire0 { device packet iface=vs0 }\ninterface wire0 { autoconf  address %s/64  no-dad }\n' $S6; } >"$TMP/a.conf"
server_start a "$NS_S"
ra 1800 src=$R1
check "a router" wait_for 20 used_is $R1
ra 1800 src=$R2
ra 1800 src=$R3 pref=low
check "equal ones and worse ones change nothing" wait_for 20 routers_are "$R1=medium $R2=medium $R3=low"
check_eq "the first is used" "$(used)" $R1
ra 1800 src=$R2 pref=high
check "a better one is used" wait_for 20 used_is $R2
# It goes away without a word: whoever answers is used, the preferred one of them.
probe() { TMO=5 spre a "$PY" -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9))
s.send(b"x")' fd55::1; }
probe_until() { probe; used_is "$1"; }
ip -n "$NS_K" addr del $R2/64 dev vk0
ctl a neighbor del wire0 $R2 2>/dev/null
check "one that does not answer is left" wait_for 60 probe_until $R1
check_eq "that is shown" "$(routers)" "$R1=medium $R2=high! $R3=low"
ip -n "$NS_K" addr add $R2/64 dev vk0 nodad
ra 1800 src=$R2 pref=high
check "once it is heard of, it is used again" wait_for 20 used_is $R2
ra 0 src=$R2
check "it is no router any more" wait_for 20 used_is $R1
check_eq "a program goes by it" "$(TMO=20 spre a "$PY" -c 'import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(60)
s.connect(("fd55::1", 9))
s.send(b"x")
try:
    s.recv(1)
except ConnectionRefusedError:
    print("refused")' 2>&1)" refused
# Sources by the router that is gone by (RFC 6724 rule 5.5): each has told of a prefix, nothing else tells them apart.
source_to() { TMO=20 spre a "$PY" -c 'import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9))
print(s.getsockname()[0][:4])' fd55::1; }
in_prefix() { ctl a --json show interface | jq -e --arg p "$1" '.[0].addresses[] | select(.address | startswith($p)) | .state == "preferred"' >/dev/null; }
ra 1800 src=$R1 prefix=fd50::/64,3600,3600,LA
check "the first router's prefix" wait_for 20 in_prefix fd50:
ra 1800 src=$R2 pref=low prefix=fd51::/64,3600,3600,LA
check "the second router's prefix" wait_for 20 in_prefix fd51:
check_eq "the source is of the first one's, which is used" "$(source_to)" fd50
ra 1800 src=$R2 pref=high
check "the second one is used" wait_for 20 used_is $R2
check_eq "the source is of its prefix" "$(source_to)" fd51
ra 0 src=$R2
check "it is no router any more" wait_for 20 used_is $R1
check_eq "the source is of the first one's" "$(source_to)" fd50
# Hop limit and times of neighbours (RFC 4861 s6.3.4); 0 says nothing.
times() { ctl a --json show autoconf | jq -r '.[0] | "\(.hop_limit) \(.reachable_ms) \(.retrans_ms)"'; }
times_are() { [ "$(times)" = "$1" ]; }
ra 1800 src=$R1 times=33,200,20
check "hop limit and times of a router" wait_for 20 times_are "33 200 20"
ra 1800 src=$R1 times=0,0,0 route=fd6f::/32,3600,0
check "one that says nothing of them" wait_for 20 eval 'show "routes | length" | grep -qx 1'
check_eq "changes nothing" "$(times)" "33 200 20"
ra 1800 src=$R1 times=0,4000000,5 route=fd6f::/32,0,0
check "times out of all bounds are not taken" wait_for 20 times_are "33 200 10"
bg "$TMP/hops" in_k "$PY" -c 'import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("", 7009))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
s.settimeout(60)
print("ready", flush=True)
print(int.from_bytes(s.recvmsg(10, 100)[1][0][2], "little"), flush=True)'
hops=$bg_pid
wait_for 10 listening "$TMP/hops"
TMO=20 spre a "$PY" -c 'import socket, sys
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 7009))' $K6
wait_for 30 pid_gone "$hops"
check_eq "what a program sends has that limit" "$(sed -n 2p "$TMP/hops")" 33
state_of() { ctl a --json show neighbor | jq -r --arg a "$1" '[.[] | select(.address == $a) | .state][0]'; }
is_stale() { [ "$(state_of $K6)" = stale ]; }
HS_PATIENCE=1 check "what is known of a neighbour is old after the time told, not after 15 s or more" wait_for 10 is_stale
# More specific routes (RFC 4191): by the preferred router that tells of the prefix; what must not be believed changes nothing.
told() { show 'routes | map("\(.prefix)=\(.router)\(if .used then "*" else "" end)") | sort | join(" ")'; }
told_are() { [ "$(told)" = "$1" ]; }
via() { ctl a --json show route | jq -r --arg p "$1" '.[] | select(.prefix == $p) | .via'; }
ra 1800 src=$R1 route=fd61::/16,3600,2 route=fe80::/64,3600,0 route=ff05::/16,3600,0 route=fd62:1:2:3::/80,3600,0,2 route=::ffff:0:0/96,3600,0 \
    route=fd63::/200,3600,0,3 route=fd60::/32,3600,0
check "a more specific route, of several that are wrong" wait_for 20 told_are "fd60::/32=$R1*"
check_eq "it is a route" "$(via fd60::/32)" $R1
ra 0 src=$R3 route=fd60::/32,3600,1 route=fd60:1:2:3:4::/80,3600,3
check "a better one for the prefix" wait_for 20 told_are "fd60:1:2:3:4::/80=$R3* fd60::/32=$R1 fd60::/32=$R3*"
check_eq "is the route" "$(via fd60::/32)" $R3
check_eq "the router that tells of it alone is none for the rest" "$(used)" $R1
ra 0 src=$R3 route=fd60::/32,0,1
check "withdrawn: the other one" wait_for 20 told_are "fd60:1:2:3:4::/80=$R3* fd60::/32=$R1*"
ra 1800 src=$R1 route=fd60::/32,1,0
check "its life ends" wait_for 20 told_are "fd60:1:2:3:4::/80=$R3*"
check_eq "without a route" "$(via fd60::/32)" ""
ra 0 src=$R2 route=::/0,1800,1
check "a route to everything makes a router" wait_for 20 used_is $R2
ra 0 src=$R2 route=::/0,0,0
check "and ends it" wait_for 20 used_is $R1
ctl a route add fd64::/32 via $K6 || not_ok "a route by hand"
ra 1800 src=$R1 route=fd64::/32,3600,1
check "one that is configured" wait_for 20 told_are "fd60:1:2:3:4::/80=$R3* fd64::/32=$R1"
check_eq "is left alone" "$(via fd64::/32)" $K6
ra 1800 src=$R1 route=fd64::/32,0,1
check "also when the other ends" wait_for 20 told_are "fd60:1:2:3:4::/80=$R3*"
check_eq "left alone" "$(via fd64::/32)" $K6
# Redirects: what must not be believed first.
rd() { ra 0 to=$S6 "$@"; }
before=$(counted)
rd src=$R1 redirect=$R3,fd55::1 hops=64
rd src=$R1 redirect=$R3,ff05::1
rd src=$R1 redirect=fd77::99,fd55::1
rd src=$R1 redirect=$R3,fd55::1 raw=0400
rd src=$K6 redirect=$R3,fd55::1
check "redirects that fail the checks are counted" wait_for 20 is_counted $((before + 5))
rd src=$R3 redirect=$R2,fd55::1
rd src=$R1 redirect=$R3,$S6
rd src=$R1 redirect=$R3,fd55::2
check "one of the router in use is believed, of another one not" wait_for 20 redirects_are "fd55::2=$R3"
check_eq "it is a route" "$(ctl a --json show route | jq -r '.[] | select(.kind == "redirect") | "\(.prefix) \(.via)"')" "fd55::2/128 $R3"
rd src=$R1 redirect=fd55::3,fd55::3
check "to a destination that is on the link" wait_for 20 redirects_are "fd55::2=$R3 fd55::3=link"
check "it answers there" wait_for 20 in_k ping -q -c 1 -W 10 -I fd55::3 $S6
rd src=$R3 redirect=$R1,fd55::2
check "the better hop tells of a better one" wait_for 20 redirects_are "fd55::2=$R1 fd55::3=link"
rd src=$R1 redirect=fe80::dead,fd55::1
check "to one that is not there" wait_for 20 redirects_are "fd55::1=fe80::dead fd55::2=$R1 fd55::3=link"
gone() { probe; redirects_are "fd55::2=$R1 fd55::3=link"; }
check "is given up" wait_for 60 gone
for i in $(seq 10 30); do rd src=$R1 redirect=$R3,fd55::$i; done
last() { redirects | grep -q "fd55::30="; }
check "many of them" wait_for 20 last
check_eq "no more than sixteen" "$(show 'redirects | length')" 16
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
