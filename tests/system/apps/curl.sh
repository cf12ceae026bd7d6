#!/bin/bash
# curl.sh - curl: pages, many in parallel, upload, ranges, a port where nobody is
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin nginx curl
web_servers 8080
parallel_same() { # all of 50 copies, fetched 20 at a time
    local i
    rm -rf "$TMP/many"
    mkdir "$TMP/many"
    "$client" curl -sS --parallel --parallel-max 20 -o "$TMP/many/#1" "http://$host:8080/big?[1-50]" || return 1
    for ((i = 1; i <= 50; i++)); do cmp "$TMP/many/$i" "$WEB_BIG" || return 1; done
}
refused() { "$client" curl -sS "http://$host:9/" 2>&1; [ $? = 7 ]; }
cases() {
    way_check "gets a page" same_as "$WEB_PAGE" "$client" curl -sS "http://$host:8080/"
    way_check "gets 1 MB" same_as "$WEB_BIG" "$client" curl -sS "http://$host:8080/big"
    way_check "gets the middle of it" same_as <(tail -c +500001 "$WEB_BIG" | head -c 1000) \
        "$client" curl -sS -r 500000-500999 "http://$host:8080/big"
    way_check "gets 50 in parallel" parallel_same
    way_check "is refused where nobody listens" refused
}
each_way_out cases
app_end
