#!/bin/bash
# shared-options.sh - options and O_NONBLOCK of a socket that changes hands, option by option as the kernel has them
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq python3
need_stack
only_hoststack
veth_server
who=$top_srcdir/tests/system/shared_options.py
ways='rights again self exec spawn'

# shared_options WHAT SIDE ADDRESS, with what the kernel says in $TMP/kernel.FAMILY
shared_options() {
    local family=4 out
    [[ $3 != *:* ]] || family=6
    out=$TMP/stack.$2.${3//:/_}
    # shellcheck disable=SC2086  # words
    if TMO=200 "$2" python3 "$who" all "$3" $ways >"$out" 2>"$out.err"; then
        check "$1" python3 "$who" same "$TMP/kernel.$family" "$out"
    else
        not_ok "$1" "$(tail -n 15 "$out.err")"
    fi
}
for a in 127.0.0.1 ::1; do
    [[ $a = *:* ]] && f=6 || f=4
    # shellcheck disable=SC2086
    TMO=200 in_k python3 "$who" all $a $ways >"$TMP/kernel.$f" || bail "the kernel's options, $a"
    shared_options "cut-through, $a" stack $a
done
for a in $S4 $S6; do
    shared_options "TCP inside the server, $a" global $a
done
check "nothing is left in the server" wait_for 30 server_is_empty a
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
