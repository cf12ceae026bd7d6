#!/bin/bash
# refused.sh - no server, one of another version, one that refuses, hangs up or never answers: what the preloaded program sees
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need jq python3
need_stack
conf_head a >"$TMP/a.conf"
echo 'namespace blue { secret 77 }' >>"$TMP/a.conf"
server_start a ''

cat >"$TMP/listen.py" <<'PY'
import errno, socket, sys
try:
    with socket.socket(socket.AF_INET6 if len(sys.argv) > 1 else socket.AF_INET) as s:
        s.bind(("::1" if len(sys.argv) > 1 else "127.0.0.1", 0))
        s.listen() # the first to need the server
        c = socket.create_connection(s.getsockname()[:2], timeout=60)
        a, _ = s.accept()
        a.sendall(b"hello")
        assert c.recv(10) == b"hello"
        c.close(), a.close()
        print("works")
except OSError as e:
    print(errno.errorcode.get(e.errno, e))
PY
vcl() { # NAME SETTING...
    local name=$1
    shift
    echo "vcl { app-scope-local  app-scope-global  $* }" >"$TMP/$name.vcl"
}
# sees WHAT VCL WANTED MESSAGE: v4 and v6; the message comes once
sees() {
    local got v
    for v in '' 6; do
        got=$(VCL=$TMP/$2.vcl TMO=40 pre a python3 "$TMP/listen.py" $v 2>"$TMP/err")
        check_eq "$1${v:+, v6}" "$got" "$3"
        if [ -n "$4" ]; then
            check_eq "$1${v:+, v6}: it is said once" "$(grep -c "$4" "$TMP/err")" 1
        fi
    done
    # A program that uses no network runs as ever, and says nothing.
    got=$(VCL=$TMP/$2.vcl TMO=20 pre a bash -c 'ls / >/dev/null && echo fine' 2>&1)
    check_eq "$1: a program without sockets" "$got" fine
}
# A client library of another version, at the real server: an error that says so, then the hang-up.
check "the server refuses another version" python3 - "$TMP/a.run/app.sock" <<'PY'
import errno, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
s.connect(sys.argv[1])
s.send(struct.pack("=IIIIQQQIIII64s64s", 1, 9999, 1, 0, 0, 0, 0, 65536, 65536, 256, 4, b"", b"old"))
m = s.recv(2048)
kind, error = struct.unpack("=Ii", m[:8])
assert (kind, error) == (65, -errno.EPROTO), (kind, error)
assert b"different versions" in m, m
assert s.recv(10) == b""
PY
check "and says so in its log" grep -q 'of different versions' "$TMP/a.log"

vcl none "app-socket-api $TMP/nowhere/app.sock"
vcl fallback "fallback kernel app-socket-api $TMP/nowhere/app.sock"
vcl right "namespace-id blue namespace-secret 77 app-socket-api $TMP/a.run/app.sock"
vcl wrong "namespace-id blue namespace-secret 78 app-socket-api $TMP/a.run/app.sock"
vcl unknown "namespace-id green namespace-secret 77 app-socket-api $TMP/a.run/app.sock"
sees "no server" none ENETDOWN "no server at"
sees "no server, fallback kernel" fallback works ""
sees "the right secret" right works ""
sees "a wrong secret" wrong ENETDOWN "refuses: Permission denied"
sees "a namespace that is not there" unknown ENETDOWN "refuses: No such file"

# Somebody else at the socket.
cat >"$TMP/other.py" <<'PY'
import errno, os, socket, struct, sys, time
how, path = sys.argv[1:]
l = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
l.bind(path)
l.listen(20)
print("ready", flush=True)
kept = []
while True:
    c, _ = l.accept()
    print("asked", flush=True)
    if how == "hangup":
        c.close()
        continue
    hello = c.recv(2048)
    version = struct.unpack("=I", hello[4:8])[0]
    if how == "newer":      # a WELCOME of a layout that is not ours, with as many descriptors as ours has
        nothing = os.memfd_create("x")
        socket.send_fds(c, [struct.pack("=IIII", 64, version + 1, 1, 1) + bytes(1900)], [nothing] * 6)
        os.close(nothing)
    elif how == "refuses":
        c.send(struct.pack("=Ii120s", 65, -errno.EPROTO, b"client library and server are of different versions"))
    elif how == "short":
        c.send(b"\x40")
    kept.append(c)          # silent: no answer at all
PY
for how in hangup newer refuses short silent; do
    bg "$TMP/$how.log" python3 "$TMP/other.py" $how "$TMP/$how.sock"
    pid=$bg_pid
    wait_for 10 listening "$TMP/$how.log" || not_ok "$how listens" "$(cat "$TMP/$how.log")"
    vcl $how "app-socket-api $TMP/$how.sock"
    got=$(VCL=$TMP/$how.vcl TMO=40 pre a python3 "$TMP/listen.py" 2>"$TMP/err")
    check_eq "a server that is none, $how" "$got" ENETDOWN
    check_eq "a server that is none, $how: it is asked once" "$(grep -c asked "$TMP/$how.log")" 1 # one that never answers is waited for 5 s
    check_eq "a server that is none, $how: it is said once" "$(grep -c "hoststack\[.*refuses" "$TMP/err")" 1
    check_eq "a server that is none, $how: a program without sockets" "$(VCL=$TMP/$how.vcl TMO=20 pre a bash -c 'ls / >/dev/null && echo fine' 2>&1)" fine
    end_pid "$pid"
done
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
