#!/bin/bash
# ping.sh - the stack answers ARP, neighbour discovery and echo, v4 and v6; ICMP errors and the MTU are as on Linux
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need ping ip
need_stack
topo_veth
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"

neigh_reachable() { in_k ip neigh show dev vk0 | grep -E "^$1 .*lladdr .* (REACHABLE|DELAY|STALE|PROBE)"; }
check "ping v4" in_k ping -q -c 3 -i 0.2 -W 20 $S4
check "ARP gave the kernel a neighbour" neigh_reachable $S4
check "ping v6" in_k ping -q -c 3 -i 0.2 -W 20 $S6
check "neighbour discovery gave the kernel a neighbour" neigh_reachable $S6
check "1,472 bytes fill the MTU, v4" in_k ping -q -c 2 -i 0.2 -W 20 -M do -s 1472 $S4
check "1,452 bytes fill the MTU, v6" in_k ping -q -c 2 -i 0.2 -W 20 -M do -s 1452 $S6
check "a fragmented echo of 8,000 bytes comes back, v4" in_k ping -q -c 2 -i 0.2 -W 20 -s 8000 $S4
check "a fragmented echo of 8,000 bytes comes back, v6" in_k ping -q -c 2 -i 0.2 -W 20 -s 8000 $S6
check "flood of 2,000 echoes loses none" in_k ping -q -f -c 2000 -W 20 $S4

# Nobody listens: port unreachable for UDP (the client's recv says ECONNREFUSED), RST for TCP.
refused() { ! "$@" 2>"$TMP/err" && grep -q 'Connection refused' "$TMP/err"; }
for fam in 4 6; do
    a=S$fam
    check "UDP to a closed port is refused by ICMP, v$fam" refused in_k "$ECHO" -u -b 10 client "${!a}" 9
    check "TCP to a closed port is refused by RST, v$fam" refused in_k "$ECHO" client "${!a}" 9
done
if [ "$HS_STACK" != kernel ]; then
    ctl a show neighbor >"$TMP/neigh"
    check "hoststackctl show neighbor names the kernel, v4" grep -q "$K4" "$TMP/neigh"
    check "hoststackctl show neighbor names the kernel, v6" grep -q "$K6" "$TMP/neigh"
fi
finish
