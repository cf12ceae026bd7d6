#!/usr/bin/env python3
"""lowat.py - SO_RCVLOWAT: poll(), select() and epoll say nothing of fewer bytes, and never wait for what no window lets come

server ADDRESS PORT BYTES [read]: one connection, whose SO_RCVLOWAT is BYTES; `read`: after a first byte was read. It tells the client when to go on.
client ADDRESS PORT BYTES: sends one byte less than BYTES, at most 20,000, waits for the word, then all it can until the server has closed."""
import fcntl
import select
import socket
import struct
import sys
import termios

WAIT = 60


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def unread(s):
    return struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, bytes(4)))[0]


def ready(s, seconds):
    p = select.poll()
    p.register(s, select.POLLIN)
    e = select.epoll()
    e.register(s, select.EPOLLIN)
    by_poll = len(p.poll(seconds * 1000))
    by_epoll = len(e.poll(seconds))
    e.close()
    return by_poll, by_epoll, len(select.select([s], [], [], seconds)[0])


def server(address, port, lowat, how):
    listener = socket.socket(family(address))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen()
    print("ready", flush=True)
    s, _ = listener.accept()
    if how == "read":
        assert s.recv(1) == b"x"
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, lowat)
    few = min(lowat, 20000) - 1
    while unread(s) < few - (how == "read"):
        pass
    print("fewer:", *ready(s, 0))
    s.send(b"w")
    print("enough:", *ready(s, WAIT), "much" if unread(s) >= min(lowat, 32768) else unread(s))
    if s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) != lowat:
        print("SO_RCVLOWAT has changed")
    s.close()


def client(address, port, lowat):
    s = socket.create_connection((address, port), WAIT)
    s.settimeout(WAIT)
    s.sendall(b"x" * (min(lowat, 20000) - 1))
    assert s.recv(1) == b"w"
    try:
        while True:
            s.sendall(b"x" * 100000)
    except (ConnectionResetError, BrokenPipeError):
        pass


if sys.argv[1] == "server":
    server(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] if len(sys.argv) > 5 else "")
else:
    client(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
