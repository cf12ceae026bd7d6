#!/bin/bash
# addresses.sh - addresses against the kernel: conflicts are found (ARP probes, duplicate address detection), free ones announced
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need jq ping
topo_veth
ip -n "$NS_K" addr add 10.77.0.9/24 dev vk0
ip -n "$NS_K" addr add fd77::9/64 dev vk0 nodad
{
    conf_head a
    printf 'port wire0 { device packet iface=vs0 }\n'
    printf 'interface wire0 { address %s/24  address 10.77.0.9/24  address %s/64  address fd77::9/64 }\n' $S4 $S6
} >"$TMP/a.conf"
server_start a "$NS_S"
state_of() { ctl a --json show interface | jq -r --arg a "$1" '.[0].addresses[] | select(.address == $a) | .state'; }
# The server is ready when it knows: no waiting here.
for a in $S4/24 $S6/64; do check_eq "$a, that nobody has, is used" "$(state_of $a)" preferred; done
for a in 10.77.0.9/24 fd77::9/64; do check_eq "$a, that the kernel has, is not" "$(state_of $a)" duplicate; done
check "the log says so, v4" grep -q 'another host has 10.77.0.9' "$TMP/a.log"
check "the log says so, v6" grep -q 'another host has fd77::9' "$TMP/a.log"
check "the kernel reaches the one, v4" in_k ping -c 2 -i 0.2 -W 3 $S4
check "the kernel reaches the one, v6" in_k ping -c 2 -i 0.2 -W 3 $S6
stack() { spre a "$@"; }
# A kernel that takes an address of ours hears of it.
n_conflicts() { ctl a --json show errors | jq '[.[] | select(.reason | test("address conflict")) | .count] | add // 0'; }
before=$(n_conflicts)
ip -n "$NS_K" addr add $S4/32 dev vk0
in_k ping -c 1 -W 1 -I $S4 10.77.0.77 >/dev/null 2>&1 # an ARP request from our address
conflicts() { [ "$(n_conflicts)" -gt "$before" ]; }
check "somebody with an address of ours is seen" wait_for 10 conflicts
ip -n "$NS_K" addr del $S4/32 dev vk0
check "and we keep it" wait_for 10 in_k ping -c 1 -W 1 $S4
finish
