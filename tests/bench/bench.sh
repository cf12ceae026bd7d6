#!/bin/bash
# bench.sh - the same work over the kernel's stack and over ours, alternately, in one run; ratios first (make bench)
# QUICK=1: fewer pairs and shorter samples. ROWS='iperf*' picks rows by name. Results: bench-results/ in the build folder.
top_builddir=${top_builddir:-$PWD}
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
[ "$(id -u)" = 0 ] || { echo "bench: needs root for network namespaces" >&2; exit 1; }
for c in iperf3 nginx wrk curl jq; do command -v $c >/dev/null || { echo "bench: no program '$c' here" >&2; exit 1; }; done
need_stack
. "$(dirname "$0")/../system/ngx.sh"
if [ "${QUICK:-0}" = 1 ]; then pairs=${PAIRS:-3} secs=1; else pairs=${PAIRS:-5} secs=${BENCH_SECS:-2}; fi
NB=$top_builddir/tests/bench/netbench
results=${BENCH_RESULTS:-$PWD/bench-results}
mkdir -p "$results" || exit 1
rows=$TMP/rows.jsonl
: >"$rows"

# The stack's link is vs0-vk0; beside it the same kind of link with the kernel on both ends.
L4=10.78.0.1 M4=10.78.0.2
topo_veth
ip -n "$NS_S" link add vs1 type veth peer name vk1 netns "$NS_K"
ip -n "$NS_S" addr add $L4/24 dev vs1
ip -n "$NS_K" addr add $M4/24 dev vk1
ip -n "$NS_S" link set vs1 up
ip -n "$NS_K" link set vk1 up
for ns in "$NS_S" "$NS_K"; do
    ip netns exec "$ns" sysctl -qw net.ipv4.ip_local_port_range='2000 65000' net.ipv4.tcp_tw_reuse=1
done
{ conf_packet a; echo 'tcp { cc-algo cubic }'; } >"$TMP/a.conf"
FIFO=${FIFO:-4m}
server_start a "$NS_S"
stack() { spre a "$@"; }

calibrate() { "$top_builddir/tests/bench/calib" 2>/dev/null || echo 0; }
calib_first=$(calibrate)
printf 'hoststack %s, %s, %s x %s, kernel %s\n' "$("$HOSTSTACKD" --version 2>/dev/null | head -n 1)" "$(date -u +%FT%TZ)" \
    "$(nproc)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(uname -r)"
printf 'cache line between two cores and back: %s ns; %s pairs of %s s; better is > 1 everywhere\n\n' "$calib_first" "$pairs" "$secs"
printf '%-46s %7s %12s %12s %-9s %s\n' row ratio kernel hoststack unit 'spread kernel / hoststack'

# ---- servers that stay for the whole run ----
start_netbench() { # SIDE ADDRESS PORT
    bg "$TMP/nb.$3" "$1" "$NB" server "$2" "$3"
    wait_for 5 listening "$TMP/nb.$3" || { echo "bench: netbench does not start on $2: $(cat "$TMP/nb.$3")" >&2; exit 1; }
}
start_netbench stack $S4 6001
start_netbench in_s $L4 6002
start_netbench in_k $K4 6003
start_netbench in_k $M4 6004
start_netbench in_s 127.0.0.1 6005
start_iperf() {
    bg "$TMP/ip.$3" "$1" iperf3 -s -B "$2" -p "$3" --forceflush
    wait_for 5 grep -q 'Server listening' "$TMP/ip.$3" || { echo "bench: iperf3 does not start on $2: $(cat "$TMP/ip.$3")" >&2; exit 1; }
}
start_iperf stack $S4 5001
start_iperf in_s $L4 5002
start_iperf in_k $K4 5003
start_iperf in_k $M4 5004
start_iperf in_s 127.0.0.1 5005
ngx_conf "$TMP/n" 8080 1
ngx_start a "$TMP/n" || exit 1
for at in "$L4 8081" "127.0.0.1 8082"; do
    read -r addr port <<<"$at"
    ngx_conf "$TMP/n$port" "$port" 1
    sed -i "s/listen .*backlog=4096 ; root/listen $addr:$port backlog=4096; root/" "$TMP/n$port/nginx.conf"
    bg "$TMP/n$port/out" in_s nginx -e "$TMP/n$port/logs/error.log" -c "$TMP/n$port/nginx.conf"
    answers() { in_s curl -s -o /dev/null "http://$addr:$port/"; }
    wait_for 5 answers || { echo "bench: the kernel's nginx does not start: $(cat "$TMP/n$port/out")" >&2; exit 1; }
done

# ---- samples: each prints one number, or nothing when it failed ----
s_iperf() { # SIDE ADDRESS PORT OPTION...
    TMO=$((secs + 10)) "$1" iperf3 -J -c "$2" -p "$3" -t "$secs" "${@:4}" 2>/dev/null |
        jq -r 'select(.error == null) | .end.sum_received.bits_per_second / 1e9 | select(. > 0)'
}
s_conn() { TMO=$((secs + 10)) "$1" "$NB" conn "$2" "$3" "$secs" 2>/dev/null; }
s_rtt() { TMO=$((secs + 10)) "$1" "$NB" rtt "$2" "$3" "$secs" 2>/dev/null | cut -d ' ' -f 1; }
s_rtt99() { TMO=$((secs + 10)) "$1" "$NB" rtt "$2" "$3" "$secs" 2>/dev/null | cut -d ' ' -f 2; }
s_wrk() { # SIDE ADDRESS PORT WRK-OPTION...
    TMO=$((secs + 10)) "$1" wrk -t 1 -c 32 -d "$secs" "${@:4}" "http://$2:$3/" >"$TMP/wrk" 2>&1
    wrk_clean "$TMP/wrk" && sed -n 's/^Requests.sec: *//p' "$TMP/wrk"
}

