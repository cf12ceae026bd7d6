#!/bin/bash
# fork.sh - servers that fork a process a connection: over the port and cut-through, v4 and v6, blocking and not; nothing is left behind
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq python3
need_stack
veth_server
fork_echo=$top_builddir/tests/system/fork_echo
empty=$(server_counts a)
port=7100

# clients WHAT ADDRESS: of the kernel, and cut-through
clients() { # few: forks are what takes the time
    TMO=60 check "$1, kernel's client: 3 of 100,000 bytes" in_k "$ECHO" -n 3 -b 100000 client "$2" $port
    TMO=60 check "$1, kernel's client: 10 of 200,000 bytes at once" in_k "$ECHO" -N -n 10 -b 200000 client "$2" $port
    TMO=60 check "$1, cut-through: 3 of 100,000 bytes" stack "$ECHO" -n 3 -b 100000 client "$2" $port
    TMO=60 check "$1, cut-through: 10 of 200,000 bytes at once" stack "$ECHO" -N -n 10 -b 200000 client "$2" $port
}
# server WHAT ADDRESS COMMAND...
server() {
    local what=$1 addr=$2 pid
    shift 2
    port=$((port + 1))
    bg "$TMP/srv.$port" stack "$@" "$addr" $port
    pid=$bg_pid
    wait_for 10 listening "$TMP/srv.$port" || { not_ok "$what: it listens" "$(cat "$TMP/srv.$port")"; return; }
    clients "$what" "$addr"
    server_said=$(tail -n +2 "$TMP/srv.$port")
    [ -z "$server_said" ] || not_ok "$what: the server has nothing to say" "$server_said"
    end_pid "$pid"
}
for f in 4 6; do
    s=S$f
    server "fork v$f" "${!s}" "$fork_echo" close
    server "fork v$f, non-blocking" "${!s}" "$fork_echo" -N close
    server "fork v$f by system calls" "${!s}" "$fork_echo" -C close
    server "fork v$f by system calls, non-blocking" "${!s}" "$fork_echo" -N -C close
done
server "fork, the parent keeps its copy" $S4 "$fork_echo" keep
server "fork, parent and child in turn" $S4 "$fork_echo" turns
server "fork, one reads and one writes" $S6 "$fork_echo" split
for f in 4 6; do
    s=S$f
    server "fork v$f, the child limits its descriptors" "${!s}" "$fork_echo" few
    server "fork v$f, the child limits its descriptors, non-blocking" "${!s}" "$fork_echo" -N few
    server "fork v$f, the child limits its descriptors for good" "${!s}" "$fork_echo" fewer
done
server "fork, the child in a sandbox" $S4 "$fork_echo" sandbox
server "fork, the child in a sandbox, non-blocking" $S6 "$fork_echo" -N sandbox

cat >"$TMP/forking.py" <<'PY'
import socket, socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    max_children = 100
    request_queue_size = 50
with Server((sys.argv[1], int(sys.argv[2])), Echo) as s:
    print("ready", flush=True)
    s.serve_forever()
PY
server "python's forking socketserver" $S6 python3 "$TMP/forking.py"

# The last one that holds a connection may be a child that just ends: what its parent's close would have been, it is.
last_close() { # WHAT ADDRESS CLIENT...
    local what=$1 addr=$2
    shift 2
    port=$((port + 1))
    bg "$TMP/srv.$port" stack python3 "$top_srcdir/tests/system/last_close.py" server "$addr" $port
    wait_for 10 grep -q ready "$TMP/srv.$port" || { not_ok "$what: it listens" "$(cat "$TMP/srv.$port")"; return; }
    check_eq "$what" "$(TMO=60 "$@" python3 "$top_srcdir/tests/system/last_close.py" client "$addr" $port 2>&1)" \
        "$(printf 'unread ERR|HUP|RDHUP|IN\nread HUP|RDHUP|IN\nlinger ERR|HUP|RDHUP|IN')"
    end_pid "$bg_pid"
}
for f in 4 6; do
    s=S$f
    last_close "v$f: a child ends last, the kernel's peer" "${!s}" in_k
    last_close "v$f: a child ends last, cut-through" "${!s}" stack
done

# A master that listens and sleeps: what came before its child accepts is the child's, also what came before the fork.
late_accept() { # WHAT ADDRESS CLIENT...
    local what=$1 addr=$2 dir=$TMP/late master one two
    shift 2
    port=$((port + 1))
    rm -rf "$dir" && mkdir "$dir"
    bg "$TMP/srv.$port" stack python3 "$top_srcdir/tests/system/late_accept.py" "$addr" $port "$dir"
    master=$bg_pid
    wait_for 10 grep -q ready "$TMP/srv.$port" || { not_ok "$what: it listens" "$(cat "$TMP/srv.$port")"; return; }
    waiting() { [ "$HS_STACK" = kernel ] || [ "$(ctl a --json show session | jq '[.[] | select(.state != "listening")] | length')" -ge "$1" ]; }
    bg "$TMP/late.1" "$@" "$ECHO" -n 1 -b 10000 client "$addr" $port
    one=$bg_pid
    wait_for 10 waiting 1 || not_ok "$what: the first one waits"
    touch "$dir/fork"
    wait_for 10 grep -q forked "$TMP/srv.$port"
    bg "$TMP/late.2" "$@" "$ECHO" -n 1 -b 10000 client "$addr" $port
    two=$bg_pid
    wait_for 10 waiting 2 || not_ok "$what: the second one waits"
    touch "$dir/accept"
    if wait "$one" && wait "$two" && wait "$master"; then
        ok "$what"
    else
        not_ok "$what" "$(cat "$TMP/late.1" "$TMP/late.2" "$TMP/srv.$port")"$'\n'"$(ctl a show session)"
        end_pid "$master"
    fi
}
for f in 4 6; do
    s=S$f
    late_accept "v$f: a child accepts late, the kernel's peer" "${!s}" in_k
    late_accept "v$f: a child accepts late, cut-through" "${!s}" stack
done

# who is who
port=$((port + 1))
bg "$TMP/srv.$port" stack "$fork_echo" close $S4 $port
pid=$bg_pid
wait_for 10 listening "$TMP/srv.$port"
bg "$TMP/long" in_k "$ECHO" -f -t 60 -n 1 -b 20000000 client $S4 $port
long=$bg_pid
pids_known() {
    [ "$HS_STACK" = kernel ] && return 0
    local kid
    kid=$(pgrep -P "$pid" | head -1)
    [ -n "$kid" ] && ctl a --json show app | jq -e --argjson p "$kid" '.rows | any(.pid == $p)' && ! ctl a --json show app | jq -e '.rows | any(.pid == 0 and .state == "attached")'
}
wait_for 15 pids_known && ok "show app knows the process ids of forked workers" ||
    not_ok "show app knows the process ids of forked workers" "$(ctl a --json show app | jq -c .rows)"
# a child killed: its client hears it, the server keeps nothing
for kid in $(pgrep -P "$pid"); do kill -KILL "$kid"; done
end_pid "$long"
end_pid "$pid"
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
