#!/bin/bash
# three.sh - three servers in a row, joined by memif: neighbours reach each other, the one in the middle forwards nothing and counts it
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq
make_ns "$NS_S"
L4=10.79.0.1 L6=fd79::1 C4=10.79.0.3 C6=fd79::3 # of the middle's other side, of the third
memif() { printf 'port %s { device net_memif0,role=%s,id=0,socket=%s,socket-abstract=no,mac=%s }\n' "$1" "$2" "$TMP/$3.sock" "$4"; }
{
    conf_head b
    printf 'port left { device net_memif0,role=server,id=0,socket=%s,socket-abstract=no,mac=02:00:00:00:77:02 }\n' "$TMP/ab.sock"
    printf 'port right { device net_memif1,role=server,id=0,socket=%s,socket-abstract=no,mac=02:00:00:00:79:01 }\n' "$TMP/bc.sock"
    conf_addrs left $K4 $K6
    conf_addrs right $L4 $L6
} >"$TMP/b.conf"
{ conf_head a; memif p0 client ab 02:00:00:00:77:01; conf_addrs p0 $S4 $S6; printf 'route 10.79.0.0/24 via %s\nroute fd79::/64 via %s\n' $K4 $K6; } >"$TMP/a.conf"
{ conf_head c; memif p0 client bc 02:00:00:00:79:03; conf_addrs p0 $C4 $C6; printf 'route 10.77.0.0/24 via %s\nroute fd77::/64 via %s\n' $L4 $L6; } >"$TMP/c.conf"
for s in b a c; do server_start $s "$NS_S"; done
stack_a() { spre a "$@"; }
stack_b() { spre b "$@"; }
stack_c() { spre c "$@"; }
serve() { # SIDE ADDRESS PORT
    bg "$TMP/srv.$2.$3" "$1" "$ECHO" server "$2" "$3"
    wait_for 10 listening "$TMP/srv.$2.$3" || not_ok "the server at $2 listens" "$(cat "$TMP/srv.$2.$3")"
}
reach() { TMO=5 "$1" "$ECHO" -b 100000 client "$2" "$3"; }
lost() { ! HS_PATIENCE=1 TMO=1 "$1" "$ECHO" -b 10 client "$2" "$3"; }
not_forwarded() { ctl b --json show errors | jq '[.[] | select(.reason | test("hosts do not forward")) | .count] | add // 0'; }
has_more() { [ "$(not_forwarded)" -gt "$before" ]; }
for f in 4 6; do
    k=K$f l=L$f c=C$f
    serve stack_b "${!k}" 7001
    serve stack_b "${!l}" 7001
    serve stack_c "${!c}" 7001
    check "v$f: the first reaches the middle" wait_for 20 reach stack_a "${!k}" 7001
    check "v$f: the third reaches the middle" wait_for 20 reach stack_c "${!l}" 7001
    check "v$f: the first reaches the middle's other address" reach stack_a "${!l}" 7001
    check "v$f: the middle reaches the third" reach stack_b "${!c}" 7001
    before=$(not_forwarded)
    check "v$f: the first does not reach the third" lost stack_a "${!c}" 7001
    is_counted() { lost stack_a "${!c}" 7001; has_more; }
    check "v$f: the middle counts it" wait_for 30 is_counted
done
opens=$(ctl c --json show tcp | jq -c 'map([.passive_opens, .half_open]) | transpose | map(add)')
check_eq "nothing has come to the third from the first: opened by the middle, by others" "$opens" '[2,0]'
for s in a b c; do server_alive $s && ok "server $s lives" || not_ok "server $s lives"; done
finish
