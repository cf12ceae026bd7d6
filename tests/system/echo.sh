#!/bin/bash
# echo.sh - TCP and UDP echo with every byte checked: both directions over the port, and cut-through; v4 and v6
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
topo_veth
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"

port=7000
# pair NAME SERVER-SIDE CLIENT-SIDE ADDRESS: all clients of one way and family
pair() {
    local what=$1 srv=$2 cli=$3 addr=$4 pid
    port=$((port + 1))
    bg "$TMP/srv.$port" "$srv" "$ECHO" server "$addr" $port
    pid=$bg_pid
    wait_for 5 listening "$TMP/srv.$port" || { not_ok "$what: TCP server listens" "$(cat "$TMP/srv.$port")"; return; }
    check "$what: TCP, blocking, 5 connections of 300,000 bytes" "$cli" "$ECHO" -n 5 -b 300000 client "$addr" $port
    check "$what: TCP, non-blocking, 30 connections of 200,000 bytes at once" "$cli" "$ECHO" -N -n 30 -b 200000 client "$addr" $port
    check "$what: TCP, one connection of 20 MB" "$cli" "$ECHO" -N -b 20000000 client "$addr" $port
    check "$what: TCP, 200 connections of 1 byte" "$cli" "$ECHO" -n 200 -b 1 client "$addr" $port
    check "$what: TCP, a connection without a byte" "$cli" "$ECHO" -b 0 client "$addr" $port
    end_pid "$pid"
    bg "$TMP/srv.u$port" "$srv" "$ECHO" -u server "$addr" $port
    pid=$bg_pid
    wait_for 5 listening "$TMP/srv.u$port" || { not_ok "$what: UDP server listens" "$(cat "$TMP/srv.u$port")"; return; }
    check "$what: UDP, 50 datagrams of 1,000 bytes" "$cli" "$ECHO" -u -n 50 -b 1000 client "$addr" $port
    check "$what: UDP, datagrams of no byte" "$cli" "$ECHO" -u -n 3 -b 0 client "$addr" $port
    check "$what: UDP, datagrams of 5,000 bytes (fragments)" "$cli" "$ECHO" -u -n 5 -b 5000 client "$addr" $port
    end_pid "$pid"
}
stack() { spre a "$@"; }
for f in 4 6; do
    s=S$f k=K$f
    pair "kernel to stack v$f" stack in_k "${!s}"
    pair "stack to kernel v$f" in_k stack "${!k}"
    pair "cut-through v$f" stack stack "${!s}"
done
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
