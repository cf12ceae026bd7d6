# bound_held.py - a socket that its maker has only bound goes to other processes, each of which calls listen() and accepts
#
# serve ADDRESS PORT WAY: four sockets, at PORT and the next ones, and behind them one of UDP, which one process gets; WAY is fork, exec
# (fork and exec), vfork (subprocess), spawn (posix_spawn) or pass (SCM_RIGHTS). Each process that listens accepts one connection, says its
# name there, and takes no more.
# client ADDRESS PORT: as many connections to each as answer, all from different ones; and a datagram.
import array
import os
import selectors
import signal
import socket
import subprocess
import sys

# (epoll, what the maker does with it, how many listen). keep: it accepts in the end, never having called listen() itself. kill: the first
# of those that listen is killed before anybody connects.
CASES = [(False, "keep", 2), (True, "close", 2), (False, "close", 1), (True, "kill", 2)]


def names(what, n):
    return {str(i) for i in range(what == "kill", n)} | ({"maker"} if what == "keep" else set())


def take(s, epoll, name):
    if epoll:
        wait = selectors.EpollSelector()
        wait.register(s, selectors.EVENT_READ)
        c = None
        while not c:
            wait.select()
            try:
                c, _ = s.accept()
            except BlockingIOError:
                pass
        wait.unregister(s)
        c.setblocking(True)
    else:
        c, _ = s.accept()
    s.close()
    c.sendall(name.encode())
    c.close()


def datagram(s, name, told):
    os.write(told, b"l")
    _, peer = s.recvfrom(100)
    s.sendto(name.encode(), peer)
    os.write(told, b"d")


def listens(s, epoll, name, told):
    if s.type == socket.SOCK_DGRAM:
        return datagram(s, name, told)
    s.setblocking(not epoll)
    s.listen(16)
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    os.write(told, b"l")
    take(s, epoll, name)
    os.write(told, b"d")


def image(fd, epoll, name, told):
    listens(socket.socket(fileno=fd), epoll, name, told)


def receiver(a, epoll, name, told):
    _, ancillary, _, _ = a.recvmsg(1, 64)
    listens(socket.socket(fileno=array.array("i", ancillary[0][2])[0]), epoll, name, told)


def make(way, s, epoll, name, told):
    args = [sys.executable, __file__, "image", str(s.fileno()), str(int(epoll)), name, str(told)]
    if way == "vfork":
        return subprocess.Popen(args, pass_fds=[s.fileno(), told]).pid
    if way == "spawn":
        return os.posix_spawn(sys.executable, args, os.environ)
    a, b = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        if way == "exec":
            os.execv(sys.executable, args)
        if way == "pass":
            s.close()
            receiver(a, epoll, name, told)
        else:
            listens(s, epoll, name, told)
        os._exit(0)
    if way == "pass":
        b.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
    return pid


def serve(address, port, way):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    all_of_them = []
    for i, (epoll, what, n) in enumerate(CASES + [(False, "close", 1)]):
        heard, told = os.pipe()
        s = socket.socket(family, socket.SOCK_STREAM if i < len(CASES) else socket.SOCK_DGRAM)
        s.bind((address, port + i))
        s.set_inheritable(True)
        os.set_inheritable(told, True)
        pids = [make(way, s, epoll, str(k), told) for k in range(n)]
        os.close(told)
        for _ in range(n):
            assert os.read(heard, 1) == b"l"
        if what == "close":
            s.close()
        if what == "kill":
            os.kill(pids[0], signal.SIGKILL)
            os.waitpid(pids.pop(0), 0)
        all_of_them.append((s, what, n, heard, pids))
    print("ready", flush=True)
    for (s, what, n, heard, pids) in all_of_them:
        for _ in pids:
            assert os.read(heard, 1) == b"d"
        if what == "keep":
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
            take(s, False, "maker")
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0


def client(address, port):
    for i, (_, what, n) in enumerate(CASES):
        got = set()
        for _ in names(what, n):
            c = socket.create_connection((address, port + i), timeout=60)
            got.add(c.recv(64).decode())
            c.close()
        assert got == names(what, n), (i, got)
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.sendto(b"x", (address, port + len(CASES)))
    assert s.recv(100) == b"0"


if sys.argv[1] == "image":
    image(int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4], int(sys.argv[5]))
elif sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    client(sys.argv[2], int(sys.argv[3]))
