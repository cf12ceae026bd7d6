#!/bin/bash
# workers.sh - several workers over one port: connections on each of them, echo, nginx and wrk without an error
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
for n in 2 3; do
    NS_S=$TAG-s$n NS_K=$TAG-k$n
    topo_veth
    conf_packet a $n >"$TMP/a.conf"
    server_start a "$NS_S"
    stack() { spre a "$@"; }
    check_eq "$n workers are shown" "$(ctl a --json show worker | jq '[.. | objects | select(has("worker") or has("index"))] | length')" $n
    bg "$TMP/echo" stack "$ECHO" server $S4 7000
    echo_pid=$bg_pid
    wait_for 5 listening "$TMP/echo" || bail "echo server listens" "$(cat "$TMP/echo")"
    TMO=20 check "$n workers: 100 connections of 100,000 bytes at once from the kernel" in_k "$ECHO" -N -n 100 -b 100000 client $S4 7000
    TMO=20 check "$n workers: 100 connections at once cut-through" stack "$ECHO" -N -n 100 -b 100000 client $S4 7000
    bg "$TMP/kecho" in_k "$ECHO" server $K4 7001
    wait_for 5 listening "$TMP/kecho"
    TMO=20 check "$n workers: 100 connections at once to the kernel" stack "$ECHO" -N -n 100 -b 100000 client $K4 7001
    for a in $K4 $K6; do # a port of their own: no TIME-WAIT to it holds one that bind() chooses
        bg "$TMP/kecho.$a" in_k "$ECHO" server "$a" 7002
        wait_for 20 listening "$TMP/kecho.$a" || bail "echo server of $a listens" "$(cat "$TMP/kecho.$a")"
    done
    TMO=100 check "$n workers: 60 connections to the kernel from ports that were bound before, and again from the same ones" \
        stack python3 "$top_srcdir/tests/system/bound_ports.py" $S4 $K4 $S6 $K6
    end_pid "$echo_pid"
    ngx_conf "$TMP/n" 8080
    ngx_start a "$TMP/n" || finish
    wrk_case "$n workers: kernel's wrk, kept connections" in_k 10000 http://$S4:8080/ 32
    wrk_case "$n workers: kernel's wrk, a connection a request" in_k 3000 http://$S4:8080/ 32 -H 'Connection: close'
    wrk_case "$n workers: preloaded wrk, a connection a request" stack 3000 http://$S4:8080/ 32 -H 'Connection: close'
    end_pid "$ngx_pid" QUIT
    wait_for 10 server_is_empty a && ok "$n workers: nothing is left" || not_ok "$n workers: nothing is left" "$(server_counts a)"
    server_stop a
done
finish
