#!/bin/bash
# globals.sh - the libraries hold no data that is written after start-up but what is listed here with its reason
. "${top_srcdir:?}/tests/lint/lib.sh"

command -v nm >/dev/null || { printf '1..0 # SKIP skipped: no nm here\n'; exit 0; }
lib=${top_builddir:?}/.libs/libhs_server.a
if [ ! -f "$lib" ]; then
    printf '1..0 # SKIP skipped: %s is not built\n' "$lib"
    exit 0
fi
# transport tables: one registration a process, before workers start
nm -A "$lib" 2>/dev/null | awk '$(NF-1) ~ /^[bBdDC]$/ { print $NF " in " $1 }' | sort -u |
    grep -vE '^(__odr_asan|\.L|__)|\.(sz|local)' |
    grep -vE '^(registered|transports|transport_table)(\.[0-9]+)? |^per_lcore_' |
    check "no mutable globals in the server"
finish
