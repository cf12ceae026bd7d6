#!/bin/bash
# exec.sh - sockets that leave their process: inetd style exec, SCM_RIGHTS, close-on-exec, bound ones that others listen to, nginx's binary upgrade
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need jq python3
need_stack
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
veth_server
empty=$(server_counts a)
port=7200
# server MODE ADDRESS
server() {
    local pid
    port=$((port + 1))
    bg "$TMP/srv.$port" stack "$top_builddir/tests/system/fork_echo" "$1" "$2" $port
    pid=$bg_pid
    wait_for 10 listening "$TMP/srv.$port" || { not_ok "$1: it listens" "$(cat "$TMP/srv.$port")"; return; }
    TMO=60 check "$1 $2, kernel's client: 3 of 100,000 bytes" in_k "$ECHO" -n 3 -b 100000 client "$2" $port
    TMO=60 check "$1 $2, kernel's client: 10 of 200,000 bytes at once" in_k "$ECHO" -N -n 10 -b 200000 client "$2" $port
    TMO=60 check "$1 $2, cut-through: 3 of 100,000 bytes" stack "$ECHO" -n 3 -b 100000 client "$2" $port
    TMO=60 check "$1 $2, cut-through: 10 of 200,000 bytes at once" stack "$ECHO" -N -n 10 -b 200000 client "$2" $port
    check_eq "$1 $2: the server has nothing to say" "$(tail -n +2 "$TMP/srv.$port")" ""
    end_pid "$pid"
}
for a in $S4 $S6; do
    server exec "$a"
    server pass "$a"
done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"

# What is close-on-exec ends with the exec: the client hears the end while the image runs on.
cat >"$TMP/cloexec.py" <<'PY'
import os, socket, sys, time
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
s, _ = l.accept()
if os.fork() == 0:
    os.execvp("sleep", ["sleep", "60"])
s.close()
l.accept()
PY
port=$((port + 1))
bg "$TMP/cloexec" stack python3 "$TMP/cloexec.py" $S4 $port
pid=$bg_pid
wait_for 10 listening "$TMP/cloexec"
TMO=20 check "a close-on-exec connection ends with the exec" in_k python3 -c "
import socket
s = socket.create_connection(('$S4', $port), timeout=60)
assert s.recv(1) == b''"
for p in $(pgrep -P "$pid"); do kill "$p"; done
end_pid "$pid"

# posix_spawn with file actions: the socket that they name goes along although it is close-on-exec, and no other one is told of to the
# server. An image with an environment of its own making gets what the library of the old one was told.
cat >"$TMP/spawn.py" <<'PY'
import os, socket, sys, threading
many = [socket.create_server((sys.argv[1], 0)) for _ in range(30)]
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
many[0].close()
child = ("import os, socket\n"
         "l = socket.socket(fileno=5)\n"
         "print(os.environ.get('LDP_TLS_SERVER_NAME'), flush=True)\n"
         "while True:\n"
         "    s, _ = l.accept()\n"
         "    s.sendall(b'spawned')\n"
         "    s.close()\n")
pid = os.posix_spawn(sys.executable, [sys.executable, "-c", child], {"PATH": os.environ["PATH"]},
                     file_actions=[(os.POSIX_SPAWN_DUP2, l.fileno(), 5)])
print("ready", flush=True)
os.waitpid(pid, 0)
PY
port=$((port + 1))
bg "$TMP/spawn" stack env LDP_TLS_SERVER_NAME=marked python3 "$TMP/spawn.py" $S4 $port
pid=$bg_pid
wait_for 10 listening "$TMP/spawn"
TMO=20 check "a spawned image accepts from the socket that a file action names" in_k python3 -c "
import socket
s = socket.create_connection(('$S4', $port), timeout=60)
assert s.recv(20) == b'spawned'"
check "and has what the library was told" grep -q marked "$TMP/spawn"
few() { [ "$HS_STACK" = kernel ] || [ "$(app_count a clients)" -le 5 ]; }
check "the other 29 were not told of to the server" few
for p in $(pgrep -P "$pid"); do kill "$p"; done
end_pid "$pid"

# A thread that passes descriptors on while others close and open: no file of theirs is ever closed by it.
cat >"$TMP/race.py" <<'PY'
import array, os, socket, sys, threading, time
a, b = socket.socketpair()
end = time.monotonic() + 3
bad = []
l = socket.create_server((sys.argv[1], int(sys.argv[2])))
def passes(fds):
    while time.monotonic() < end:
        s = socket.create_connection(l.getsockname())
        c, _ = l.accept()
        fds.append(c.fileno())
        t = threading.Thread(target=closes, args=(c, s))
        t.start()
        try:
            a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [c.fileno()]))])
        except (OSError, ValueError):
            pass
        t.join()
