# shared_turns.py - a connection that a parent and its child use in turns: what was written to it is found by whoever looks, at once
#   shared_turns.py ADDRESS first WAY    the parent has had it and the peer's program is busy elsewhere; the child's first call must not wait:
#                                        recv, peek, poll, size (FIONREAD): "ok" when it finds the byte
#   shared_turns.py ADDRESS while WAY    the parent asks for it all the time: in, out, none (POLLIN, POLLOUT, neither), sleeps (neither, for a
#                                        millisecond), epoll, peek: "ok" when the child has answered all that came
#   shared_turns.py ADDRESS end WAY      the child shuts one end down, after writing or not (written, nothing), while the parent polls both
import fcntl
import os
import select
import socket
import struct
import sys
import termios
import time

TIMES, ROUNDS, LIMIT_S = 8, 40, 60
addr, what, way = sys.argv[1:4]
family = socket.AF_INET6 if ":" in addr else socket.AF_INET


def process(run, *args):
    pid = os.fork()
    if pid:
        return pid
    try:
        run(*args)
    except BaseException as e:
        print(f"{run.__name__}: {e!r}", flush=True)
        os._exit(1)
    os._exit(0)


def ended_well(pid, flags=0):
    """None: not yet."""
    got, status = os.waitpid(pid, flags)
    assert not got or status == 0, f"exit status {status}"
    return got == pid


def connection(peer, *args):
    """An accepted one; its peer is another process."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((addr, 0))
        listener.listen()
        pid = process(peer, listener, *args)
        return listener.accept()[0], pid


# ---- first ----
def busy_peer(listener, told, done):
    s = socket.create_connection(listener.getsockname()[:2])
    s.sendall(b"a")
    assert s.recv(1) == b"b"
    s.sendall(b"x")
    os.write(told[1], b"t")
    os.close(done[1])
    os.read(done[0], 1)  # no call of the socket's until then


def look(s):
    """What a call that must not wait says about one byte."""
    if way == "poll":
        p = select.poll()
        p.register(s, select.POLLIN)
        return bool(p.poll(0))
    if way == "size":
        return struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, bytes(4)))[0] == 1
    try:
        return s.recv(10, socket.MSG_DONTWAIT | (socket.MSG_PEEK if way == "peek" else 0)) == b"x"
    except BlockingIOError:
        return False


def one_first():
    told, done, found = os.pipe(), os.pipe(), os.pipe()
    c, peer = connection(busy_peer, told, done)
    os.close(done[0])
    assert c.recv(1) == b"a"
    c.sendall(b"b")
    os.read(told[0], 1)
    child = process(lambda: os.write(found[1], b"y" if look(c) else b"n"))
    yes = os.read(found[0], 1) == b"y"
    ended_well(child)
    os.close(done[1])
    ended_well(peer)
    c.close()
    for fd in told + found:
        os.close(fd)
    return yes


def first():
    """The machine may be in the way of some: half of them is far from none."""
    found = sum(one_first() for _ in range(TIMES))
    assert found >= TIMES / 2, f"found by {found} of {TIMES}"


# ---- while ----
def asking_peer(listener):
    s = socket.create_connection(listener.getsockname()[:2])
    s.settimeout(LIMIT_S)
    for _ in range(ROUNDS):
        s.sendall(b"x")
        assert s.recv(1) == b"y"


def answer(c):
    end = time.monotonic() + LIMIT_S
    p = select.poll()
    for _ in range(ROUNDS):
        for events, call in ((select.POLLIN, lambda: c.recv(10, socket.MSG_DONTWAIT) == b"x"),
                             (select.POLLOUT, lambda: c.send(b"y", socket.MSG_DONTWAIT) == 1)):
            done = False
            while not done:
                p.register(c, events)
                assert p.poll(LIMIT_S * 1000) and time.monotonic() < end, "it waits too long"
                try:
                    done = call()
                    assert done
                except BlockingIOError:
                    pass


def ask(c):
    p, ep = select.poll(), select.epoll()
    p.register(c, {"in": select.POLLIN, "out": select.POLLOUT}.get(way, 0))
    if way == "epoll":
        ep.register(c, select.EPOLLIN)

    def once():
        if way == "epoll":
            ep.poll(0)
        elif way == "peek":
            try:
                c.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
            except BlockingIOError:
                pass
        else:
            p.poll(1 if way == "sleeps" else 0)

    return once


def while_asked():
    c, peer = connection(asking_peer)
    child = process(answer, c)
    once = ask(c)
    while not ended_well(child, os.WNOHANG):
        once()
    ended_well(peer)


# ---- end ----
def shut(s):
    if way == "written":
        s.sendall(b"zz")
    s.shutdown(socket.SHUT_WR)


def one_end():
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((addr, 0))
        listener.listen()
        c = socket.create_connection(listener.getsockname()[:2])
        s = listener.accept()[0]
    for one, other in (c, s), (s, c):
        one.sendall(b"a")
        assert other.recv(1) == b"a"
    child = process(shut, s)
    p = select.poll()
    p.register(c, select.POLLIN | select.POLLRDHUP)
    p.register(s, select.POLLIN)
    end = time.monotonic() + LIMIT_S
    while not any(fd == c.fileno() and events & select.POLLRDHUP for fd, events in p.poll(100)):
        assert time.monotonic() < end, "the end is not heard of"
    ended_well(child)
    got = b""
    while piece := c.recv(10):
        got += piece
    assert got == (b"zz" if way == "written" else b""), got
    c.sendall(b"b")
    assert s.recv(1) == b"b"
    c.close()
    s.close()


def end():
    for _ in range(ROUNDS):
        one_end()


{"first": first, "while": while_asked, "end": end}[what]()
print("ok")
