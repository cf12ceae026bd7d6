# shellcheck shell=bash
# calls_lib.sh - a probe that makes calls on connections to a peer of its own, over the kernel and over the stack (sourced): what it says must be the
# same
#
# Who sources it says what PROBE is, at which port it begins (port), and the two functions
#   run WHERE PEER-WHERE PEER-ADDRESS OWN-ADDRESS NOWHERE    lets it make its calls
#   same WHAT                                                says whether that was as over the kernel

need_root
need_stack
veth_server
N4=10.77.0.99 N6=fd77::99 # nobody has these
is_ready() { grep -q ready "$1"; }
peer_begin() { # WHERE ADDRESS: $peer
    port=$((port + 1))
    bg "$TMP/peer.$port" "$1" "$PROBE" peer "$2" $port
    peer=$bg_pid
    wait_for 60 is_ready "$TMP/peer.$port" || not_ok "the peer listens" "$(cat "$TMP/peer.$port")"
}
same_text() { # WHAT TEXT AS
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "$(diff <(printf '%s\n' "$3") <(printf '%s\n' "$2"))"; fi
}
run_kernel() { run in_k in_k 127.0.0.1 127.0.0.1 $N4; }
run_stack() { # every way that the stack has
    local f s k n
    run stack stack 127.0.0.1 127.0.0.1 $N4
    same "loopback, cut-through"
    for f in 4 6; do
        s=S$f k=K$f n=N$f
        run stack in_k "${!k}" "${!s}" "${!n}"
        same "v$f: over a port"
        run global global "${!s}" "${!s}" "${!n}"
        same "v$f: through the stack's TCP"
    done
    server_alive a && ok "the server lives" || not_ok "the server lives"
}