def closes(c, s):
    c.close()
    f = os.open("/dev/null", os.O_RDONLY)
    if os.readlink("/proc/self/fd/%d" % f) != "/dev/null":
        bad.append(os.readlink("/proc/self/fd/%d" % f))
    os.close(f)
    s.close()
def drains():
    while b.recvmsg(1, 64)[0]:
        pass
threading.Thread(target=drains, daemon=True).start()
passes([])
assert not bad, bad[:3]
PY
port=$((port + 1))
TMO=60 check "descriptors that are closed while they are passed on" stack python3 "$TMP/race.py" $S4 $port

# Who has a socket only bound gives it to others, and each of these calls listen().
bound_held() { # WAY ADDRESS CLIENT-SIDE ADDRESS-OF-THE-CLIENT
    local log=$TMP/held.$port server rc=hangs
    TMO=100 bg "$log" stack python3 "$top_srcdir/tests/system/bound_held.py" serve "$2" $port "$1"
    server=$bg_pid
    wait_for 30 listening "$log" || { not_ok "$1, bound to $2: its holders listen" "$(tail -n 15 "$log")"; return; }
    TMO=30 check "$1, bound to $2: a client of $3 is answered by each" "$3" python3 "$top_srcdir/tests/system/bound_held.py" client "$4" $port
    wait_for 30 pid_gone "$server" && { wait "$server"; rc=$?; }
    [ "$rc" = 0 ] && ok "$1, bound to $2: all have accepted" || not_ok "$1, bound to $2: all have accepted" "exit $rc :: $(tail -n 15 "$log")"
}
for way in fork exec vfork spawn pass; do
    for a in "$S4 in_k $S4" "$S6 stack $S6" ":: in_s ::1" "127.0.0.1 stack 127.0.0.1"; do
        port=$((port + 6))
        # shellcheck disable=SC2086
        bound_held $way $a
    done
done

# nginx: a new binary takes over the listening sockets; its environment is of nginx's own making
ngx_conf "$TMP/n" 8090 2
sed -i "s/daemon off/daemon on/; s/root /listen 8091; root /" "$TMP/n/nginx.conf"
stack "$(command -v nginx)" -e "$TMP/n/logs/error.log" -c "$TMP/n/nginx.conf"
master() { cat "$TMP/n/nginx.pid" 2>/dev/null; }
page() { TMO=20 "$1" curl -sS -o "$TMP/page" "http://$2/" && cmp "$TMP/page" "$TMP/n/html/index.html"; }
wait_for 15 page in_k $S4:8090 || not_ok "nginx serves a page" "$(tail -n 15 "$TMP/n/logs/error.log")"
old=$(master)
loads=()
for side in in_k stack; do
    TMO=60 bg "$TMP/wrk.$side" $side wrk -t 1 -c 4 -d 3 --timeout 60 -H 'Connection: close' "http://$S4:8090/"
    loads+=("$bg_pid")
done
kill -USR2 "$old"
renewed() { [ -s "$TMP/n/nginx.pid.oldbin" ] && [ -n "$(master)" ] && [ "$(master)" != "$old" ]; }
wait_for 15 renewed && ok "a new master" || not_ok "a new master" "$(tail -n 15 "$TMP/n/logs/error.log")"
kill -QUIT "$old"
wait_for 20 pid_gone "$old" && ok "the old one ends" || not_ok "the old one ends"
for side in in_k stack; do
    wait "${loads[0]}"
    loads=("${loads[@]:1}")
    wrk_clean "$TMP/wrk.$side" && [ "$(wrk_requests "$TMP/wrk.$side")" -gt 0 ] &&
        ok "meanwhile, $side: $(wrk_requests "$TMP/wrk.$side") requests, none failed" || not_ok "meanwhile, $side: no request fails" "$(cat "$TMP/wrk.$side")"
done
for a in "in_k $S4:8090" "stack $S4:8090" "in_k [$S6]:8090" "in_k $S4:8091" "in_s 127.0.0.1:8091"; do
    # shellcheck disable=SC2086
    check "the new binary serves ${a#* } to ${a% *}" page $a
done
new=$(master)
[ -z "$new" ] || kill -QUIT "$new"
wait_for 20 pid_gone "$new" && ok "the new one ends" || not_ok "the new one ends"
wait_for 30 back && ok "nothing is left in the server after all" || not_ok "nothing is left in the server after all" "before $empty"$'\n'"after  $(server_counts a)"$'\n'"$(ctl a show app)"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
