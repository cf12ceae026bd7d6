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
