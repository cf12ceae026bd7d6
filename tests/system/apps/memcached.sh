#!/bin/bash
# memcached.sh - memcached with four threads: every value set from many connections comes back; memcslap
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin memcached "$PYTHON"
app_start "$TMP/memcached.out" stack memcached -u root -l "$S4,$S6" -p 11211 -U 11211 -t 4 -m 128 -I 2m
app_ready memcached 11211 "$TMP/memcached.out"
slap() { # TEST
    local out
    out=$("$client" memcslap --servers="$host:11211" --concurrency=8 --execute-number=2000 --test="$1" 2>&1) || { echo "$out"; return 1; }
    grep -q '^Time total' <<<"$out" || { echo "$out"; return 1; }
}
cases() {
    way_check "32 connections set, get, append, increment, delete" "$client" "$PYTHON" "$APPS_DIR/memcached_load.py" "$addr" 11211 32 200
    if command -v memcslap >/dev/null; then
        way_check "memcslap sets" slap set
        way_check "memcslap gets" slap get
    fi
}
each_way_in cases
app_end
