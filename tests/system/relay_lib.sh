# shellcheck shell=bash
# relay_lib.sh - two links alike through a bad network: the stack with the kernel, and the kernel with the kernel, for comparison
#
#   link h: namespaces hs (hoststack on the TAP's kernel end) and hk (kernel)      link k: ks and kk, both kernel
# shellcheck source=tests/system/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
RELAY=$top_builddir/tests/system/relay
LOAD=$top_builddir/tests/system/relay_load
CC=${CC_ALGO:-cubic}
KERNEL_CC=$CC   # of senders that are the kernel's: it may lack what the stack has
RATE=   # SO_MAX_PACING_RATE of both links' senders
relay_port=7000

in_ns() { local ns=$1; shift; $HS_EXEC ip netns exec "$TAG-$ns" ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} "$@"; }
relay_link() { # NAME: namespaces and relay; its input is descriptor fd_NAME
    local n=$1 side fd
    make_ns "$TAG-${n}s"
    make_ns "$TAG-${n}k"
    for side in s k; do # a connection must not begin with what another one has learned
        in_ns "$n$side" sysctl -qw net.ipv4.tcp_no_metrics_save=1
    done
    mkfifo "$TMP/relay.$n"
    "$RELAY" "$TAG-${n}s" t0 "$TAG-${n}k" t0 <"$TMP/relay.$n" >"$TMP/relay.$n.log" 2>&1 &
    note_pid $!
    exec {fd}>"$TMP/relay.$n"
    printf -v "fd_$n" %s "$fd"
    wait_for 10 listening "$TMP/relay.$n.log" || bail "the relay starts" "$(cat "$TMP/relay.$n.log")"
    [ "$n" = k ] || in_ns "${n}s" sysctl -qw net.ipv6.conf.t0.disable_ipv6=1
    for side in s k; do
        ip -n "$TAG-$n$side" link set t0 up || bail "the relay's TAP comes up"
    done
    ip -n "$TAG-${n}k" addr add $K4/24 dev t0
    ip -n "$TAG-${n}k" addr add $K6/64 dev t0 nodad
    [ "$n" = h ] || { ip -n "$TAG-${n}s" addr add $S4/24 dev t0; ip -n "$TAG-${n}s" addr add $S6/64 dev t0 nodad; }
}
relay_set() { # NAME WORD=VALUE...
    local fd="fd_$1" log=$TMP/relay.$1.log lines
    shift
    lines=$(wc -l <"$log")
    echo "$*" >&"${!fd}"
    relay_answered() { [ "$(wc -l <"$log")" -gt "$lines" ]; }
    wait_for 5 relay_answered || bail "the relay answers"
}
relay_counts() { tail -n 1 "$TMP/relay.$1.log"; } # of the time before the last relay_set
relay_start() {
    need_root
    need_stack
    only_hoststack
    [ -c /dev/net/tun ] || skip_all "no /dev/net/tun here"
    FIFO=${FIFO:-8m}
    relay_link h
    relay_link k
    conf_head a >"$TMP/a.conf"
    printf 'port wire0 { device packet iface=t0 }\n%s\n' "$RELAY_CONF" >>"$TMP/a.conf"
    conf_addrs wire0 $S4 $S6 >>"$TMP/a.conf"
    server_start a "$TAG-hs"
}
RELAY_CONF=${RELAY_CONF:-}
# kernel_cc NAME: NAME if the kernel of this machine has it, else cubic, which every kernel has
kernel_cc() {
    if in_ns kk sysctl -n net.ipv4.tcp_available_congestion_control | grep -qw "$1"; then echo "$1"; else echo cubic; fi
}
in_hs() { # as a program of the stack
    : "${hs_pre:=$(hs_preload_libs)}"
    in_ns hs env LD_LIBRARY_PATH="$PRELOAD_DIR" ASAN_OPTIONS=detect_leaks=0 VCL_CONFIG="$TMP/a.vcl" LD_PRELOAD="$hs_pre" "$@"
}
in_hk() { in_ns hk "$@"; }
in_ks() { in_ns ks "$@"; }
in_kk() { in_ns kk "$@"; }

# stream LINK tx|rx SECONDS 4|6: what the side s of the link sends to or receives from k; prints bits a second
stream() {
    local link=$1 mode=$2 secs=$3 family=$4 to=$K4 cc=$CC port pid rc=0
    [ "$link $mode" = "h tx" ] || cc=$KERNEL_CC
    [ "$family" = 4 ] || to=$K6
    port=$5
    bg "$TMP/srv.$port" "in_${link}k" "$LOAD" server "$to" "$port"
    pid=$bg_pid
    wait_for 10 listening "$TMP/srv.$port" || { echo "server: $(cat "$TMP/srv.$port")" >&2; return 1; }
    # shellcheck disable=SC2086  # none or one
    TMO=$((${secs%.*} * 4 + 60)) "in_${link}s" "$LOAD" client "$to" "$port" "$mode" "$secs" "$cc" $RATE >"$TMP/cli.$port" 2>&1 || rc=1
    end_pid "$pid"
    [ $rc = 0 ] || { cat "$TMP/cli.$port" "$TMP/srv.$port" >&2; return 1; }
    sed 's/.* //' "$TMP/cli.$port"
}
# streams tx|rx SECONDS FAMILY WORD=VALUE...: on both links at once, so that what else the machine does hits both; rate_h, rate_k
streams() {
    local mode=$1 secs=$2 family=$3 pid rc=0
    shift 3
    relay_set h "$@"
    relay_set k "$@"
    relay_port=$((relay_port + 2))
    stream h "$mode" "$secs" "$family" $relay_port >"$TMP/rate.h" 2>"$TMP/err.h" &
    pid=$!
    stream k "$mode" "$secs" "$family" $((relay_port + 1)) >"$TMP/rate.k" 2>"$TMP/err.k" || rc=2
    wait $pid || rc=1
    rate_h=$(cat "$TMP/rate.h") rate_k=$(cat "$TMP/rate.k")
    [ $rc = 0 ] || diag "$(cat "$TMP/err.h" "$TMP/err.k")"
    return $rc
}
