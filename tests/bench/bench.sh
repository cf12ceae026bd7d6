#!/bin/bash
# bench.sh - the same work over the kernel's stack and over ours, alternately, in one run; ratios first (make bench)
#
# QUICK=1: 3 pairs and shorter samples, fewer rows. PAIRS, SECS: other numbers. ROWS='stream/cut*' picks rows by their id.
# Results go to bench-results/ in the build folder (BENCH_RESULTS): JSON, a table and plots; see README beside this file.
top_builddir=${top_builddir:-$PWD}
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
[ "$(id -u)" = 0 ] || { echo "bench: needs root for network namespaces" >&2; exit 1; }
for c in openssl iperf3 nginx wrk curl jq redis-server redis-benchmark gnuplot taskset; do
    command -v $c >/dev/null || { echo "bench: no program '$c' here" >&2; exit 1; }
done
need_stack
. "$(dirname "$0")/../system/ngx.sh"

shopt -s extglob # ROWS='@(ring|core)/*'
QUICK=${QUICK:-0}
if [ "$QUICK" = 1 ]; then
    pairs=${PAIRS:-3} secs=${SECS_A_SAMPLE:-0.2} held=500 limit_s=170
else
    pairs=${PAIRS:-5} secs=${SECS_A_SAMPLE:-0.3} held=2000 limit_s=870
fi
LOAD=$top_builddir/tests/bench/netload
NATIVE=$top_builddir/tests/bench/netload_native
RING=$top_builddir/tests/bench/ring
results=${BENCH_RESULTS:-$PWD/bench-results}
mkdir -p "$results" || exit 1
rows_file=$TMP/rows.jsonl
: >"$rows_file"
ulimit -n "$(ulimit -Hn)"

. "$(dirname "$0")/bench_row.sh"
. "$(dirname "$0")/bench_samples.sh"
. "$(dirname "$0")/bench_tls.sh"
. "$(dirname "$0")/bench_groups.sh"

about() {
    local pkg
    printf '{"date": "%s", "revision": "%s", "changed": %s, "cpu": "%s", "cores": %s, "kernel": "%s",\n' "$(date -u +%FT%TZ)" \
        "$(git -C "$top_srcdir" rev-parse --short HEAD 2>/dev/null)" \
        "$([ -z "$(git -C "$top_srcdir" status --porcelain -uno 2>/dev/null)" ] && echo false || echo true)" \
        "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)"
    printf '"hypervisor": "%s", "kernel_cc": "%s", "cflags": "%s", "pairs": %s, "seconds": %s, "quick": %s, "versions": {' \
        "$(lscpu | sed -n 's/^Hypervisor vendor: *//p')" "$(in_s sysctl -n net.ipv4.tcp_congestion_control)" \
        "$(sed -n 's/^CFLAGS = //p' "$top_builddir/Makefile")" "$pairs" "$secs" "$([ "$QUICK" = 1 ] && echo true || echo false)"
    for pkg in openssl libdpdk-dev libc6 gcc iperf3 nginx-light nginx-core wrk redis-server; do
        dpkg-query -W -f "\"$pkg\": \"\${Version}\", " "$pkg" 2>/dev/null
    done
    printf '"hoststack": "%s"}}\n' "$("$HOSTSTACKD" --version 2>/dev/null | head -n 1)"
}

counting=1 n_rows=0
all_groups
n_all=$n_rows counting=0 n_rows=0 begin_s=$SECONDS left_out=() n_failed=0
calib_first=$(calibrate)
make_ns "$TAG-about" && NS_S=$TAG-about about >"$TMP/about.json"
jq -r '"hoststack \(.revision)\(if .changed then " with changes" else "" end), \(.date), \(.cores) x \(.cpu) (\(.hypervisor)), kernel \(.kernel), DPDK \(.versions["libdpdk-dev"])"' "$TMP/about.json"
printf 'calibration: a cache line between the two cores and back takes %s ns (fast below %s); again around each pair\n' "$calib_first" "$fast_below_ns"
printf '%s rows, %s pairs of %s s each; a ratio above 1 says that hoststack is better\n\n' "$n_all" "$pairs" "$secs"
row_heading
all_groups
calib_last=$(calibrate)

stamp=$(date -u +%Y%m%dT%H%M%SZ)
out=$results/bench-$stamp.json
jq -s --slurpfile about "$TMP/about.json" --argjson c0 "$calib_first" --argjson c1 "$calib_last" --argjson took $((SECONDS - begin_s)) \
    --arg left "${left_out[*]-}" '$about[0] + {calib_ns: [$c0, $c1], took_s: $took, left_out: ($left | split(" ")), rows: .}' "$rows_file" >"$out"
printf '\ncalibration at the end: %s ns; %d s in all; %s\n' "$calib_last" $((SECONDS - begin_s)) "$out"
bash "$(dirname "$0")/report.sh" "$out" || n_failed=$((n_failed + 1))
[ ${#left_out[@]} -eq 0 ] || printf 'bench: not measured, the time of %s s was over: %s\n' "$limit_s" "${left_out[*]}" >&2
[ $n_failed = 0 ] || { printf 'bench: %s rows have samples that failed; what they said:\n' "$n_failed" >&2; tail -n 20 "$TMP/err" >&2; }
exit $((n_failed != 0))
