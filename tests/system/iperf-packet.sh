#!/bin/bash
# iperf-packet.sh - unmodified iperf3 between kernel and stack over an AF_PACKET port, both ways round
SECS=${SECS:-1} # of each of the many cases
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
# shellcheck source=tests/system/iperf.sh
. "$(dirname "$0")/iperf.sh"
veth_server
iperf_all "kernel client, stack server" stack in_k $S4 $S6
iperf_all "stack client, kernel server" in_k stack $K4 $K6
iperf_case "kernel client, stack server, v6, -R -P 8" stack in_k $S6 -R -P 8
info_port=$((ipf_port - 6)) # of the first case of the second lot: stack client, v4
iperf_case "stack client, kernel server, v6, -u -R" in_k stack $K6 -u -b 50M -R
# TCP_INFO, as iperf3 reads it of a sender over the stack.
info=$(jq -c '.intervals[-1].streams[0] | [.snd_cwnd, .rtt, .pmtu]' "$TMP/iperf.$info_port.c" 2>/dev/null)
if [ "$HS_STACK" = kernel ] || jq -e '.[0] > 14000 and .[1] > 0 and .[2] == 1500' <<<"$info" >/dev/null; then ok "TCP_INFO of the sender: $info"
else not_ok "TCP_INFO of the sender" "$info"; fi
finish
