#!/bin/bash
# iperf-tap.sh - unmodified iperf3 between kernel and stack over a TAP port, both ways round
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
# shellcheck source=tests/system/iperf.sh
. "$(dirname "$0")/iperf.sh"
topo_tap
conf_tap a >"$TMP/a.conf"
server_start a "$NS_S"
tap_up
stack() { spre a "$@"; }
check "ping over the TAP" in_k ping -q -c 2 -i 0.2 -W 20 $S4
iperf_case "kernel client, stack server, v4" stack in_k $S4
iperf_case "kernel client, stack server, v4, -R" stack in_k $S4 -R
iperf_case "kernel client, stack server, v6, --bidir" stack in_k $S6 --bidir
iperf_case "stack client, kernel server, v4, -P 8" in_k stack $K4 -P 8
iperf_case "stack client, kernel server, v6" in_k stack $K6
iperf_case "stack client, kernel server, v4, -u" in_k stack $K4 -u -b 50M
finish
