#!/bin/bash
# soak-many.sh - very many connections: 100,000 held at once (HELD=), cut-through and as TCP inside the server, idle, then each answering;
# and 1,000,000 one after the other (CONNECTIONS=), each with one request to nginx: as fast at the end as at the beginning
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq wrk nginx curl
need_stack
only_hoststack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
LOAD=$top_builddir/tests/bench/netload
held=${HELD:-100000} connections=${CONNECTIONS:-1000000}
pairs=10 each=$((held / 10)) # a server and a client each, as a program has so many descriptors only
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" -gt $((each + 100)) ] || { echo "1..0 # SKIP limit of open files $(ulimit -n), $((each + 100)) needed"; exit 0; }
topo_veth
{ conf_packet a; echo 'tcp { msl 100ms }'; } >"$TMP/a.conf"
FIFO=256k server_start a "$NS_S"
empty=$(server_counts a)
back() { [ "$(server_counts a)" = "$empty" ]; }
is_back() { wait_for 60 back && ok "$1: nothing is left in the server" || not_ok "$1: nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"; }
pss_kb() { cat "${@/%//smaps_rollup}" | awk '/^Pss:/ { s += $2 } END { print s }'; }
all_say() { # WHAT WORD
    local i
    for ((i = 0; i < pairs; i++)); do grep -q "^$2" "$TMP/$1.c$i" || return 1; done
}

hold() { # WHAT RUN
    local what=$1 run=$2 i at before=0 after pids=() servers=() clients=() ins=()
    for ((i = 0; i < pairs; i++)); do
        at=$S4; [ $((i % 2)) = 0 ] || at=$S6
        bg "$TMP/$what.s$i" "$run" "$LOAD" server "$at" $((7100 + i))
        servers+=("$bg_pid")
        wait_for 10 listening "$TMP/$what.s$i" || { not_ok "$what: a server listens" "$(cat "$TMP/$what.s$i")"; return; }
    done
    for ((i = 0; i < pairs; i++)); do
        at=$S4; [ $((i % 2)) = 0 ] || at=$S6
        mkfifo "$TMP/$what.in$i"
        { # the other clients' ends of their inputs are not for it to keep
            for fd in "${ins[@]}"; do exec {fd}>&-; done
            HS_EXEC=exec; "$run" "$LOAD" hold "$at" $((7100 + i)) $each
        } <"$TMP/$what.in$i" >"$TMP/$what.c$i" 2>&1 &
        clients+=($!); note_pid $!
        exec {fd}<>"$TMP/$what.in$i"
        ins+=("$fd")
    done
    # shellcheck disable=SC2207
    pids=($(printf '/proc/%s\n' "$(server_pid a)" "${servers[@]}" "${clients[@]}"))
    wait_for 30 all_say "$what" begun && before=$(pss_kb "${pids[@]}")
    for fd in "${ins[@]}"; do echo >&"$fd"; done
    if wait_for 300 all_say "$what" ready; then
        after=$(pss_kb "${pids[@]}")
        ok "$what: $((pairs * each)) connections at once, $(((after - before) * 1024 / (pairs * each))) bytes each, both ends and the server"
    else
        not_ok "$what: $((pairs * each)) connections at once" "$(tail -n 2 "$TMP/$what".[cs]*)"
    fi
    for fd in "${ins[@]}"; do exec {fd}>&-; done
    wait_for 300 all_say "$what" answered && ok "$what: each of them answers" || not_ok "$what: each of them answers" "$(tail -n 2 "$TMP/$what".[cs]*)"
    for i in "${clients[@]}" "${servers[@]}"; do end_pid "$i"; done
    is_back "$what"
}
stack() { spre a "$@"; }
stack_tcp() { VCL=$TMP/a.global.vcl spre a "$@"; }
hold cut-through stack
hold tcp stack_tcp

# ---- one after the other ----
ngx_conf "$TMP/n" 8090 1
ngx_start a "$TMP/n" || finish
done_n=0 first='' last='' failed=''
while [ $done_n -lt "$connections" ] && [ -z "$failed" ]; do
    TMO=30 stack wrk -t 1 -c 32 -d 3 -H 'Connection: close' "http://$S4:8090/" >"$TMP/wrk" 2>&1
    wrk_clean "$TMP/wrk" || failed=1
    last=$(sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' "$TMP/wrk")
    first=${first:-$last}
    done_n=$((done_n + $(wrk_requests "$TMP/wrk")))
    echo "# $done_n connections, $last a second"
done
[ -z "$failed" ] && ok "nginx: $done_n connections, a request each, none failed" || not_ok "nginx: a connection a request, none fails" "$(cat "$TMP/wrk")"
# Generous, as the machine is others', too; what it is against grows with the connections that there have been.
[ "${last:-0}" -gt $((first / 2)) ] && ok "nginx: $last connections a second at the end, $first at the beginning" ||
    not_ok "nginx: as fast at the end as at the beginning" "$first a second, at the end $last"
end_pid "$ngx_pid" QUIT
is_back nginx
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
