#!/bin/bash
# iperf3.sh - iperf3 in all its modes: reverse, both ways, 8 streams, UDP; as server and as client of the kernel's
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin iperf3 jq
# shellcheck source=tests/system/iperf.sh
. "$APPS_DIR/../iperf.sh"
modes() { # SERVER-SIDE
    iperf_case "$way: one stream" "$1" "$client" "$addr"
    iperf_case "$way: -R" "$1" "$client" "$addr" -R
    iperf_case "$way: --bidir" "$1" "$client" "$addr" --bidir
    iperf_case "$way: -P 8" "$1" "$client" "$addr" -P 8
    iperf_case "$way: -u" "$1" "$client" "$addr" -u -b 50M
    iperf_case "$way: -u -R" "$1" "$client" "$addr" -u -b 50M -R
}
each_way_in modes stack
client=stack
for fam in 4 6; do
    way="port IPv$fam" addr=$K4
    [ $fam = 4 ] || addr=$K6
    iperf_case "$way: to the kernel's server" in_k stack "$addr"
    iperf_case "$way: to the kernel's server, -R" in_k stack "$addr" -R
    iperf_case "$way: to the kernel's server, -u" in_k stack "$addr" -u -b 50M
done
app_end
