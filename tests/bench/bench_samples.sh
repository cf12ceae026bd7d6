# shellcheck shell=bash
# bench_samples.sh - what one sample does: SAMPLE RUN ADDRESS ARGUMENT..., prints its numbers, or nothing when it failed (sourced)

tmo=$(awk -v s="$secs" 'BEGIN { print int(s) + 15 }')
# A client named ring is the reference without any stack, one named native... speaks the native API to a server that does, too.
s_stream() { # RUN ADDRESS tx|rx SIZE CONNECTIONS
    case $1 in
    ring) TMO=$tmo in_s "$RING" stream "$4" "$secs" ;;
    native*) TMO=$tmo "$1" "$NATIVE" stream "$2" 7020 "$4" "$secs" ;;
    *) TMO=$tmo "$1" "$LOAD" stream "$2" "${PORT:-7001}" "$3" "$4" "$5" "$secs" ;;
    esac
}
s_rtt() { # RUN ADDRESS SIZE sleep|busy
    case $1 in
    ring) TMO=$tmo in_s "$RING" rtt "$3" "$secs" "$4" ;;
    native*) TMO=$tmo "$1" "$NATIVE" rtt "$2" 7020 "$3" "$secs" ;;
    *) TMO=$tmo "$1" "$LOAD" rtt "$2" "${PORT:-7001}" "$3" "$secs" "$4" ;;
    esac
}
s_sctp() { # RUN ADDRESS SIZE: messages a second, and Gbit/s
    case $1 in
    in_s) TMO=$tmo "$1" "$top_builddir/tests/bench/usrsctp_load" send "$2" 7030 "$3" "$secs" ;;
    *) TMO=$tmo "$1" "$top_builddir/tests/bench/sctp_load" send "$2" 7031 "$3" "$secs" ;;
    esac
}
s_conn() { TMO=$tmo "$1" "$LOAD" conn "$2" "${PORT:-7001}" "$3" "$secs"; }
s_packets() { TMO=$tmo "$1" "$LOAD" packets "$2" "${PORT:-7001}" "$3" 0.2; } # RUN ADDRESS SIZE
s_calls() { TMO=$tmo "$1" "$LOAD" calls "$secs"; }
s_iperf() { # RUN ADDRESS OPTION...
    TMO=15 "$1" iperf3 -J -c "$2" -p 5201 -t 1 "${@:3}" |
        jq -r 'select(.error == null) | .end.sum_received.bits_per_second / 1e9 | select(. > 0)'
}
s_wrk() { # RUN ADDRESS PATH WRK-OPTION...
    TMO=15 "$1" wrk -t 1 -c 32 -d 1 "${@:4}" "http://$2:8080/$3" >"$TMP/wrk" 2>&1
    wrk_clean "$TMP/wrk" && sed -n 's/^Requests.sec: *//p' "$TMP/wrk"
}
s_redis() { # RUN ADDRESS: SET and GET
    TMO=30 "$1" redis-benchmark -h "$2" -t set,get -n 30000 -c 50 --csv |
        awk -F '"' '$2 == "SET" { s = $4 } $2 == "GET" { g = $4 } END { if (s && g) print s, g }'
}
# ---- what the worker of server a did meanwhile ----
worker_used() { # prints work time in us: the share of the cycles that was work, of the processor time of the thread
    ctl "${1:-a}" --json show worker | jq '[.. | objects | select(has("cycles"))] | {cpu: (map(.cpu_us) | add),
        all: (map(.cycles | add) | add), empty: (map(.cycles.empty) | add)} | "\(.cpu) \(.all) \(.empty)"' -r
}
# per_core SECONDS SAMPLE...: what the sample says, which loads the worker for so long, for a core that is all the worker's
per_core() {
    local before after value
    before=$(worker_used)
    value=$("${@:2}") || return 1
    after=$(worker_used)
    awk -v v="$value" -v b="$before" -v a="$after" -v s="$1" 'BEGIN {
        split(b, x, " "); split(a, y, " ")
        work_us = (y[1] - x[1]) * (1 - (y[3] - x[3]) / (y[2] - x[2]))
        if (v > 0 && work_us > 0) print v * s * 1e6 / work_us }'
}
with_warm_up=$(awk -v s="$secs" 'BEGIN { print s * 1.25 }')
s_stream_per_core() { per_core "$with_warm_up" s_stream "$@"; }
s_conn_per_core() { per_core "$secs" s_conn "$@"; }
s_native_conn() { TMO=$tmo "$1" "$top_builddir/tests/bench/native_conn" "$2" 7021 "$3" "$secs"; } # RUN ADDRESS AT-ONCE
s_native_conn_per_core() { per_core "$secs" s_native_conn "$@"; }

