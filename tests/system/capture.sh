#!/bin/bash
# capture.sh - hoststackctl capture: pcapng of both directions with names, reasons of drops and filters; trace: stops of single packets
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq ping python3 tcpdump tshark capinfos
show() { python3 "$top_srcdir/tests/system/pcapng.py" "$1"; }
count() { show "$1" | grep -cE "$2"; }

for n in 1 2; do
    NS_S=$TAG-s$n NS_K=$TAG-k$n what="$n workers"
    topo_veth
    conf_packet a $n >"$TMP/a.conf"
    server_start a "$NS_S"
    cd "$TMP" || exit 1

    # The file is the caller's: its directory, its rights.
    check "$what: capture start, relative name" ctl a capture start "all$n.pcapng"
    check_eq "$what: only its owner reads it" "$(stat -c %a "all$n.pcapng")" 600
    if ctl a capture start other.pcapng >/dev/null 2>&1; then not_ok "$what: a second capture is refused"; else ok "$what: a second capture is refused"; fi
    [ ! -e other.pcapng ] && ok "$what: and leaves no file" || not_ok "$what: and leaves no file"
    for a in $S4 $S6; do check "$what: ping $a" in_k ping -c 5 -i 0.1 -W 20 "$a"; done
    # A datagram for a port that nobody has, an SCTP packet with a wrong checksum, a frame of no protocol.
    for a in $S4 $S6; do
        in_k python3 -c 'import socket,sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"x" * 100, (sys.argv[1], 4444))
s = socket.socket(s.family, socket.SOCK_RAW, 132)
s.sendto(b"\0\1\0\1" + bytes(16), (sys.argv[1], 0))' "$a"
    done
    in_k python3 -c 'import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("vk0", 0))
