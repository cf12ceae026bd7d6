# shellcheck shell=bash
# iperf.sh - the iperf3 cases of one way, for the scripts that set up the link (sourced)

need iperf3 jq
ipf_port=5200
# iperf_case WHAT SERVER-SIDE CLIENT-SIDE ADDRESS [OPTION...]: runs SECS seconds; no error, bytes arrived, no stall, or not three times on end:
# once it may be the machine that stood still
iperf_case() {
    local rc
    for _ in 1 2 3; do
        rc=0
        iperf_once "$@" || rc=$?
        [ $rc = 2 ] || return $rc
    done
    not_ok "$1" "$iperf_said"
}
iperf_once() { # 2: it stood still, as $iperf_said says
    local what=$1 srv=$2 cli=$3 addr=$4 pid out err bytes stalled
    shift 4
    ipf_port=$((ipf_port + 1))
    bg "$TMP/iperf.$ipf_port.s" "$srv" iperf3 -s -1 -p $ipf_port -B "$addr" --forceflush
    pid=$bg_pid
    wait_for 5 grep -q 'Server listening' "$TMP/iperf.$ipf_port.s" ||
        { not_ok "$what" "server: $(cat "$TMP/iperf.$ipf_port.s")"; return 1; }
    out=$TMP/iperf.$ipf_port.c
    if ! TMO=$((SECS + 15)) "$cli" iperf3 -J -c "$addr" -p $ipf_port -t "$SECS" "$@" >"$out" 2>"$out.err"; then
        not_ok "$what" "client: $(jq -r '.error // empty' "$out" 2>/dev/null) $(tail -n 5 "$out.err") server: $(tail -n 5 "$TMP/iperf.$ipf_port.s")"
        end_pid "$pid" KILL
        return 1
    fi
    err=$(jq -r '.error // empty' "$out")
    bytes=$(jq '.end | [.sum_received.bytes, .sum.bytes, .sum_received_bidir_reverse.bytes] | map(select(. != null)) | max // 0' "$out")
    # A stall: a whole interval in which no stream moved a byte.
    stalled=$(jq '[.intervals[] | select(.sum.seconds > 0.5 and .sum.bytes == 0)] | length' "$out")
    iperf_said="error '$err', $bytes bytes received, $stalled intervals without a byte"
    if [ -n "$err" ] || [ "$bytes" -lt 100000 ] || [ "$stalled" -ne 0 ]; then
        end_pid "$pid" KILL
        [ -n "$err" ] || [ "$stalled" -eq 0 ] || return 2
        not_ok "$what" "$iperf_said"
        return 1
    fi
    ok "$what: $(jq -r --argjson b "$bytes" '.end | ($b * 8 / ((.sum_received.seconds // .sum.seconds) * 1e9) * 100 | round / 100)' "$out") Gbit/s"
    wait_for 10 pid_gone "$pid" || { not_ok "$what: the server ends after one client"; end_pid "$pid" KILL; }
}
# iperf_all WHAT SERVER-SIDE CLIENT-SIDE ADDRESS-4 ADDRESS-6
iperf_all() {
    iperf_case "$1, v4" "$2" "$3" "$4"
    iperf_case "$1, v4, -R" "$2" "$3" "$4" -R
    iperf_case "$1, v4, --bidir" "$2" "$3" "$4" --bidir
    iperf_case "$1, v4, -P 8" "$2" "$3" "$4" -P 8
    iperf_case "$1, v4, -u" "$2" "$3" "$4" -u -b 50M
    iperf_case "$1, v6" "$2" "$3" "$5"
}
