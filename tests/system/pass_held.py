# pass_held.py - a socket that comes by SCM_RIGHTS to a process that has it already: the number that comes is that socket, as on Linux
#   pass_held.py server ADDRESS PORT WAY   WAY: child (it has the connection by fork, and is passed it by its parent, which polls it meanwhile),
#                                          unused (likewise, and has not touched it before), thread (the program passes it to itself, closes its
#                                          number while a thread waits in recv() there), listener, datagram (by fork, as child). Says "waits"
#   pass_held.py client ADDRESS PORT WAY   says "ok"
import array
import fcntl
import os
import select
import socket
import sys
import threading
import time

ROUNDS, LIMIT_S = 8, 60
role, addr, port, way = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
family = socket.AF_INET6 if ":" in addr else socket.AF_INET
kind = socket.SOCK_DGRAM if way == "datagram" else socket.SOCK_STREAM


def send_fd(to, fd):
    to.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def take(by):
    got = socket.recv_fds(by, 1, 1)[1]
    assert len(got) == 1
    return socket.socket(family, kind, 0, got[0])


def same(a, b):
    """Two numbers of one open file."""
    assert os.fstat(a.fileno()).st_ino == os.fstat(b.fileno()).st_ino or kind == socket.SOCK_DGRAM or way == "listener"
    assert a.getsockname() == b.getsockname()
    for on in (True, False):
        flags = fcntl.fcntl(a, fcntl.F_GETFL)
        fcntl.fcntl(a, fcntl.F_SETFL, flags | os.O_NONBLOCK if on else flags & ~os.O_NONBLOCK)
        assert bool(fcntl.fcntl(b, fcntl.F_GETFL) & os.O_NONBLOCK) == on
    a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert b.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def answer(s, times):
    for _ in range(times):
        data = s.recv(4)
        assert data == b"ping", data
        s.sendall(b"pong")


def patient(s):
    s.settimeout(None)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, LIMIT_S.to_bytes(8, "little") + bytes(8))
    return s


# ---- a child ----
def child(by, held):
    if way == "child":
        answer(held, 1)
    by.sendall(b"r")
    came = take(by)
    if way == "listener":
        same(held, came)
        held.close()
        answer(patient(came.accept()[0]), ROUNDS)
        return
    if kind == socket.SOCK_DGRAM:
        same(held, came)
        held.close()
        for _ in range(ROUNDS):
            data, peer = came.recvfrom(10)
            assert data == b"ping"
            came.sendto(b"pong", peer)
        return
    answer(came, 2)
    answer(held, 2)
    same(held, came)
    held.close()
    answer(patient(came), ROUNDS)


def by_fork(s):
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            child(theirs, s)
        except BaseException as e:
            print(f"child: {e!r}", flush=True)
            os._exit(1)
        os._exit(0)
    assert ours.recv(1) == b"r"
    send_fd(ours, s.fileno())
    p = select.poll()
    if kind == socket.SOCK_STREAM and way != "listener":
        p.register(s, select.POLLIN)
    end = time.monotonic() + LIMIT_S
    while True:
        p.poll(10)
        got, status = os.waitpid(pid, os.WNOHANG)
        assert time.monotonic() < end, "the child does not end"
        if got:
            assert status == 0
            return


# ---- a thread ----
def sleeps(tid):
    with open(f"/proc/self/task/{tid}/stat", encoding="ascii") as f:
        return ") S " in f.read()


def by_thread(s):
    a, b = socket.socketpair()
    got, tid = [], []

    def wait():
        tid.append(threading.get_native_id())
        got.append(s.recv(4))

    t = threading.Thread(target=wait)
    t.start()
    seen = 0
    while seen < 5:
        time.sleep(0.002)
        seen = seen + 1 if tid and sleeps(tid[0]) else 0
    send_fd(a, s.fileno())
    os.close(s.detach())
    came = take(b)
    patient(came)
    came.sendall(b"more")  # the peer writes then
    t.join(LIMIT_S)
    assert got == [b"ping"], got
    came.sendall(b"pong")
    answer(came, ROUNDS)


def server():
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, port))
    if kind == socket.SOCK_DGRAM:
        print("waits", flush=True)
        by_fork(s)
        return
    s.listen()
    print("waits", flush=True)
    if way == "listener":
        by_fork(s)
        return
    c = patient(s.accept()[0])
    s.close()
    (by_thread if way == "thread" else by_fork)(c)


def client():
    s = socket.socket(family, kind)
    s.connect((addr, port))
    s.settimeout(LIMIT_S)
    times = ROUNDS + {"child": 5, "unused": 4, "thread": 1}.get(way, 0)
    if way == "thread":
        assert s.recv(4) == b"more"
    for _ in range(times):
        s.sendall(b"ping")
        assert s.recv(4) == b"pong"
    print("ok")


server() if role == "server" else client()
