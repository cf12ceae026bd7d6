# last_close.py - a connection is closed by a parent, and last held by a child that ends without a word: how the peer sees it end
#   last_close.py server ADDRESS PORT  and  last_close.py client ADDRESS PORT; the client says what it saw, a line a case
import os
import select
import socket
import struct
import sys

CASES = ("unread", "read", "linger")
LEN = 3000
NAMES = ((select.POLLERR, "ERR"), (select.POLLHUP, "HUP"), (select.POLLRDHUP, "RDHUP"), (select.POLLIN, "IN"))
role, addr, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in addr else socket.AF_INET


def take(s, n):
    while n > 0:
        n -= len(s.recv(n))


def end(s, case):
    """Everything has come, its end as well: the parent closes, then the child ends."""
    go = os.pipe()
    if case == "unread":
        take(s, 8)
    else:
        take(s, LEN)
        if s.recv(1) != b"":
            sys.exit("more than was sent")
    if case == "linger":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    child = os.fork()
    if child == 0:
        os.close(go[1])
        os.read(go[0], 1)
        os._exit(0)
    s.close()
    os.close(go[0])
    os.close(go[1])
    os.waitpid(child, 0)


if role == "server":
    with socket.create_server((addr, port), family=family) as listener:
        print("ready", flush=True)
        for case in CASES:
            s, _ = listener.accept()
            p = select.poll()
            p.register(s, select.POLLRDHUP)
            p.poll(60000)
            end(s, case)
else:
    for case in CASES:
        with socket.create_connection((addr, port)) as c:
            c.sendall(b"x" * LEN)
            c.shutdown(socket.SHUT_WR)
            p = select.poll()
            p.register(c, select.POLLIN | select.POLLRDHUP)
            ev = p.poll(60000)
            print(case, "|".join(n for bit, n in NAMES if ev and ev[0][1] & bit), flush=True)