bench_failed=0
# row NAME UNIT higher|lower SAMPLE : KERNEL-SIDE ADDR PORT : OUR-SIDE ADDR PORT : OPTION...
row() {
    local name=$1 unit=$2 better=$3 sample=$4 k=($6 $7 $8) h=(${10} ${11} ${12}) i v kv=() hv=() calib
    shift 13
    # shellcheck disable=SC2254
    case $name in ${ROWS:-*}) ;; *) return ;; esac
    calib=$(calibrate)
    for ((i = 0; i < pairs; i++)); do
        v=$($sample "${k[@]}" "$@") && [ -n "$v" ] && kv+=("$v")
        v=$($sample "${h[@]}" "$@") && [ -n "$v" ] && hv+=("$v")
    done
    jq -cn --arg name "$name" --arg unit "$unit" --arg better "$better" --argjson calib "${calib:-0}" --argjson pairs "$pairs" \
        --argjson k "[$(IFS=,; echo "${kv[*]-}")]" --argjson h "[$(IFS=,; echo "${hv[*]-}")]" '
        def med: sort | if length == 0 then null else .[length / 2 | floor] end;
        {name: $name, unit: $unit, better: $better, calib_ns: $calib, pairs: $pairs, kernel: $k, hoststack: $h,
         kernel_median: ($k | med), hoststack_median: ($h | med)}
        | .ratio = (if .kernel_median == null or .hoststack_median == null then null
                    elif $better == "higher" then .hoststack_median / .kernel_median
                    else .kernel_median / .hoststack_median end)' | tee -a "$rows" | jq -r '
        def r: if . == null then "-" else (. * 100 | round / 100 | tostring) end;
        [.name, (.ratio | r), (.kernel_median | r), (.hoststack_median | r), .unit,
         "\(.kernel | min | r)..\(.kernel | max | r) / \(.hoststack | min | r)..\(.hoststack | max | r)"
         + (if (.hoststack | length) < .pairs then "  FAILED \(.pairs - (.hoststack | length)) of \(.pairs)" else "" end)] | @tsv' |
        awk -F '\t' '{ printf "%-46s %7s %12s %12s %-9s %s\n", $1, $2, $3, $4, $5, $6 }'
    [ ${#hv[@]} = "$pairs" ] && [ ${#kv[@]} = "$pairs" ] || bench_failed=1
}
row "iperf3, kernel to stack over the link" Gbit/s higher s_iperf : in_k $L4 5002 : in_k $S4 5001 :
row "iperf3, stack to kernel over the link" Gbit/s higher s_iperf : in_s $M4 5004 : stack $K4 5003 :
row "iperf3, kernel to stack, 8 streams" Gbit/s higher s_iperf : in_k $L4 5002 : in_k $S4 5001 : -P 8
row "iperf3, loopback / cut-through" Gbit/s higher s_iperf : in_s 127.0.0.1 5005 : stack $S4 5001 :
row "iperf3 -l 1460, loopback / cut-through" Gbit/s higher s_iperf : in_s 127.0.0.1 5005 : stack $S4 5001 : -l 1460
row "short connections, kernel to stack" conn/s higher s_conn : in_k $L4 6002 : in_k $S4 6001 :
row "short connections, stack to kernel" conn/s higher s_conn : in_s $M4 6004 : stack $K4 6003 :
row "short connections, loopback / cut-through" conn/s higher s_conn : in_s 127.0.0.1 6005 : stack $S4 6001 :
row "round trip 64 B, kernel to stack, median" us lower s_rtt : in_k $L4 6002 : in_k $S4 6001 :
row "round trip 64 B, kernel to stack, 99 %" us lower s_rtt99 : in_k $L4 6002 : in_k $S4 6001 :
row "round trip 64 B, stack to kernel, median" us lower s_rtt : in_s $M4 6004 : stack $K4 6003 :
row "round trip 64 B, loopback / cut-through, median" us lower s_rtt : in_s 127.0.0.1 6005 : stack $S4 6001 :
row "round trip 64 B, loopback / cut-through, 99 %" us lower s_rtt99 : in_s 127.0.0.1 6005 : stack $S4 6001 :
row "nginx kept connections, over the link" req/s higher s_wrk : in_k $L4 8081 : in_k $S4 8080 :
row "nginx connection a request, over the link" req/s higher s_wrk : in_k $L4 8081 : in_k $S4 8080 : -H 'Connection: close'
row "nginx kept connections, cut-through" req/s higher s_wrk : in_s 127.0.0.1 8082 : stack $S4 8080 :
row "nginx connection a request, cut-through" req/s higher s_wrk : in_s 127.0.0.1 8082 : stack $S4 8080 : -H 'Connection: close'

calib_last=$(calibrate)
out=$results/bench-$(date -u +%Y%m%dT%H%M%SZ).json
jq -s --arg date "$(date -u +%FT%TZ)" --arg kernel "$(uname -r)" --arg cpu "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
    --arg rev "$(git -C "$top_srcdir" rev-parse --short HEAD 2>/dev/null)" --argjson cores "$(nproc)" --argjson secs "$secs" \
    --argjson c0 "$calib_first" --argjson c1 "$calib_last" \
    '{date: $date, revision: $rev, kernel: $kernel, cpu: $cpu, cores: $cores, seconds: $secs, calib_ns: [$c0, $c1], rows: .}' "$rows" >"$out"
printf '\ncache line between two cores and back at the end: %s ns\nresults: %s\n' "$calib_last" "$out"
[ $bench_failed = 0 ] || echo "bench: some samples failed" >&2
exit $bench_failed
