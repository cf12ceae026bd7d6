#!/bin/bash
# closed-early.sh - cut-through connections that are closed, shut down, aborted or left by a program that dies before anybody accepts them
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need jq python3
need_stack
conf_head a >"$TMP/a.conf"
server_start a ''
empty=$(server_counts a)
for a in 127.0.0.1 ::1; do
    for mode in back connect workers; do
        check_eq "$mode, $a" "$(TMO=60 pre a python3 "$top_srcdir/tests/system/closed_early.py" "$a" $mode 2>&1)" ok
    done
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
