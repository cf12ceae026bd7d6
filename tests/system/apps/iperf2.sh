#!/bin/bash
# iperf2.sh - iperf 2, a thread a stream: eight at once, both ways over one connection, the other way, UDP with the server's report
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin iperf
for f in 4 6; do
    s=S$f k=K$f
    v6=(); [ $f = 4 ] || v6=(-V)
    app_start "$TMP/s$f" stack iperf -s "${v6[@]}" -B "${!s}" -p 5101
    app_start "$TMP/k$f" in_k iperf -s "${v6[@]}" -B "${!k}" -p 5101
    app_start "$TMP/su$f" stack iperf -s -u "${v6[@]}" -B "${!s}" -p 5102
    app_start "$TMP/ku$f" in_k iperf -s -u "${v6[@]}" -B "${!k}" -p 5102
done
app_ready iperf 5101 "$TMP/s4"
kernel_ready iperf 5101 "$TMP/k4"
run() {
    local out v6=()
    [ $fam = 4 ] || v6=(-V)
    out=$("$client" iperf -c "$addr" "${v6[@]}" -f m -t 1 "$@" 2>&1) || { echo "$out"; return 1; }
    grep -Eq '[1-9][0-9.]* Mbits/sec' <<<"$out" && ! grep -Eqi 'fail|error|warn|refused' <<<"$out" || { echo "$out"; return 1; }
}
cases() {
    way_check "eight streams" run -p 5101 -P 8
    way_check "both ways over one connection" run -p 5101 --full-duplex
    way_check "-R" run -p 5101 -R
    way_check "UDP" run -p 5102 -u -b 20M
}
each_way_in cases
each_way_out cases
app_end
