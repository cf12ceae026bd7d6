#!/bin/bash
# soak-reload.sh - `nginx -s reload`, 1,000 times (RELOADS=), under wrk over the port and cut-through: no request fails, nothing is left
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq wrk nginx curl
need_stack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
reloads=${RELOADS:-1000}
topo_veth
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"
empty=$(server_counts a)
ngx_conf "$TMP/n" 8090 2
ngx_start a "$TMP/n" || finish
fds() { find "/proc/$ngx_pid/fd" -mindepth 1 -maxdepth 1 | wc -l; }
before=$(fds)

# A connection a request: who keeps connections must expect that a worker which ends closes them, on every stack.
# load WHAT COMMAND...: wrk again and again until $TMP/over is there; what it says of errors goes to $TMP/load.WHAT
load() {
    local what=$1 out=$TMP/wrk.$1 n=0
    shift
    : >"$TMP/load.$what"
    until [ -e "$TMP/over" ]; do
        "$@" wrk -t 1 -c 8 -d 5 --timeout 10 -H "Connection: close" "http://$S4:8090/" >"$out" 2>&1 || echo "wrk ended with $?" >>"$TMP/load.$what"
        wrk_clean "$out" || cat "$out" >>"$TMP/load.$what"
        n=$((n + $(wrk_requests "$out")))
        echo $n >"$TMP/requests.$what"
    done
}
load port in_k & loads=$!
load local spre a & loads+=" $!"
# The new workers are there, and those of before take no connections any more: the state that a reload is to reach.
newest() { ngx_workers_ids | sort -n | tail -n 1; }
ngx_workers_ids() { pgrep -P "$ngx_pid"; }
renewed() { [ "$(newest)" != "$last" ] && [ "$(ngx_workers_ids | wc -l)" -ge 2 ]; }
done_n=0
for ((i = 0; i < reloads; i++)); do
    last=$(newest)
    kill -HUP "$ngx_pid" || break
    wait_for 30 renewed || { not_ok "reload $i: new workers" "$(tail -n 15 "$TMP/n/logs/error.log")"; break; }
    [ ! -s "$TMP/load.port" ] && [ ! -s "$TMP/load.local" ] || break
    done_n=$((done_n + 1))
done
: >"$TMP/over"
# shellcheck disable=SC2086
wait $loads
check_eq "reloads" "$done_n" "$reloads"
for w in port local; do
    [ ! -s "$TMP/load.$w" ] && [ "$(cat "$TMP/requests.$w")" -gt 0 ] && ok "$w: $(cat "$TMP/requests.$w") requests, none failed" ||
        not_ok "$w: no request fails" "$(head -n 20 "$TMP/load.$w")"
done
two_workers() { [ "$(ngx_workers)" = 2 ]; }
wait_for 60 two_workers && ok "the workers of before have ended" || not_ok "the workers of before have ended" "$(ps --ppid "$ngx_pid" -o pid,etimes,args)"
as_before() { [ "$(fds)" = "$before" ]; } # a worker's channel is closed when the master has been told that it has ended
wait_for 20 as_before
check_eq "descriptors of the master" "$(fds)" "$before"
end_pid "$ngx_pid" QUIT
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 60 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
