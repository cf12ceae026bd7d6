#!/bin/bash
# wget.sh - wget: pages, a continued download, several files on one connection
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin nginx curl wrk wget
web_servers 8080
continued() {
    head -c 300000 "$WEB_BIG" >"$TMP/part"
    "$client" wget -q -c -O "$TMP/part" "http://$host:8080/big" && cmp "$TMP/part" "$WEB_BIG"
}
several() { # ten times the same page on a kept connection, one after the other
    local url=http://$host:8080/
    "$client" wget -q -O - $url $url $url $url $url $url $url $url $url $url | sort | uniq -c | grep -q '^ *10 '
}
cases() {
    way_check "gets a page" same_as "$WEB_PAGE" "$client" wget -q -O - "http://$host:8080/"
    way_check "gets 1 MB" same_as "$WEB_BIG" "$client" wget -q -O - "http://$host:8080/big"
    way_check "continues a download" continued
    way_check "gets several on one connection" several
}
each_way_out cases
app_end
