#!/bin/bash
# nginx.sh - unmodified nginx, master and workers: pages, 100,000 requests on kept connections and 10,000 with one each,
# from the kernel over the port and cut-through; reload under load; quit
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
veth_server

ngx_conf "$TMP/n" 8080
ngx_start a "$TMP/n" || finish
# The first one serves while the second one is being made.
has_workers() { [ "$(ngx_workers)" = "$1" ]; }
check "two worker processes" wait_for 10 has_workers 2
for f in 4 6; do
    s=S$f
    url=http://${!s}:8080
    [ $f = 4 ] || url=http://[${!s}]:8080
    check "kernel's curl gets the page, v$f" ngx_same_page in_k "$url/" "$TMP/n/html/index.html"
    check "kernel's curl gets 1 MB by sendfile, v$f" ngx_same_page in_k "$url/big" "$TMP/n/html/big"
    check "preloaded curl gets the page cut-through, v$f" ngx_same_page stack "$url/" "$TMP/n/html/index.html"
    check "preloaded curl gets 1 MB by sendfile, v$f" ngx_same_page stack "$url/big" "$TMP/n/html/big"
done
url=http://$S4:8080
wrk_case "kernel's wrk, kept connections" in_k 100000 $url/ 32
wrk_case "kernel's wrk, a connection a request" in_k 10000 $url/ 32 -H 'Connection: close'
wrk_case "kernel's wrk, 1 MB pages" in_k 100 $url/big 8
wrk_case "preloaded wrk, kept connections" stack 100000 $url/ 32
wrk_case "preloaded wrk, a connection a request" stack 10000 $url/ 32 -H 'Connection: close'
wrk_case "preloaded wrk, 1 MB pages" stack 100 $url/big 8

# Reload while wrk runs: new workers come, the old ones finish what they have. With a connection a request nobody sees an
# error. On kept connections nginx closes those it believes idle while wrk's next request is under way: over the kernel wrk
# counts one read error a connection and reload, and a second one if its next connection meets the other old worker before that one
# has heard of the reload; so many are allowed, and no other kind.
reload_clean() { # OUTPUT ALLOWED-READ-ERRORS
    local e
    wrk_clean "$1" && return
    ! grep -q Non-2xx "$1" && e=$(sed -n 's/.*connect 0, read \([0-9]*\), write 0, timeout 0.*/\1/p' "$1") && [ -n "$e" ] && [ "$e" -le "$2" ]
}
reload_case() { # WHAT CLIENT-SIDE ALLOWED-READ-ERRORS [WRK-OPTION...]
    local out=$TMP/reload.out pid i old old_gone
    bg "$out" "$2" wrk -t 2 -c 16 -d 3 --timeout 30 "${@:4}" $url/
    pid=$bg_pid
    for i in 1 2 3; do
        old=$(pgrep -P "$ngx_pid" | tr '\n' ' ')
        # shellcheck disable=SC2317
        has_new() { [ "$(pgrep -P "$ngx_pid" | grep -cvxF "${old// /$'\n'}")" -ge 2 ]; }
        kill -HUP "$ngx_pid"
        wait_for 10 has_new || { not_ok "$1: reload $i brings new workers"; end_pid "$pid"; return; }
    done
    wait_for 20 pid_gone "$pid" || { not_ok "$1: wrk ends"; end_pid "$pid" KILL; return; }
    if reload_clean "$out" "$3"; then ok "$1: 3 reloads, $(wrk_requests "$out") requests, at most $3 errors"; else not_ok "$1" "$(cat "$out")"; fi
    # shellcheck disable=SC2317
    old_gone() { [ "$(ngx_workers)" = 2 ]; }
    wait_for 15 old_gone && ok "$1: the old workers have gone" || not_ok "$1: the old workers have gone" "$(ngx_workers) left"
}
reload_case "reload under the kernel's wrk, a connection a request" in_k 0 -H 'Connection: close'
reload_case "reload under the kernel's wrk, kept connections" in_k 96
reload_case "reload under preloaded wrk, a connection a request" stack 0 -H 'Connection: close'
reload_case "reload under preloaded wrk, kept connections" stack 96

kill -QUIT "$ngx_pid"
wait_for 10 pid_gone "$ngx_pid" && ok "quit ends nginx" || not_ok "quit ends nginx"
check_eq "no emergency, alert or crash in nginx's log" \
    "$(grep -Ec '\[(emerg|alert|crit)\]|exited on signal' "$TMP/n/logs/error.log")" 0

# reuseport: a listener per worker.
ngx_conf "$TMP/r" 8081 2 reuseport
if ngx_start a "$TMP/r"; then
    url=http://$S4:8081
    wrk_case "reuseport, kernel's wrk" in_k 20000 $url/ 16
    wrk_case "reuseport, preloaded wrk" stack 20000 $url/ 16
    wrk_case "reuseport, preloaded wrk, a connection a request" stack 2000 $url/ 16 -H 'Connection: close'
    kill -QUIT "$ngx_pid"
    wait_for 10 pid_gone "$ngx_pid" && ok "quit ends nginx with reuseport" || not_ok "quit ends nginx with reuseport"
fi
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
