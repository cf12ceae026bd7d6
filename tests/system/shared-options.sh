#!/bin/bash
# shared-options.sh - options and O_NONBLOCK of a socket that changes hands, or that a parent and its children hold: option by option as the
# kernel has them
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq python3
need_stack
only_hoststack
veth_server
who=$top_srcdir/tests/system/shared_options.py
ways='rights again self exec spawn child parent siblings grandchild' over_tcp='rights self child parent siblings'

shared_options() { # WHAT SIDE ADDRESS WAY...
    local lo=127.0.0.1 out=$TMP/stack.$2.${3//:/_}
    [[ $3 != *:* ]] || lo=::1
    TMO=200 in_k python3 "$who" all $lo "${@:4}" >"$out.kernel" || bail "the kernel's options, $lo"
    if TMO=200 "$2" python3 "$who" all "${@:3}" >"$out" 2>"$out.err"; then
        check "$1" python3 "$who" same "$out.kernel" "$out"
    else
        not_ok "$1" "$(tail -n 15 "$out.err")"
    fi
}
# shellcheck disable=SC2086  # words
for a in 127.0.0.1 ::1; do
    shared_options "cut-through, $a" stack $a $ways
done
# shellcheck disable=SC2086
for a in $S4 $S6; do
    shared_options "TCP inside the server, $a" global $a $over_tcp
done
check "nothing is left in the server" wait_for 30 server_is_empty a
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
