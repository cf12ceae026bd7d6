# shellcheck shell=bash
# lib.sh - a server, and races over it: races_run NAME ARG... in the environment of `stack` (cut-through) and `global` (TCP inside the server)
. "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"
RACES=${RACES:-$top_builddir/tests/races/races}
seconds=${RACES_SECONDS:-5} seed=${RACES_SEED:-$((RANDOM + 1))}
need_root
need jq
need_stack
only_hoststack

# races_run NAME HOW A4 A6
races_run() {
    local what=$1 how=$2 empty
    shift 2
    empty=$(server_counts a)
    check "$what: all calls return" "$how" "$RACES" "$@" "$seconds" "$seed" || diag "RACES_SEED=$seed"
    has_left() { [ "$(server_counts a)" = "$empty" ]; }
    wait_for 20 has_left && ok "$what: nothing is left in the server" || not_ok "$what: nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
}
races_all() {
    veth_server
    races_run cut-through stack 127.0.0.1 ::1
    races_run 'cut-through, an address of the port' stack $S4 $S6
    races_run 'TCP inside the server' global $S4 $S6
    check 'threads that ask a connection get the answers to their own questions' global "$RACES" ask $S4 $S6 2000
}
