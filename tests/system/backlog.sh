#!/bin/bash
# backlog.sh - cut-through connects that find a backlog full because the program does not run: they wait in line, none is refused
# while it lives; when it dies they are, and those that the backlog had room for end
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
need python3
only_hoststack
make_ns "$NS_S"
ip -n "$NS_S" link set lo up
conf_head a >"$TMP/a.conf"
server_start a "$NS_S"
cat >"$TMP/acceptor.py" <<'PY'
import os, signal, socket, sys
addr, n = sys.argv[1], int(sys.argv[2])
l = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
l.bind((addr, 0))
l.listen(2)
l.settimeout(60)
print(l.getsockname()[1], os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
while n > 0:
    s, peer = l.accept()
    s.settimeout(60)
    line = s.makefile().readline()
    assert line in ("", "%d\n" % peer[1]), line
    n -= line != ""             # the one that gave up may come, with an end of file
    s.close()
l.settimeout(0.2)
try:
    l.accept()
    sys.exit("accepted one more than there are")
except TimeoutError:
    pass
PY
cat >"$TMP/connector.py" <<'PY'
import errno, os, select, signal, socket, subprocess, sys
addr, what = sys.argv[1], sys.argv[2]
acceptor = subprocess.Popen([sys.executable, sys.argv[3], addr, "11"], stdout=subprocess.PIPE, text=True)
port, pid = map(int, acceptor.stdout.readline().split())
assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
cs = [socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET) for _ in range(12)]
p = select.poll()
for c in cs:
    c.setblocking(False)
    assert c.connect_ex((addr, port)) in (0, errno.EINPROGRESS)
    p.register(c, select.POLLOUT)
# Linux, too, takes one more than the backlog.
assert len(p.poll(100)) <= 3, "the acceptor is stopped, its backlog is 2"
gone = cs.pop(7)
gone.close()                    # one that stands in line gives up
os.kill(pid, signal.SIGCONT if what == "serve" else signal.SIGKILL)
refused = 0
for c in cs:
    p = select.poll()
    p.register(c, select.POLLOUT)
    assert p.poll(60000), "never connected, never refused"
    error = c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    c.settimeout(60)
    if what == "serve":
        assert error == 0, error
        c.sendall(b"%d\n" % c.getsockname()[1])
    elif error == errno.ECONNREFUSED:
        refused += 1
    else:
        try:
            assert c.recv(1) == b""
        except ConnectionResetError:
            pass
assert what == "serve" or refused >= 8, refused
for c in cs if what == "serve" else []:
    assert c.recv(1) == b""
os._exit(0 if acceptor.wait() == (0 if what == "serve" else -signal.SIGKILL) else 1)
PY
for a in 127.0.0.1 ::1; do
    check "11 connects to a backlog of 2 are all served in the end, $a" spre a timeout 200 python3 "$TMP/connector.py" $a serve "$TMP/acceptor.py"
    check "they are refused when the program dies, $a" spre a timeout 200 python3 "$TMP/connector.py" $a die "$TMP/acceptor.py"
done
# shellcheck disable=SC2317
nothing_left() { [ "$(ctl a --json show app | jq '.sessions + .pairs')" = 0 ]; }
wait_for 10 nothing_left && ok "nothing is left of it" || not_ok "nothing is left of it" "$(ctl a show session)"
finish
