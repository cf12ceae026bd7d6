#!/bin/bash
# killed.sh - kill -9 of nginx's worker, master and of clients, 100 times: nothing is left in the server
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need pgrep
need_stack
only_hoststack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
veth_server
rounds=${ROUNDS:-100}
RANDOM=${SEED:-$$}
diag "SEED=${SEED:-$$}"

# Once first, so that what a server allocates once and keeps is there before we count.
ngx_conf "$TMP/n" 8080
ngx_start a "$TMP/n" || finish
end_pid "$ngx_pid" QUIT
counts_are() { [ "$(server_counts a)" = "$1" ]; }
wait_for 5 server_is_empty a || not_ok "no client is left after an orderly end" "$(ctl a --json show app)"
before=$(server_counts a)
diag "before: $before"

# Stopped first: a master that starts another worker while its workers are being listed would leave one behind, alive. The signal
# does not stop one that is in fork() before it returns.
is_stopped() { [[ $(<"/proc/$ngx_pid/stat") == *") T "* ]]; }
kill_nginx() {
    local workers
    kill -STOP "$ngx_pid"
    wait_for 10 is_stopped || not_ok "round $i: the master stops"
    workers=$(pgrep -P "$ngx_pid")
    # shellcheck disable=SC2086
    kill -KILL "$ngx_pid" $workers
}

alive=yes
for ((i = 1; i <= rounds && hs_failed == 0; i++)); do
    ngx_start a "$TMP/n" || break
    bg "$TMP/c1" stack wrk -t 1 -c 8 -d 30 http://$S4:8080/big
    c1=$bg_pid
    bg "$TMP/c2" in_k wrk -t 1 -c 4 -d 30 http://$S4:8080/big
    c2=$bg_pid
    bg "$TMP/c3" stack "$ECHO" -f -N -n 5 -b 3000000 client $S4 8080
    c3=$bg_pid
    # Into the middle of the traffic: when the sessions of the clients are there.
    busy() { [ "$(app_count a sessions)" -ge 12 ]; }
    wait_for 5 busy
    case $((i % 3)) in
    0) kill -KILL "$(pgrep -P "$ngx_pid" | head -n 1)" ;; # the master starts another one
    1) kill -KILL "$c1" ;;
    2) kill_nginx ;;
    esac
    kill -KILL "$c1" "$c2" "$c3" 2>/dev/null
    if [ $((i % 3)) != 2 ]; then
        # what is left of nginx still serves
        answers() { TMO=3 stack curl -s -o /dev/null http://$S4:8080/; }
        wait_for 10 answers || not_ok "round $i: nginx serves after the kill"
        kill_nginx
    fi
    wait "$ngx_pid" "$c1" "$c2" "$c3" 2>/dev/null
    hs_pids=("$(server_pid a)")
    if ! wait_for 10 counts_are "$before"; then
        not_ok "round $i: nothing is left in the server" "before $before"$'\n'"after  $(server_counts a)"
    fi
    server_alive a || { alive=no; break; }
done
check_eq "the server lived through it" "$alive" yes
check_eq "rounds without a trace in the server" $((i - 1)) "$rounds"
finish
