#!/bin/bash
# ifaddrs.sh - getifaddrs() says the kernel's addresses and the stack's, as it says them where the kernel has them all
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need jq
ifaddrs=$top_builddir/tests/system/ifaddrs
veth_server
mac=$(ctl a --json show interface | jq -r ".[0].mac") # its own, beside that of the kernel's end
# The same link with these addresses at the kernel; it has the link-local one of the same card, too.
make_ns "$TAG-same"
in_same() { ip netns exec "$TAG-same" "$@"; }
ip -n "$TAG-same" link add vs0 address "$mac" type veth peer name other
in_same sysctl -qw net.ipv6.conf.vs0.addr_gen_mode=0 net.ipv6.conf.other.disable_ipv6=1
ip -n "$TAG-same" link set other up
ip -n "$TAG-same" link set vs0 up
ip -n "$TAG-same" addr add $S4/24 brd + dev vs0
ip -n "$TAG-same" addr add $S6/64 dev vs0 nodad
usable() { in_same ip -6 addr show dev vs0 scope link -tentative | grep -q fe80 && in_same "$ifaddrs" >"$TMP/kernel"; }
wait_for 20 usable || bail "the kernel has the same addresses" "$(in_same "$ifaddrs" 2>&1)"
check "asked 50 times, by a thread and a child: each can be bound to, nothing stays allocated" stack "$ifaddrs" 50
stack "$ifaddrs" >"$TMP/stack"
check_eq "as the kernel says it" "$(sort "$TMP/stack")" "$(sort "$TMP/kernel")"
check_eq "the kernel's own come first" "$(head -n 2 "$TMP/stack")" "$(in_s "$ifaddrs")"
ctl a address add wire0 10.99.0.1/31 >"$TMP/add" 2>&1 || bail "an address is added" "$(cat "$TMP/add")"
added() { stack "$ifaddrs" | grep -Fx 'vs0 10.99.0.1 255.255.255.254 - 1043'; } # once it can be bound to
check "an address that was added; a link of two has no broadcast address" wait_for 20 added
ctl a address del wire0 10.99.0.1/31 >"$TMP/del" 2>&1 || bail "it is removed" "$(cat "$TMP/del")"
check_eq "and one that was removed is not there" "$(stack "$ifaddrs" | sort)" "$(sort "$TMP/kernel")"
server_stop a
check_eq "without a server, the kernel's" "$(stack "$ifaddrs" 2>&1)" "$(in_s "$ifaddrs")"
finish
