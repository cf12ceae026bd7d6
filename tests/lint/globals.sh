#!/bin/bash
# globals.sh - the libraries hold no data that is written after start-up but what is listed here with its reason
. "${top_srcdir:?}/tests/lint/lib.sh"

command -v objdump >/dev/null || { printf '1..0 # SKIP skipped: no objdump here\n'; exit 0; }
lib=${top_builddir:?}/.libs/libhs_server.a
if [ ! -f "$lib" ] || grep -q 'fsanitize' "$top_builddir/Makefile"; then
    printf '1..0 # SKIP skipped: needs the build without sanitizers\n'
    exit 0
fi
# .data.rel.ro holds constants with addresses in them; everything else named .data or .bss can be written.
# Allowed: the list of registered transports (one registration a process, before workers start).
objdump -t "$lib" 2>/dev/null | awk '
    /:     file format/ { file = $1; sub(/:$/, "", file) }
    NF >= 3 && $(NF-2) ~ /^\.(data|bss|tbss|tdata)/ && $(NF-2) !~ /^\.data\.rel\.ro/ && $NF !~ /^\./ { print $NF " in " file }' | sort -u |
    grep -vE '^(registered|transports|transport_table|registry)(\.[0-9]+)? |^per_lcore_' |
    check "no mutable globals in the server"
{ [ "$(objdump -t "$lib" 2>/dev/null | grep -c ' F .text')" -gt 100 ] || echo "objdump shows no functions"; } |
    check "the objects were looked at"
finish
