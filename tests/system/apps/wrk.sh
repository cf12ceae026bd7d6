#!/bin/bash
# wrk.sh - wrk: kept connections, a connection a request, big pages; threads
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin nginx curl wrk
web_servers 8080
cases() {
    local url=http://$host:8080
    export WRK_RUNS=1
    wrk_case "$way: kept connections" "$client" 500 "$url/" 64
    wrk_case "$way: a connection a request" "$client" 200 "$url/" 16 -H 'Connection: close'
    wrk_case "$way: 1 MB pages" "$client" 20 "$url/big" 8
}
each_way_out cases
app_end
