#!/bin/bash
# cancel.sh - pthread_cancel() of threads in calls on sockets of the stack: they end as they do on the kernel, and nothing of them is left
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/calls_lib.sh
. "$(dirname "$0")/calls_lib.sh"
PROBE=$top_builddir/tests/system/cancel_probe
port=7300
run() { # what became of the calls, in $out; of a thousand, in $many
    peer_begin "$2" "$3"
    out=$(TMO=200 "$1" "$PROBE" try "$3" $port "$4" "$5" 2>&1)
    many=$(TMO=200 "$1" "$PROBE" many "$3" $port "$4" "$5" 2>&1)
    end_pid "$peer"
}
NOTHING_LEFT=$'descriptors 0 more\nconnections 0'
same() {
    same_text "$1: every call" "$out" "$want"
    check_eq "$1: nothing is left of 1,000 cancelled threads" "$many" "$NOTHING_LEFT"
}
run_kernel
want=$out
check_eq "the kernel: calls made" "$(grep -c 'ready: .*closed' <<<"$want")" 37
check_eq "the kernel: nothing is left" "$many" "$NOTHING_LEFT"
run_stack
finish
