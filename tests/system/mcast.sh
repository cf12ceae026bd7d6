#!/bin/bash
# mcast.sh - groups and broadcasts between a program of the stack and the kernel, both ways, several sockets and workers; IGMP and MLD
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3 tcpdump nft
PY=$(python3 -c 'import sys; print(sys.executable)')
probe() { "$PY" "$top_srcdir/tests/system/mcast_probe.py" "$@"; }
export -f probe
P="$PY $top_srcdir/tests/system/mcast_probe.py"
G4=239.1.2.3 G6=ff15::1234
receivers=()
receiver() { # LOG SIDE... -- ARGS: a receiver, ready
    local log=$1
    shift
    rm -f "$log"
    bg "$log" "$@"
    receivers+=("$bg_pid")
    wait_for 15 listening "$log" || not_ok "receiver of $* is ready" "$(cat "$log")"
}
ended() { grep -q '^end ' "$1"; }
got() { # WHAT LOG N SENDER GROUP TTL: N datagrams and the last, with what the sender said
    if wait_for 20 ended "$2"; then ok "$1: they come"; else not_ok "$1: they come" "$(cat "$2")"; fi
    check_eq "$1: each once" "$(grep -c '^m' "$2")" "$3"
    check_eq "$1: with address, group and TTL" "$(grep '^m' "$2" | cut -d ' ' -f 2- | sort -u)" "$4 $5 ttl $6 tos 0"
    check_eq "$1: TTL and TOS of one datagram" "$(grep '^end' "$2")" "end $4 $5 ttl 7 tos 72"
}
stop_receivers() { for p in "${receivers[@]}"; do end_pid "$p"; done; receivers=(); }
groups() { ctl a --json show interface | jq -r '.[0].groups | sort | join(" ")'; }

