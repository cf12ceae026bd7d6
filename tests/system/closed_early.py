#!/usr/bin/env python3
"""closed_early.py - connections that their client ends before anybody accepts them: on Linux each is accepted, with what was written, and ends
usage: closed_early.py ADDRESS back|connect|workers    prints "ok", or what is wrong
modes: back      the listener is shared with a child; whoever accepts gives the others back, and only then the clients end theirs
       connect   whoever accepts is busy; connect() waits for nobody, blocking or not, and what is written comes when it accepts
       workers   children that block in accept() while clients come and go"""
import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys

sys.dont_write_bytecode = True
from handover_lib import child, data, die, ended

ENDS = ("close", "shutdown", "abort", "live", "die")
SIZES = (0, 5, 40000)
WORKERS, EACH = 3, 40


def finish(how, s):
    if how == "abort":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "shutdown":
        s.shutdown(socket.SHUT_WR)
    elif how != "die":
        s.close()


def client(f, to, how, blocking, pipes):
    """One connection that is accepted and one for each size, which the client ends when it is told to. `live` stays after that, the others exit."""
    ready, go = pipes
    all_of_them = []
    for size in (0,) + SIZES:
        s = socket.socket(f)
        s.setblocking(blocking)
        rc = s.connect_ex(to)
        if rc not in (0, errno.EINPROGRESS):
            die(f"connect: {os.strerror(rc)}")
        if not select.select([], [s], [], 60)[1]:
            die("client: it is not connected")
        for part in range(0, size, 5000):
            s.sendall(data(7, size)[part:part + 5000])
        all_of_them.append(s)
    first = all_of_them.pop(0)
    os.write(ready, b"r")
    os.read(go, 1)
    for s in all_of_them:
        finish(how, s)
    os.write(ready, b"d")
    if how in ("live", "shutdown"):
        os.read(go, 1)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def taken(l, how):
    """All of them, in whatever order they come: who was still busy with its connection is waited for, and others are offered before."""
    left = list(SIZES)
    while left:
        if not select.select([l], [], [], 60)[0]:
            die(f"{how}: of {left} bytes none is ever offered")
        c, _ = l.accept()
        c.settimeout(60)
        got = b""
        try:
            while b := c.recv(65536):
                got += b
            reset = False
        except ConnectionResetError:
            reset = True
        c.close()
        size = next((n for n in left if got == data(7, n) or (reset and data(7, n).startswith(got))), None)
        if reset != (how == "abort") or size is None:
            die(f"{how}: {len(got)} bytes came, reset: {reset}, and there were left {left}")
        left.remove(size)


@contextlib.contextmanager
def shared_listener(addr, f):
    """A child holds it as well."""
    with socket.create_server((addr, 0), family=f, backlog=64) as l:
        holder = child(signal.pause)
        yield l
        os.kill(holder, signal.SIGTERM)
        ended(holder)


def back(l, f):
    for how in ENDS:
        for blocking in (True, False):
            ready, go = os.pipe(), os.pipe()
            pid = child(lambda: client(f, l.getsockname(), how, blocking, (ready[1], go[0])))
            if os.read(ready[0], 1) != b"r":
                die(f"{how}: no client")
            first = l.accept()[0]
            os.write(go[1], b"g")
            if os.read(ready[0], 1) != b"d":
                die(f"{how}: no client any more")
            if how not in ("live", "shutdown"):
                rc = ended(pid)
                if rc != (-signal.SIGKILL if how == "die" else 0):
                    die(f"{how}: the client ended with {rc}")
            taken(l, how)
            first.close()
            if how in ("live", "shutdown"):
                os.write(go[1], b"e")
                ended(pid)
            for fd in (*ready, *go):
                os.close(fd)


def connect(l, f):
    with socket.create_connection(l.getsockname()[:2]):
        l.accept()[0].close()  # from now on nobody is about to accept
    for blocking in (True, False):
        ready, go = os.pipe(), os.pipe()
        pid = child(lambda: client(f, l.getsockname(), "close", blocking, (ready[1], go[0])))
        if not select.select([ready[0]], [], [], 60)[0] or os.read(ready[0], 1) != b"r":
            die("connect() waits for somebody who accepts")
        l.accept()[0].close()
        os.write(go[1], b"g")
        taken(l, "close")
        if ended(pid):
            die("the client failed")


def workers(l, _):
    done = os.pipe()

    def work():
        while True:
            c, _ = l.accept()
            c.settimeout(60)
            n = 0
            while b := c.recv(4096):
                n += len(b)
            c.close()
            os.write(done[1], b"%c" % n)
    pids = [child(work) for _ in range(WORKERS)]

    def come_and_go(seed):
        for i in range(EACH):
            with socket.create_connection(l.getsockname()[:2]) as s:
                if (i + seed) % 2:
                    s.sendall(b"x" * (1 + i % 7))
    clients = [child(lambda: come_and_go(seed)) for seed in range(WORKERS)]
    want = sorted((1 + i % 7) if (i + seed) % 2 else 0 for seed in range(WORKERS) for i in range(EACH))
    got = []
    while len(got) < len(want):
        if not select.select([done[0]], [], [], 60)[0]:
            die(f"{len(want) - len(got)} of {len(want)} connections are never accepted")
        got += os.read(done[0], 1000)
    if sorted(got) != want:
        die(f"connections by bytes: {[got.count(n) for n in range(16)]}, wanted {[want.count(n) for n in range(16)]}")
    for pid in clients:
        if ended(pid):
            die("a client failed")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
        ended(pid)


family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with shared_listener(sys.argv[1], family) as listener:
    {"back": back, "connect": connect, "workers": workers}[sys.argv[2]](listener, family)
print("ok")
