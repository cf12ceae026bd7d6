# accept_now.py - a connection is there: accept() of a listener that does not block has it at the first try, whatever has looked before
#   accept_now.py server ADDRESS PORT WAY FILE   WAY: none (has not looked), poll, set (epoll, and has closed it), away (and has polled something
#                                                else since), child (in a fork's child, its parent has not looked). Says "waits"; FILE: see below
#   accept_now.py client ADDRESS PORT WAY FILE   makes FILE when its connection is there; says "ok"
import fcntl
import os
import select
import socket
import struct
import sys
import termios
import time

LIMIT_S = 60
role, addr, port, way, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
family = socket.AF_INET6 if ":" in addr else socket.AF_INET


def until(done, what):
    end = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.002)


def look(listener):
    if way == "poll":
        p = select.poll()
        p.register(listener, select.POLLIN)
        assert p.poll(LIMIT_S * 1000)
    elif way in ("set", "away"):
        with select.epoll() as ep:
            ep.register(listener, select.EPOLLIN)
            assert ep.poll(LIMIT_S)


def accept(listener):
    look(listener)
    if way == "away":
        r, _ = os.pipe()
        p = select.poll()
        p.register(r, select.POLLIN)
        p.poll(20)
    s = listener.accept()[0]
    s.setblocking(True)
    assert s.recv(1) == b"x"
    s.sendall(b"y")


def server():
    if os.path.exists(path):  # of a case that failed
        os.unlink(path)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((addr, port))
        listener.listen()
        print("waits", flush=True)
        until(lambda: os.path.exists(path), "nobody connects")
        if way != "child":
            accept(listener)
            return
        pid = os.fork()
        if pid == 0:
            accept(listener)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def client():
    with socket.create_connection((addr, port)) as s:
        s.sendall(b"x")
        if "LD_PRELOAD" not in os.environ:  # the kernel's: it is there when the byte is
            until(lambda: struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0] == 0, "no answer")
        with open(path, "x", encoding="ascii"):
            pass
        s.settimeout(LIMIT_S)
        assert s.recv(1) == b"y"
    os.unlink(path)
    print("ok")


server() if role == "server" else client()