for n in 1 2; do
    NS_S=$TAG-s$n NS_K=$TAG-k$n
    topo_veth
    # Sockets of any address are the kernel's, too, and it hears broadcasts on a device without addresses.
    deafen
    conf_packet a $n >"$TMP/a.conf"
    server_start a "$NS_S"
    in_k sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
    ip -n "$NS_K" route add default dev vk0
    bg "$TMP/wire.$n" in_k tcpdump --immediate-mode -U -w "$TMP/wire.$n.pcap" -i vk0 'igmp or ip6'
    dump=$bg_pid
    wait_for 10 grep -q listening "$TMP/wire.$n"
    for f in 4 6; do
        if [ $f = 4 ]; then g=$G4 any=0.0.0.0 s=$S4 k=$K4 kif=$K4 sif=$S4; else g=$G6 any=:: s=$S6 k=$K6 kif=vk0 sif=; fi
        what="$n workers, v$f"
        # Two receivers of the stack: any address, and bound to the group. A third has another port and must hear nothing.
        receiver "$TMP/r1" spre a $P recv 7100 $any $g
        receiver "$TMP/r2" spre a $P recv 7100 $g $g
        receiver "$TMP/r3" spre a $P recv 7101 $any ""
        check_eq "$what: show interface" "$(groups)" "$g"
        check "$what: the kernel sends" in_k $P send $g 7100 20 $kif 5
        got "$what: first receiver" "$TMP/r1" 20 $k $g 5
        got "$what: second receiver" "$TMP/r2" 20 $k $g 5
        stop_receivers
        no_groups() { [ -z "$(groups)" ]; }
        check "$what: who ends leaves the group" wait_for 10 no_groups
        # The other way, and to a receiver on the stack as well (IP_MULTICAST_LOOP).
        receiver "$TMP/k1" in_k $P recv 7102 $any $g $kif
        receiver "$TMP/r4" spre a $P recv 7102 $any $g
        check "$what: the stack sends" spre a $P send $g 7102 20 "$sif" 9
        from=$(cut -d ' ' -f 2 "$TMP/k1" | sed -n 2p)
        got "$what: the kernel receives" "$TMP/k1" 20 "$from" $g 9
        check_eq "$what: from an address of the stack" "$(ctl a --json show interface | jq "[.[0].addresses[].address | split(\"/\")[0]] | index(\"$from\") != null")" true
        got "$what: so does a program of the stack" "$TMP/r4" 20 "$from" $g 9
        stop_receivers
        receiver "$TMP/k2" in_k $P recv 7103 $any $g $kif
        receiver "$TMP/r5" spre a $P recv 7103 $any $g
        check "$what: without loop" spre a $P send $g 7103 3 "$sif" 1 0
        wait_for 20 ended "$TMP/k2" || not_ok "$what: the kernel receives without loop" "$(cat "$TMP/k2")"
        check "$what: with loop" spre a $P send $g 7103 1 "$sif" 1 1
        wait_for 20 ended "$TMP/r5" || not_ok "$what: the stack receives with loop" "$(cat "$TMP/r5")"
        check_eq "$what: nobody here heard what was sent without" "$(grep -c '^m' "$TMP/r5")" 1
        stop_receivers
        check_eq "$what: errors of setsockopt are the kernel's" "$(TMO=60 spre a $P errors $g "$sif")" "$(in_k $P errors $g $kif)"
        check_eq "$what: the third heard nothing" "$(wc -l <"$TMP/r3")" 1
    done
    # Broadcasts: every socket of the port.
    for to in 255.255.255.255 10.77.0.255; do
        receiver "$TMP/b1" spre a $P recv 7104 0.0.0.0 ""
        receiver "$TMP/b2" spre a $P recv 7104 0.0.0.0 ""
        check "$n workers: the kernel broadcasts to $to" in_k $P send $to 7104 5 $K4
        for b in b1 b2; do
            if wait_for 20 ended "$TMP/$b"; then ok "$n workers: $b hears it"; else not_ok "$n workers: $b hears it" "$(cat "$TMP/$b")"; fi
            check_eq "$n workers: $b hears each once" "$(grep -c '^m' "$TMP/$b")" 5
        done
        stop_receivers
    done
    # A querier of the kernel's: what we are in is answered, in its version.
    receiver "$TMP/q4" spre a $P recv 7105 0.0.0.0 $G4
    receiver "$TMP/q6" spre a $P recv 7105 :: $G6
    wire() { tcpdump -nr "$TMP/wire.$n.pcap" -vv 2>/dev/null; }
    joined4() { wire | grep -A2 "$S4 > 224.0.0.22" | grep -qE "gaddr ${G4//./\\.} to_ex"; }
    left4() { wire | grep -A2 "$S4 > 224.0.0.22" | grep -qE "gaddr ${G4//./\\.} to_in"; }
    joined6() { wire | grep -A3 'ff02::16' | grep -qE "gaddr $G6 to_ex"; }
    left6() { wire | grep -A3 'ff02::16' | grep -qE "gaddr $G6 to_in"; }
    for e in joined4 left4 joined6 left6; do
        if wait_for 10 $e; then ok "$n workers: report $e"; else not_ok "$n workers: report $e" "$(wire | grep -A3 -E 'igmp|multicast listener' | tail -40)"; fi
    done
    query() { # VERSION: IGMP and MLD queries from the kernel's end
        in_k "$PY" - "$1" <<'PY'
import socket, struct, sys
version = int(sys.argv[1])
def csum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
q = struct.pack("!BBH4s", 0x11, 5, 0, bytes(4)) + (bytes([2, 125, 0, 0]) if version == 3 else b"")
q = q[:2] + struct.pack("!H", csum(q)) + q[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.2"))
s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\0\0")
s.sendto(q, ("224.0.0.1", 0))
m = struct.pack("!BBHHH16s", 130, 0, 0, 300, 0, bytes(16)) + (bytes([2, 125, 0, 0]) if version == 3 else b"")
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("vk0"))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
s.sendto(m, ("ff02::1", 0))
PY
    }
    answered3() { wire | grep -A2 "$S4 > 224.0.0.22" | grep -qE "gaddr ${G4//./\\.} is_ex" && wire | grep -A3 'ff02::16' | grep -qE "gaddr $G6 is_ex"; }
    answered2() { wire | grep -A2 "$S4 > $G4" | grep -q 'igmp v2 report' && wire | grep -qE "> $G6:.*multicast listener report"; }
    query 3
    if wait_for 10 answered3; then ok "$n workers: a query is answered"; else not_ok "$n workers: a query is answered" "$(wire | tail -40)"; fi
    query 2
    if wait_for 10 answered2; then ok "$n workers: so is one of an older version"; else not_ok "$n workers: so is one of an older version" "$(wire | tail -40)"; fi
    stop_receivers
    end_pid "$dump"
    server_stop a
done
finish
