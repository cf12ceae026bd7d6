# turns.py - processes that take turns, by a lock of their own, in waiting for connections to two listeners, and who only tries
#   turns.py server ADDRESS PORT turns|drain|away|tries LOCK: "waits" when PORT and PORT + 1 may be connected to; ends when all are served
#     turns  poll, one accept, the next process's turn, service     drain  as many as there are      away  one has waited, and does not again
#     tries  one process: poll the first time, then accept() every now and then
#   turns.py client ADDRESS PORT: "ok"
import fcntl
import os
import select
import signal
import socket
import sys
import time
import traceback

CHILDREN, ALONE, AT_ONCE, LIMIT_S = 4, 24, 8, 60
role, addr, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


def serve(connections, served):
    for c in connections:
        c.setblocking(True)
        c.sendall(c.recv(100))
        assert c.recv(100) == b""  # while the next processes have their turns
        c.close()
        os.write(served, b".")


def accept(listener):
    try:
        return [listener.accept()[0]]
    except BlockingIOError:
        return []


def turn(listeners, p, way):
    """One that is ready, in turn, as Apache does; drain: all of it."""
    for fd, _ in p.poll():
        c = accept(listeners[fd])
        more = c
        while way == "drain" and more:
            more = accept(listeners[fd])
            c += more
        if c:
            return c
    return []


def take_turns(listeners, lock, served, way):
    p = select.poll()
    for fd in listeners:
        p.register(fd, select.POLLIN)
    while True:
        with open(lock, "w") as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            c = turn(listeners, p, way)
        serve(c, served)


def be_away(listeners, waits):
    p = select.poll()
    for fd in listeners:
        p.register(fd, select.POLLIN)
    p.poll(100)
    os.write(waits, b".")
    signal.pause()


def try_now_and_then(listeners, served):
    p = select.poll()
    for fd in listeners:
        p.register(fd, select.POLLIN)
    p.poll()
    while True:
        for l in listeners.values():
            serve(accept(l), served)
        time.sleep(0.01)


def child(work, *args):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            work(*args)
        finally: # not the parent's
            traceback.print_exc()
            os._exit(1)
    return pid


def server(way, lock):
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    all_of = [socket.create_server((addr, p), family=family, backlog=64) for p in (port, port + 1)]
    for l in all_of:
        l.setblocking(False)
    listeners = {l.fileno(): l for l in all_of}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    done, served = os.pipe()
    children = []
    try:
        if way == "away":
            away, waits = os.pipe()
            children.append(child(be_away, listeners, waits))
            os.read(away, 1)
        for _ in range(1 if way == "tries" else CHILDREN):
            children.append(child(try_now_and_then, listeners, served) if way == "tries" else
                            child(take_turns, listeners, lock, served, way))
        print("waits", flush=True)
        for _ in range(ALONE + AT_ONCE):
            os.read(done, 1)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def connect(i):
    return socket.create_connection((addr, port + i % 2), LIMIT_S)


def ask(*connections):
    for s in connections: # before the first answer: those who serve may all have taken others
        s.sendall(b"who?")
    unanswered = {s.fileno(): s for s in connections}
    while unanswered:
        ready = select.select(list(unanswered), [], [], LIMIT_S)[0]
        assert ready, "no answer"
        for fd in ready:
            with unanswered.pop(fd) as s:
                assert s.recv(100) == b"who?"


if role == "server":
    server(sys.argv[4], sys.argv[5])
else:
    for i in range(ALONE):
        ask(connect(i // 3))
    ask(*[connect(i) for i in range(AT_ONCE)])
    print("ok")
