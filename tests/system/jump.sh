#!/bin/bash
# jump.sh - signal handlers in the middle of calls on sockets of the stack: they may jump out, and make such calls themselves
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/calls_lib.sh
. "$(dirname "$0")/calls_lib.sh"
PROBE=$top_builddir/tests/system/jump_probe
port=7400
run() { # what came of it, in $out
    peer_begin "$2" "$3"
    out=$(TMO=200 "$1" "$PROBE" try "$3" $port "$4" "$5" 2>&1) || out+=$'\n'"exit $?"
    end_pid "$peer"
}
same() { same_text "$1" "$out" "$want"; }
run_kernel
want=$out
check_eq "the kernel: every case ends" "$(wc -l <<<"$want")" 51
check_eq "the kernel: nothing is wrong" "$(grep -cE 'NOT|LEFT' <<<"$want")" 0
run_stack
finish
