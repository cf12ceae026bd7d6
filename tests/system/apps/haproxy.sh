#!/bin/bash
# haproxy.sh - haproxy with four threads between clients and nginx: as an HTTP and as a TCP proxy, to nginx cut-through and
# to nginx of the kernel; and taking over with -sf under load
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin haproxy nginx curl wrk
web_servers 8080
cat >"$TMP/haproxy.cfg" <<CFG
global
    nbthread 4
    maxconn 4000
    stats socket $TMP/haproxy.sock mode 600 level admin expose-fd listeners
    hard-stop-after 30s
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    retries 0
frontend local
    bind $S4:8000
    bind [$S6]:8000
    default_backend local
frontend tcp
    mode tcp
    bind $S4:8001
    bind [$S6]:8001
    default_backend local_tcp
frontend kernel
    bind $S4:8002
    bind [$S6]:8002
    default_backend kernel
backend local
    server n4 $S4:8080 check inter 500
    server n6 [$S6]:8080 check inter 500
backend local_tcp
    mode tcp
    server n4 $S4:8080
backend kernel
    server k4 $K4:8080 check inter 500
    server k6 [$K6]:8080 check inter 500
CFG
app_start "$TMP/haproxy.out" stack haproxy -db -f "$TMP/haproxy.cfg" -p "$TMP/haproxy.pid"
echo "$bg_pid" >"$TMP/haproxy.now" # takeover() runs in a subshell
app_ready haproxy 8000 "$TMP/haproxy.out"
each_way_in web_load 8000 "$WEB_PAGE" "$WEB_BIG"
each_way_in web_load 8001 "$WEB_PAGE" "$WEB_BIG"
each_way_in web_load 8002 "$WEB_PAGE" "$WEB_BIG"

# A new process takes the listeners of the old one, by SCM_RIGHTS over the statistics socket, and lets it finish.
takeover() { # SECONDS TIMES
    local out=$TMP/takeover.$fam i old pid
    bg "$out" "$client" wrk -t 2 -c 16 -d "$1" --timeout 5 -H 'Connection: close' "http://$host:8000/"
    pid=$bg_pid
    for ((i = 0; i < $2; i++)); do
        old=$(cat "$TMP/haproxy.now")
        bg "$TMP/haproxy.$i.out" stack haproxy -db -f "$TMP/haproxy.cfg" -x "$TMP/haproxy.sock" -sf "$old"
        echo "$bg_pid" >"$TMP/haproxy.now"
        wait_for 15 pid_gone "$old" || { echo "the old process $old does not end"; end_pid "$pid" KILL; return 1; }
    done
    wait_for 30 pid_gone "$pid" || { echo "wrk does not end"; end_pid "$pid" KILL; return 1; }
    wrk_clean "$out" || { cat "$out" "$TMP/haproxy.$((i - 1)).out"; return 1; }
}
each_way_in way_check "taken over by haproxy -sf under load" takeover 3 3
app_pids+=("$(cat "$TMP/haproxy.now")")
app_end
