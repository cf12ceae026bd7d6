#!/bin/bash
# mcast-source.sh - groups with filters of sources, v4 and v6: what is heard of the kernel, what IGMPv3 and MLDv2 say on the wire, errors as the kernel's
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3 tcpdump nft
PY=$(python3 -c 'import sys; print(sys.executable)')
P="$PY $top_srcdir/tests/system/mcast_source.py"
topo_veth
deafen
A4=$K4 B4=10.77.0.3 A6=$K6 B6=fd77::3
ip -n "$NS_K" addr add $B4/24 dev vk0
ip -n "$NS_K" addr add $B6/64 dev vk0 nodad
ip -n "$NS_K" route add default dev vk0
ip -n "$NS_K" -6 route add default dev vk0
conf_packet a >"$TMP/a.conf" # one worker: what is sent one after the other comes so
server_start a "$NS_S"
bg "$TMP/wire" in_k tcpdump --immediate-mode -U -w "$TMP/wire.pcap" -i vk0 'igmp or ip6'
wait_for 10 grep -q listening "$TMP/wire"
wire() { tcpdump -nr "$TMP/wire.pcap" -vv 2>/dev/null; }
groups() { ctl a --json show interface | jq -r '.[0].groups | sort | join(" ")'; }
tell() { # LINE: to the program, until it has done so; its result in $did
    local had
    had=$(grep -c '^did ' "$log")
    echo "$1" >&6
    has_done() { [ "$(grep -c '^did ' "$log")" -gt "$had" ]; }
    wait_for 20 has_done || not_ok "$what: $1" "$(cat "$log")"
    did=$(grep '^did ' "$log" | tail -n 1)
    did=${did#*: }
}
ticks=0
hears() { # LINE REPORT LETTERS: after that a report says so, and that is what is heard
    local line=${1//A/$a} report=${2//A/$a}
    line=${line//B/$b} report=${report//B/$b}
    tell "$line"
    check_eq "$what: $1" "$did" 0
    reported() { wire | grep -qF "[gaddr $g $report]"; }
    wait_for 20 reported || not_ok "$what: $1 is told as $2" "$(wire | grep gaddr | tail -n 5)"
    ticks=$((ticks + 1))
    # shellcheck disable=SC2086
    in_k $P say $g 7100 vk0 "$a=a$ticks" "$b=b$ticks" "$s=tick$ticks" || not_ok "$what: the kernel sends"
    wait_for 20 grep -q "^got tick$ticks " "$log" || not_ok "$what: the program reads on" "$(cat "$log")"
    check_eq "$what: $1: told as $2, and heard" "$(sed -n "s/^got \([ab]\)$ticks .*/\1/p" "$log" | sort | tr -d '\n')" "$3"
}
answered() { wire | grep -qF "[gaddr $g $1]"; }
asks() { # SOURCES ANSWER
    local sources=${1//A/$a} answer=${2//A/$a}
    sources=${sources//B/$b} answer=${answer//B/$b}
    in_k $P query $g vk0 "$sources" || not_ok "$what: a query is sent"
    check "$what: asked about '$1': $2" wait_for 20 answered "$answer"
}
for f in 4 6; do
    a=A$f b=B$f s=S$f what=v$f log=$TMP/walk.$f
    a=${!a} b=${!b} s=${!s}
    if [ $f = 4 ]; then g=239.1.2.3 basic=basic; else g=ff15::1234 basic=; fi
    mkfifo "$TMP/words.$f"
    exec 6<>"$TMP/words.$f"
    bg "$log" spre a bash -c "exec $P walk 7100 $g '' $basic <'$TMP/words.$f'"
    program=$bg_pid
    wait_for 15 listening "$log" || bail "$what: the program starts" "$(cat "$log")"
    hears "add A" "allow { A }" a
    check_eq "$what: show interface" "$(groups)" "$g include $a"
    hears "add B" "allow { B }" ab
    hears "drop A" "block { A }" b
    hears "drop B" "block { B }" ""
    check_eq "$what: left" "$(groups)" ""
    hears join "to_ex { }" ab
    hears "block A" "block { A }" b
    hears "set include A" "to_in { A }" a
    asks "A,B" "is_in { A }"
    hears "set exclude B" "to_ex { B }" a
    asks "" "is_ex { B }"
    check_eq "$what: show interface" "$(groups)" "$g exclude $b"
    tell get
    check_eq "$what: the filter reads back" "$did" "0 exclude 1 $b"
    hears leave "to_in { }" ""
    exec 6>&-
    end_pid "$program"
    for basic in basic ""; do
        kif=vk0
        [ -z "$basic" ] || kif=$K4
        [ "$f$basic" != 6basic ] || continue
        # shellcheck disable=SC2086
        in_k $P errors $g $kif $a $b $basic >"$TMP/errors.k" 2>&1
        # shellcheck disable=SC2086
        TMO=60 spre a $P errors $g "" $a $b $basic >"$TMP/errors.s" 2>&1
        if [ "$(wc -l <"$TMP/errors.k")" -gt 80 ] && diff -U0 "$TMP/errors.k" "$TMP/errors.s" >"$TMP/diff"; then ok "$what: results are the kernel's${basic:+, options of IPv4}"
        else not_ok "$what: results are the kernel's${basic:+, options of IPv4}" "$(cat "$TMP/diff"; tail -n 3 "$TMP/errors.k")"; fi
    done
done
finish
