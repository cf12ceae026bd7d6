# waiting_child.py - a parent that has accepted from a listener, or watches it, does something else while its child waits there
#   waiting_child.py server ADDRESS PORT epoll|accept poll|epoll|inherited: "waits" when the child does; ends when it has served all
#   waiting_child.py client ADDRESS PORT: "ok"
import os
import select
import socket
import sys

ALONE, AT_ONCE, LIMIT_S = 12, 8, 60
role, addr, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


def tell_server():
    """A question and its answer: what this process has said before has been heard."""
    with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET) as s:
        s.bind((addr, 0))


def child(listener, inherited, way):
    if way == "poll":
        p = select.poll()
        p.register(listener, select.POLLIN)
    elif way == "epoll":
        p = select.epoll()
        p.register(listener, select.EPOLLIN)
    else:
        p = inherited
    p.poll(0)
    tell_server()
    print("waits", flush=True)
    left = ALONE + AT_ONCE
    while left:
        p.poll()
        try:
            c = listener.accept()[0]
        except BlockingIOError:
            continue
        c.setblocking(True)
        c.sendall(c.recv(100))
        c.close()
        left -= 1


def server(how, way):
    watch = select.epoll()
    with socket.create_server((addr, port), family=socket.AF_INET6 if ":" in addr else socket.AF_INET, backlog=64) as listener:
        listener.setblocking(False)
        if how == "epoll" or way == "inherited":
            watch.register(listener, select.EPOLLIN)
        if how == "accept":
            try:
                listener.accept()
                sys.exit("nobody has connected")
            except BlockingIOError:
                pass
        pid = os.fork()
        if pid == 0:
            child(listener, watch, way)
            os._exit(0)
        os.waitpid(pid, 0)


def ask(s):
    s.sendall(b"who?")
    assert s.recv(100) == b"who?"
    s.close()


if role == "server":
    server(sys.argv[4], sys.argv[5])
else:
    for _ in range(ALONE):
        ask(socket.create_connection((addr, port), LIMIT_S))
    for s in [socket.create_connection((addr, port), LIMIT_S) for _ in range(AT_ONCE)]:
        ask(s)
    print("ok")
