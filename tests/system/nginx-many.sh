#!/bin/bash
# nginx-many.sh - 10,000 connections at once to unmodified nginx, from the kernel over the port and cut-through: no error, and
# afterwards the server holds what it held before
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 12000 ] || skip_all "only $(ulimit -n) open files are allowed here"
veth_server

NGX_CONNS=16384
ngx_conf "$TMP/n" 8080
ngx_start a "$TMP/n" || finish
sessions() { ctl a --json show app | jq .sessions; }
before=$(sessions)
many_case() { wrk_case "$@" || diag "$(ctl a show errors; ctl a show tcp | awk '$2 != 0')"; }
WRK_TIMEOUT=60 WRK_SECS=4 # the handshakes alone may take seconds on a busy machine
many_case "kernel's wrk, 10,000 connections" in_k 20000 "http://$S4:8080/" 10000
# shellcheck disable=SC2317
as_before() { [ "$(sessions)" -le "$before" ]; }
wait_for 20 as_before && ok "its sessions have ended" || not_ok "its sessions have ended" "$(sessions) sessions, $before before"
many_case "preloaded wrk, 10,000 connections" stack 20000 "http://$S4:8080/" 10000
wait_for 20 as_before && ok "its sessions have ended" || not_ok "its sessions have ended" "$(sessions) sessions, $before before"
many_case "kernel's wrk, 10,000 connections, v6" in_k 20000 "http://[$S6]:8080/" 10000
many_case "preloaded wrk, 10,000 connections, v6" stack 20000 "http://[$S6]:8080/" 10000
kill -QUIT "$ngx_pid"
wait_for 20 pid_gone "$ngx_pid" && ok "quit ends nginx" || not_ok "quit ends nginx"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
