#!/bin/bash
# scribbler.sh - a program rewrites and removes what it has written while the server sends it, from where it lies: its peer gets as many
# bytes, each of them one that the program had put there, and an honest program beside it notices nothing
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
need_root
need jq python3
need_stack
only_hoststack
mib=256
veth_server
attached_port() { ctl a --json show interface | jq -e '[.. | .offloads? // empty | .[]] | index("tx-attached")'; }
check "the packet port takes attached memory" attached_port

cat >"$TMP/sink.py" <<'SINK'
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("listens", flush=True)
c, _ = s.accept()
buf, total, changed = bytearray(1 << 20), 0, 0
while n := c.recv_into(buf):
    total += n
    got = bytes(buf[:n])
    changed += n - got.count(0xa5)
    if got.translate(None, b"\xa5\x5a\x00"):
        print("a byte of somebody else")
        sys.exit(1)
c.close()
print(total, changed)
SINK
serve_echo kecho in_k $K4 7001
bg "$TMP/honest" stack "$ECHO" -f -t 120 -n 3 -b 20000 client $K4 7001
rounds_of() { tail -n 1 "$1" | grep -E '^[0-9]+$' || echo 0; }
goes_on() { [ "$(rounds_of "$TMP/honest")" -gt "$1" ]; }
wait_for 15 goes_on 1 || bail "an honest neighbour works" "$(tail -n 3 "$TMP/honest")"
port=7100
for addr in $K4 $K6; do
    port=$((port + 1))
    bg "$TMP/sink" in_k python3 "$TMP/sink.py" $addr $port
    sink=$bg_pid
    listens() { grep -q listens "$TMP/sink"; }
    wait_for 10 listens || bail "the sink listens" "$(cat "$TMP/sink")"
    was=$(rounds_of "$TMP/honest")
    TMO=60 check "$addr: $mib MiB are sent while they change" stack "$top_builddir/tests/hostile/scribbler" $addr $port $mib
    wait_for 10 pid_gone "$sink" || true
    read -r total changed < <(tail -n 1 "$TMP/sink")
    check_eq "$addr: all bytes came, none of somebody else" "$total" $((mib << 20))
    check "$addr: some were changed on their way ($changed)" [ "${changed:-0}" -gt 0 ]
    check "$addr: the honest neighbour goes on" wait_for 15 goes_on "$was"
done
check "the memory cannot be cut off" grep -q sealed <(TMO=60; bg "$TMP/sink" in_k python3 "$TMP/sink.py" $K4 7110; wait_for 10 listens
    stack "$top_builddir/tests/hostile/scribbler" $K4 7110 1)
check "the server lives" server_alive a
finish