# ---- memory ----
slab_kb() { sed -n 's/^Slab: *\([0-9]*\) kB/\1/p' /proc/meminfo; }
pss_kb() { local pid sum=0; for pid in "$@"; do sum=$((sum + $(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup"))); done; echo $sum; }
hold_says() { grep -q "^$1" "$TMP/hold.c"; }
hold_open() { # RUN ADDRESS CONNECTIONS: a server, and a client with one connection; their ids in $listener and $client
    rm -f "$TMP"/hold.* # what the sample before has said must not be taken for this one's
    bg "$TMP/hold.s" "$1" "$LOAD" server "$2" 7002
    listener=$bg_pid
    wait_for 10 listening "$TMP/hold.s" || return 1
    mkfifo "$TMP/hold.in"
    { HS_EXEC=exec; "$1" "$LOAD" hold "$2" 7002 "$3"; } <"$TMP/hold.in" >"$TMP/hold.c" 2>&1 &
    client=$!
    note_pid "$client"
    exec {hold_fd}<>"$TMP/hold.in" # for both, so that it does not wait for a client that failed
    wait_for 10 hold_says begun
}
# s_memory RUN ADDRESS CONNECTIONS: bytes of each idle connection, both ends together: in all, and without the kernel's memory of the
# descriptors that stand for our sockets. A fresh server and fresh programs each time, so that nothing is left from before.
s_memory() {
    local run=$1 n=$3 pss slab server='' listener='' client='' hold_fd='' in_all ours=''
    if [ "$run" != in_s ]; then
        { conf_head m; printf 'port p0 { device net_ring0 }\n'; conf_addrs p0 10.79.0.1 fd79::1; } >"$TMP/m.conf"
        FIFO=1m server_start m "$NS_S"
        server=$(server_pid m)
    fi
    if hold_open "$@"; then
        # shellcheck disable=SC2086
        pss=$(pss_kb $server $listener $client) slab=$(slab_kb)
        echo >&"$hold_fd"
        # shellcheck disable=SC2086
        wait_for 30 hold_says ready && ours=$(($(pss_kb $server $listener $client) - pss)) in_all=$(($(slab_kb) - slab))
        [ -n "$server" ] || ours=$((ours + in_all)) in_all=0
    fi
    [ -z "$hold_fd" ] || exec {hold_fd}>&-
    if wait_for 30 hold_says answered && [ -n "$ours" ]; then
        awk -v o="$ours" -v a="$in_all" -v n="$n" 'BEGIN { print (o + a) * 1024 / n, o * 1024 / n }'
    else
        tail -n 3 "$TMP"/hold.[cs] >&2
    fi
    [ -z "$client" ] || end_pid "$client"
    end_pid "$listener"
    [ -z "$server" ] || server_stop m
}
mem_pre() { spre m "$@"; }
mem_pre_global() { VCL=$TMP/m.global.vcl spre m "$@"; }

# ---- idle, and starting ----
cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ s += $1 } END { print s }'; }
s_idle() { # percent of a core that the server takes with its programs attached and idle
    local c0 t0=$EPOCHREALTIME
    c0=$(cpu_ns "$(server_pid a)")
    sleep 1 # the length of the measurement, nothing is waited for
    awk -v c0="$c0" -v c1="$(cpu_ns "$(server_pid a)")" -v t0="$t0" -v t1="$EPOCHREALTIME" \
        'BEGIN { printf "%.4f\n", (c1 - c0) / 1e9 / (t1 - t0) * 100 }'
}
ms_since() { awk -v a="$1" -v b="$EPOCHREALTIME" -v n="$2" 'BEGIN { printf "%.3f\n", (b - a) * 1000 / n }'; }
s_start_server() { # until the control socket answers
    local t=$EPOCHREALTIME pid
    conf_head m >"$TMP/m.conf"
    ip netns exec "$NS_S" "$HOSTSTACKD" -c "$TMP/m.conf" --foreground >"$TMP/m.log" 2>&1 </dev/null &
    pid=$!
    until server_up m >/dev/null 2>&1; do [ $((SECONDS - begin_s)) -lt $((limit_s + 30)) ] && kill -0 $pid 2>/dev/null || return 1; done
    ms_since "$t" 1
    end_pid $pid
}
s_start_program() { # RUN ADDRESS NUMBER COMMAND...: ms for each
    local run=$1 n=$3 i t=$EPOCHREALTIME
    shift 3
    for ((i = 0; i < n; i++)); do TMO=5 "$run" "$@" >/dev/null </dev/null || return 1; done
    ms_since "$t" "$n"
}
s_start_connected() { # RUN ADDRESS NUMBER: a program that connects once, gets a byte, and ends
    s_start_program "$1" "$2" "$3" "$LOAD" conn "$2" 7001 1 0.000001
}
