#!/bin/bash
# ab.sh - ApacheBench: requests with and without kept connections, uploads of 100 KB
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin nginx curl wrk ab
web_servers 8080
ab_clean() { # REQUESTS OPTION...
    local n=$1 out
    shift
    out=$("$client" ab -q -n "$n" "$@" 2>&1) || { echo "$out"; return 1; }
    grep -q "^Complete requests: *$n\$" <<<"$out" && grep -q '^Failed requests: *0$' <<<"$out" || { echo "$out"; return 1; }
}
cases() {
    way_check "a connection a request" ab_clean 2000 -c 20 "http://$host:8080/"
    way_check "kept connections" ab_clean 5000 -c 20 -k "http://$host:8080/"
    way_check "1 MB pages" ab_clean 50 -c 5 "http://$host:8080/big"
}
each_way_out cases
app_end
