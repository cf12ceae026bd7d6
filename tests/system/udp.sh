#!/bin/bash
# udp.sh - UDP against the kernel with one and several workers: sockets of all kinds find their datagrams, fragments, path MTU, none without
# checksum over IPv6 but for who asked for it, over IPv4 as the sender says
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
PROBE=$top_builddir/tests/system/udp_probe
B4=10.77.0.7 B6=fd77::7
serve() { # SIDE ADDRESS PORT: UDP echo, id in $bg_pid
    bg "$TMP/srv.$2.$3" "$1" "$ECHO" -u server "$2" "$3"
    wait_for 5 listening "$TMP/srv.$2.$3" || not_ok "the server at $2 $3 listens" "$(cat "$TMP/srv.$2.$3")"
    served+=("$bg_pid")
}
stack() { spre a "$@"; }
probe() { # SIDE MODE HOST SIZE
    TMO=30 "$1" "$PROBE" "$2" "$3" 7000 "$4" 2>&1
}
# RFC 6936: a receiver without the option and one with it, at an address of side TO
bare() { # WHAT FROM TO ADDRESS
    local on pids=() said
    for on in 0 1; do
        TMO=20 bg "$TMP/bare$on" "$3" "$PROBE" bare-recv "$4" 701$on $on
        pids+=("$bg_pid")
        wait_for 5 listening "$TMP/bare$on" || not_ok "$1: the receiver is ready" "$(cat "$TMP/bare$on")"
    done
    said=$(for on in 0 1; do TMO=20 "$2" "$PROBE" bare-send "$4" 701$on 0 2>&1; done)
    wait "${pids[@]}"
    check_eq "$1: no pieces without checksum" "$said" $'Invalid argument\nInvalid argument'
    check_eq "$1: without checksum nothing comes, with the option it does" "$(tail -qn 1 "$TMP/bare0" "$TMP/bare1")" $'2\n12'
}
# Over IPv4 (SO_NO_CHECK) each receiver takes both: a raw socket tells them apart.
bare_look() { # WHAT ADDRESS
    TMO=20 bg "$TMP/look" in_k "$PROBE" bare-look "$2" 7013 0
    local pid=$bg_pid said
    wait_for 5 listening "$TMP/look" || not_ok "$1: the raw socket is ready" "$(cat "$TMP/look")"
    said=$(TMO=20 stack "$PROBE" bare-send "$2" 7013 0 2>&1)
    wait "$pid"
    check_eq "$1: no pieces without checksum over IPv4" "$said" "Invalid argument"
    check_eq "$1: over IPv4 one without checksum, then one with it" "$(tail -n 1 "$TMP/look")" "1-2"
}

for n in 1 2 3; do
    NS_S=$TAG-s$n NS_K=$TAG-k$n served=()
    topo_veth
    topo_router 1300
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" addr add $B4/24 dev vs0
        ip -n "$NS_S" addr add $B6/64 dev vs0 nodad
    fi
    {
        conf_head a $n
        printf 'port wire0 { device packet iface=vs0  rx-queues %s }\n' $n
        printf 'interface wire0 { address %s/24  address %s/24  address %s/64  address %s/64  no-dad }\n' $S4 $B4 $S6 $B6
        printf 'route 0.0.0.0/0 via %s\nroute ::/0 via %s\n' $K4 $K6
    } >"$TMP/a.conf"
    server_start a "$NS_S"
    for f in 4 6; do
        s=S$f k=K$f b=B$f r=R$f
        if [ $f = 4 ]; then any=0.0.0.0; else any=::; fi
        what="$n workers, v$f"
        serve stack "${!s}" 7001       # one address each, the same port
        serve stack "${!b}" 7001
        serve stack "$any" 7002
        serve in_k "$any" 7003
        serve in_r "$any" 7000
        export TMO=20
        check "$what: 60 peers of a socket at one address" in_k "$ECHO" -u -n 60 -b 100 client "${!s}" 7001
        check "$what: and of another at the other address" in_k "$ECHO" -u -n 60 -b 100 client "${!b}" 7001
        check "$what: 60 peers of a wildcard socket" in_k "$ECHO" -u -n 60 -b 100 client "${!s}" 7002
        check "$what: 60 connected sockets" stack "$ECHO" -u -n 60 -b 100 client "${!k}" 7003
        check "$what: fragments in and out, wildcard socket" in_k "$ECHO" -u -n 20 -b 6000 client "${!s}" 7002
        check "$what: fragments in and out, connected sockets" stack "$ECHO" -u -n 20 -b 6000 client "${!k}" 7003
        check "$what: between two programs of the stack" stack "$ECHO" -u -n 20 -b 3000 client "${!s}" 7001
        unset TMO
        # As the kernel does over the same path; IPv4 tells a connected socket also when it may cut.
        check_eq "$what: DF and too large for the path: EMSGSIZE" "$(probe stack do "${!r}" 1400)" "emsgsize=1 reply=0 mtu=1300"
        check_eq "$what: cut to what the path takes" "$(probe stack want "${!r}" 1400 | sed 's/emsgsize=.//')" " reply=1 mtu=1300"
        check_eq "$what: DF and small enough" "$(probe stack do "${!r}" 1200)" "emsgsize=0 reply=1 mtu=1300"
        check_eq "$what: DF and larger than the interface" "$(probe stack do "${!k}" 1600 | sed 's/mtu=.*//')" "emsgsize=1 reply=0 "
        if [ $f = 6 ]; then
            bare "$what: from the kernel" in_k stack "${!s}"
            bare "$what: to the kernel" stack in_k "${!k}"
        else
            bare_look "$what: to the kernel" "${!k}"
        fi
        for p in "${served[@]}"; do end_pid "$p"; done
        served=()
    done
    server_alive a && ok "$n workers: the server lives" || not_ok "$n workers: the server lives"
    server_stop a
done
finish
