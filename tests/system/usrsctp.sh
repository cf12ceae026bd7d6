# shellcheck shell=bash
# usrsctp.sh - tests with usrsctp as the peer (sourced instead of lib.sh): both programs, the veth pair, the kernel kept quiet
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need nft
PEER=$top_builddir/tests/system/usrsctp_peer PROBE=$top_builddir/tests/system/sctp_probe
[ -x "$PEER" ] || skip_all "usrsctp was not there when this was built"
topo_veth
# usrsctp reads from a raw socket. Is that one's buffer full, the kernel says that nobody speaks SCTP there, and we believe it.
keep_kernel_quiet() {
    in_k nft -f - <<'NFT' || bail "the kernel's word about SCTP can be kept back"
table inet quiet {
    chain out {
        type filter hook output priority 0
        icmp type destination-unreachable icmp code prot-unreachable drop
        icmpv6 type parameter-problem drop
    }
}
NFT
}
# lose MATCH: such packets between the stack and usrsctp do not arrive. Those of usrsctp go into a device that leads nowhere: a loss,
# and no error of its socket.
lose() {
    ip -n "$NS_K" link add nowhere type veth peer name nobody || bail "a device that leads nowhere can be made"
    ip -n "$NS_K" link set nowhere up
    in_k nft -f - <<NFT || bail "packets can be lost"
table netdev lossy {
    chain in { type filter hook ingress device vk0 priority 0; $* drop; }
    chain out { type filter hook egress device vk0 priority 0; $* fwd to nowhere; }
}
NFT
}
# we_call WHAT ADDRESS-OF-THE-PEER PORT
we_call() {
    local log=$TMP/peer.$3 pid out
    TMO=60 bg "$log" in_k "$PEER" serve "$2" "$3"
    pid=$bg_pid
    wait_for 10 grep -q listening "$log" || not_ok "usrsctp listens at $2" "$(cat "$log")"
    if out=$(TMO=60 spre a "$PROBE" call "$2" "$3" 2>&1); then ok "$1"; else not_ok "$1" "$(tail -n 8 <<<"$out")"; fi
    wait_for 10 pid_gone "$pid"
    check "and usrsctp had all of them, $2" grep -q 'echoed 90' "$log"
}
# it_calls WHAT OUR-ADDRESS PORT COUNT SIZE
it_calls() {
    local log=$TMP/serve.$3 pid out
    TMO=90 bg "$log" spre a "$PROBE" serve "$2" "$3"
    pid=$bg_pid
    wait_for 10 grep -q ready "$log" || not_ok "we listen at $2" "$(cat "$log")"
    out=$(TMO=80 in_k "$PEER" call "$2" "$3" "$4" "$5" 2>&1)
    check_eq "$1" "$(tail -n 1 <<<"$out")" "checked $4" || diag "$(tail -n 5 "$log")"
    wait_for 10 pid_gone "$pid"
    check "and the association ends in order, $2 $5" grep -q '^ok 1 - the association ends in order' "$log"
}