s.send(b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x88\xb5" + b"experimental" * 5)'
    dropped() { [ "$(ctl a --json show errors | jq '[.[] | select(.reason | test("protocol not served|nobody listens|^checksum wrong")) | .count] | add // 0')" -ge 5 ]; }
    check "$what: all are counted" wait_for 10 dropped
    check "$what: capture show" sh -c "'$CTL' -s '$TMP/a.run/cli.sock' capture show | grep -q 'all$n.pcapng'"
    check "$what: capture stop" ctl a capture stop
    f=all$n.pcapng
    check "$what: the format is kept" show $f
    check "$what: tcpdump reads it" tcpdump -nr $f
    check "$what: capinfos reads it" capinfos -M $f
    [ $n = 2 ] || check_eq "$what: tshark shows interface and reasons" "$(tshark -nr $f -Y '(udp.dstport == 4444 or sctp) and not icmp and not icmpv6' -T fields -e frame.interface_name -e frame.comment 2>/dev/null |
        tr '\t' ' ' | sort | uniq -c | sed 's/^ *//')" $'2 wire0 dropped: sctp: checksum wrong\n2 wire0 dropped: udp: nobody listens at the port'
    check_eq "$what: interface" "$(show $f | grep ^interface)" "interface wire0 linktype 1"
    check_eq "$what: nothing was missed" "$(show $f | grep ^statistics | sed 's/received [0-9]* //')" "statistics dropped 0"
    for f4 in 'icmp[icmptype] = icmp-echo' 'icmp[icmptype] = icmp-echoreply' 'icmp6[icmp6type] = icmp6-echo' 'icmp6[icmp6type] = icmp6-echoreply'; do
        check_eq "$what: five of $f4" "$(tcpdump -nr $f "$f4" 2>/dev/null | wc -l)" 5
    done
    [ "$(count $f ' in .*type (0800|86dd)')" -ge 12 ] && ok "$what: direction in" || not_ok "$what: direction in" "$(show $f)"
    [ "$(count $f ' out .*type (0800|86dd)')" -ge 10 ] && ok "$what: direction out" || not_ok "$what: direction out" "$(show $f)"
    check_eq "$what: reason of datagrams that nobody wants" "$(count $f 'comment dropped: udp: nobody listens at the port')" 2
    check_eq "$what: reason of SCTP packets with a wrong checksum" "$(count $f 'comment dropped: sctp: checksum wrong')" 2
    check_eq "$what: reason of the unknown protocol" "$(count $f '88b5 .* dropped: eth: protocol not served')" 1
    check_eq "$what: and answered ones have none" "$(show $f | grep -c 'len 98 .*dropped')" 0
    now=$(date +%s)
    check_eq "$what: times are of today" "$(show $f | awk -v n="$now" '/^packet/ { for (i = 1; i < NF; i++) if ($i == "time" && ($(i+1) < n - 300 || $(i+1) > n)) bad = 1 } END { print bad + 0 }')" 0

    # Filters, in the words of tcpdump; the file is one that was there, and longer.
    head -c 100000 /dev/zero >"f$n.pcapng"
    check "$what: capture with a filter" ctl a capture start "$TMP/f$n.pcapng" icmp6 and host "$K6"
    for a in $S4 $S6; do check "$what: ping $a" in_k ping -c 3 -i 0.1 -W 20 "$a"; done
    ctl a capture stop >/dev/null
    check_eq "$what: only what the filter wants" "$(count "f$n.pcapng" 'type 86dd'):$(count "f$n.pcapng" 'type 0800')" \
        "$(tcpdump -nr "f$n.pcapng" icmp6 2>/dev/null | wc -l):0"
    [ "$(count "f$n.pcapng" 'type 86dd')" -ge 6 ] && ok "$what: and all of it" || not_ok "$what: and all of it" "$(show "f$n.pcapng")"
    if ctl a capture start bad.pcapng no such filter >"$TMP/err" 2>&1; then not_ok "$what: a wrong filter is refused"; else ok "$what: a wrong filter is refused"; fi
    if ctl a capture start /dev/null >"$TMP/err" 2>&1; then not_ok "$what: a device is refused"; else ok "$what: a device is refused"; fi
    if ctl a capture stop >"$TMP/err" 2>&1; then not_ok "$what: nothing to stop is an error"; else ok "$what: nothing to stop is an error"; fi

    # TCP both ways under load, captured: the connection is complete in the file.
    ctl a capture start "t$n.pcapng" tcp port 7001 >/dev/null
    for side in 4 6; do
        addr=S$side
        bg "$TMP/srv" spre a "$ECHO" server "${!addr}" 7001
        srv=$bg_pid
        wait_for 10 listening "$TMP/srv" || not_ok "$what: server" "$(cat "$TMP/srv")"
        TMO=60 check "$what: TCP while it is captured, v$side" in_k "$ECHO" -b 100000 client "${!addr}" 7001
        end_pid "$srv"
    done
    ctl a capture stop >/dev/null
    # One that has gone again counts once.
    check_eq "$what: both SYN,ACK are there" "$(tcpdump -ntr "t$n.pcapng" 'tcp[13] = 18 or (ip6 and ip6[53] = 18)' 2>/dev/null | sed 's/, win.*//' | sort -u | wc -l)" 2

    # Stops of single packets.
    check "$what: trace add" ctl a trace add 50
    for a in $S4 $S6; do in_k ping -c 1 -W 20 "$a" >/dev/null; done
    in_k python3 -c 'import socket,sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 4445))
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(b"\0\1\0\1" + bytes(16), (sys.argv[1], 0))' $S4
    traced() { ctl a --json show trace | jq -e '[.[] | select(.stop == "udp" and (.verdict | test("^dropped: nobody listens")))] | length == 1'; }
    check "$what: the datagram's last stop says why" wait_for 10 traced
    traced_sctp() { ctl a --json show trace | jq -e '[.[] | select(.stop == "sctp" and (.verdict | test("^dropped: checksum wrong")))] | length == 1'; }
    check "$what: the SCTP packet's last stop says why" wait_for 10 traced_sctp
    # An echo: rx, ip, icmp, ip output, tx, all under one number.
    check_eq "$what: the stops of an echo" "$(ctl a --json show trace | jq -r '([.[] | select(.stop == "icmp" and (.verdict | test("type 8")))][0].packet) as $p
        | [.[] | select(.packet == $p) | .stop] | join(" ")')" "rx ip icmp ip output tx"
    check_eq "$what: and of one over IPv6" "$(ctl a --json show trace | jq -r '([.[] | select(.stop == "icmpv6" and (.verdict | test("type 128")))][0].packet) as $p
        | [.[] | select(.packet == $p) | .stop] | join(" ")')" "rx ip icmpv6 ip output tx"
    check "$what: trace clear" ctl a trace clear
    check_eq "$what: forgets" "$(ctl a --json show trace | jq length)" 0
    for bad in 0 1001 x ''; do
        if ctl a trace add $bad >/dev/null 2>&1; then not_ok "$what: trace add '$bad' is refused"; else ok "$what: trace add '$bad' is refused"; fi
    done
    # Ending with a capture under way: the file is complete.
    ctl a capture start "end$n.pcapng" >/dev/null
    in_k ping -c 2 -i 0.2 -W 20 $S4 >/dev/null
    server_stop a
    check_eq "$what: a server that ends ends its file" "$(show "end$n.pcapng" | grep -c ^statistics)" 1
done
finish
