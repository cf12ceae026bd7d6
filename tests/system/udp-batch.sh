#!/bin/bash
# udp-batch.sh - sendmmsg, recvmmsg and UDP_SEGMENT: a batch costs about one message between program and server, not one for each datagram;
# sockets that share a port (SO_REUSEPORT): flows are spread over them, each stays with one
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_root
need_stack
need jq python3
PY=$(python3 -c 'import sys; print(sys.executable)')
topo_veth
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"
messages() { ctl a --json show app | jq "[.. | objects | .messages_$1? | numbers] | add // 0"; } # in|out
received() { ctl a --json show session verbose | jq '[.. | objects | .rx_datagrams? | numbers] | add // 0'; }
has_received() { [ "$(received)" -ge "$1" ]; }
few() { # WHAT IN OUT: no more messages since then than these
    local in out
    in=$(($(messages in) - before_in)) out=$(($(messages out) - before_out))
    if [ $in -le "$2" ] && [ $out -le "$3" ]; then ok "$1: $in messages to the server, $out from it"
    else not_ok "$1" "$in messages to the server, $out from it"; fi
}
step() { # WORD: done by the program
    before_in=$(messages in) before_out=$(messages out)
    echo "$1" >&6
    wait_for 20 grep -q "^did $1 64$" "$log" || not_ok "$what: $1" "$(cat "$log")"
}
cat >"$TMP/share.py" <<'PYTHON'
import select, socket, sys
kind = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
if sys.argv[1] == "send":  # 40 flows of 3 datagrams
    flows = [socket.socket(kind, socket.SOCK_DGRAM) for _ in range(40)]
    for _ in range(3):
        for i, s in enumerate(flows):
            s.sendto(b"%d" % i, (sys.argv[2], 7002))
    sys.exit()
sockets = [socket.socket(kind, socket.SOCK_DGRAM) for _ in range(3)]
for s in sockets:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((sys.argv[2], 7002))
print("ready", flush=True)
owners, n = {}, 0
while n < 120:
    for s in select.select(sockets, [], [])[0]:
        owners.setdefault(s.recv(100), set()).add(s)
        n += 1
used = len(set.union(*owners.values()))
print("end", len(owners), "flows,", "several sockets," if used > 1 else "one socket,", max(map(len, owners.values())), "of them a flow", flush=True)
PYTHON
for f in 4 6; do
    s=S$f
    bg "$TMP/share.$f" spre a "$PY" "$TMP/share.py" receive "${!s}"
    wait_for 15 listening "$TMP/share.$f" || bail "the sockets are bound" "$(cat "$TMP/share.$f")"
    in_k "$PY" "$TMP/share.py" send "${!s}" || not_ok "v$f: the kernel sends"
    wait_for 20 grep -q '^end' "$TMP/share.$f"
    check_eq "v$f: sockets that share a port" "$(tail -n 1 "$TMP/share.$f")" "end 40 flows, several sockets, 1 of them a flow"
done
for f in 4 6; do
    k=K$f what=v$f log=$TMP/batch.$f
    bg "$TMP/echo.$f" in_k "$ECHO" -u server "${!k}" 7001
    wait_for 10 listening "$TMP/echo.$f" || bail "the echo server listens" "$(cat "$TMP/echo.$f")"
    for send in sendmmsg segment; do
        mkfifo "$TMP/words.$f.$send"
        exec 6<>"$TMP/words.$f.$send"
        bg "$log" spre a bash -c "exec '$top_builddir/tests/system/udp_batch' '${!k}' 7001 <'$TMP/words.$f.$send'"
        program=$bg_pid
        wait_for 15 listening "$log" || bail "the program starts" "$(cat "$log")"
        start=$(received)
        step $send
        check "$what: 64 of $send come back" wait_for 20 has_received $((start + 64))
        few "$what: $send, and its echoes, of which the program has not been told before it reads" 4 4
        step recvmmsg
        few "$what: recvmmsg" 4 4
        exec 6>&-
        end_pid "$program"
    done
done
finish
