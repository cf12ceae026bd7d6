#!/usr/bin/env python3
"""sleeping_peer.py - an end of a connection goes to a child while the process at the other end sleeps; nobody waits for that one
usage: sleeping_peer.py ADDRESS MODE    prints "ok", or what is wrong
modes: stop     the client writes and is stopped; the server's child reads that, writes, and only then the client goes on
       spin     the client computes instead, without a call
       part     the same as stop; the parent has read a part before
       chain    the child hands over to a child of its own, which does all this
       back     the child is asked, the parent takes the connection back and does it
       die      the stopped client is killed: all that it wrote comes, then the end
       closed   the client has written, closes when it wakes, and must not take back what was sent
       early    the client's child writes all, and ends it, before anybody has accepted
       nobody   the same after who accepted the one before has given it back, so that nobody accepts; the child blocks
       both     both ends go to children; the accepting program is stopped meanwhile"""
import os
import select
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
from handover_lib import child, data, die, ended, read_all, same

PART = 150000
POLL = 0.002


def is_stopped(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def main(addr, mode):
    f = socket.AF_INET6 if ":" in addr else socket.AF_INET
    address, go = os.pipe(), os.pipe()

    def client():
        s = socket.create_connection((addr, int(os.read(address[0], 16))))
        s.sendall(data(3, PART))
        os.write(go[1], b"w")
        if mode == "spin":
            while not os.path.exists(f"/proc/{os.getppid()}/fd/{spin_fd}"):
                pass
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        if mode == "closed":
            same(read_all(s, PART), data(5, PART), "client")
            s.close()
            return
        s.sendall(data(3, 2 * PART)[PART:])
        s.shutdown(socket.SHUT_WR)
        same(read_all(s, 3 * PART), data(5, 2 * PART), "client")

    spin_fd = 200

    main_pid = os.getpid()
    signal.signal(signal.SIGUSR1, lambda *_: os.dup2(0, spin_fd))
    pid = child(client)
    l = socket.create_server((addr, 0), family=f)
    os.write(address[1], str(l.getsockname()[1]).encode())
    c, _ = l.accept()
    os.read(go[0], 1)
    while mode != "spin" and not is_stopped(pid):
        time.sleep(POLL)
    before = read_all(c, PART // 3) if mode == "part" else b""

    def serve():
        c.settimeout(60)
        same(before + read_all(c, PART - len(before)), data(3, PART), "server, of the sleeping client")
        c.sendall(data(5, PART))
        if mode == "die":
            os.kill(pid, signal.SIGKILL)
            try:
                if c.recv(1):
                    die("server: more than was written")
            except ConnectionResetError:
                pass
            return
        os.kill(*((main_pid, signal.SIGUSR1) if mode == "spin" else (pid, signal.SIGCONT)))
        if mode == "closed":
            same(c.recv(1), b"", "server, the end")
            return
        c.sendall(data(5, 2 * PART)[PART:])
        c.shutdown(socket.SHUT_WR)
        same(read_all(c, 2 * PART), data(3, 2 * PART)[PART:], "server, of the client that is awake")

    if mode == "chain":
        def pass_on():
            os._exit(0 if ended(child(serve)) == 0 else 1)
        kid = child(pass_on)
        rc = ended(kid)
    elif mode == "back":
        def look():
            c.settimeout(60)
            if not select.select([c], [], [], 60)[0]:
                die("server's child: nothing to read")
            same(c.recv(1000, socket.MSG_PEEK), data(3, 1000), "server's child")
        rc = ended(child(look))
        if rc == 0:
            rc = ended(child(serve))
    else:
        kid = child(serve)
        if mode not in ("part", "back"):
            c.close()
        rc = ended(kid)
    crc = ended(pid)
    print("ok" if rc == 0 and crc == (-signal.SIGKILL if mode == "die" else 0) else f"failed: server {rc}, client {crc}")


def early(addr, nobody):
    """The connecting end is used by a child, to its end, while it waits in the backlog."""
    f = socket.AF_INET6 if ":" in addr else socket.AF_INET
    l = socket.create_server((addr, 0), family=f)
    done, go = os.pipe(), os.pipe()

    def client():
        first = socket.create_connection((addr, l.getsockname()[1])) if nobody else None
        s = socket.create_connection((addr, l.getsockname()[1]))
        s.sendall(data(3, PART)[:1000])
        if nobody:
            os.write(done[1], b"c")
            os.read(go[0], 1)
            first.close()

        def work():
            s.sendall(data(3, PART)[1000:])
            s.shutdown(socket.SHUT_WR)
            os.write(done[1], b"d")
            same(read_all(s, 2 * PART), data(5, PART), "client")
        pid = child(work)
        s.close()
        if ended(pid):
            os._exit(1)
    pid = child(client)
    waits_for = [done[0]]
    if nobody:
        waits_for.append(socket.create_server((addr, 0), family=f))  # so that it takes part, but not in accepting
        os.read(done[0], 1)
        l.accept()[0].close()
        select.select(waits_for, [], [], 0)
        os.write(go[1], b"g")
    if not select.select(waits_for, [], [], 60)[0]:
        die("client: it waits for somebody to accept")
    c, _ = l.accept()
    c.sendall(data(5, PART))
    c.shutdown(socket.SHUT_WR)
    same(read_all(c, 2 * PART), data(3, PART), "server")
    print("ok" if ended(pid) == 0 else "failed")


def both(addr):
    f = socket.AF_INET6 if ":" in addr else socket.AF_INET
    address, wrote, done = os.pipe(), os.pipe(), os.pipe()

    def server():
        l = socket.create_server((addr, 0), family=f)
        os.write(address[1], str(l.getsockname()[1]).encode())
        c, _ = l.accept()
        c.sendall(data(5, PART))
        os.write(wrote[1], b"w")
        os.kill(os.getpid(), signal.SIGSTOP)

        def work():
            c.sendall(data(5, 2 * PART)[PART:])
            c.shutdown(socket.SHUT_WR)
            same(read_all(c, 2 * PART), data(3, PART), "server")
        pid = child(work)
        c.close()
        if ended(pid):
            os._exit(1)
    srv = child(server)
    s = socket.create_connection((addr, int(os.read(address[0], 16))))
    s.sendall(data(3, PART)[:1000])
    os.read(wrote[0], 1)
    while not is_stopped(srv):
        time.sleep(POLL)

    def work():
        s.settimeout(60)
        same(read_all(s, PART), data(5, PART), "client, of the stopped server")
        s.sendall(data(3, PART)[1000:])
        s.shutdown(socket.SHUT_WR)
        os.kill(srv, signal.SIGCONT)
        same(read_all(s, 2 * PART), data(5, 2 * PART)[PART:], "client")
    pid = child(work)
    s.close()
    print("ok" if ended(pid) == 0 and ended(srv) == 0 else "failed")


if sys.argv[2] in ("early", "nobody"):
    early(sys.argv[1], sys.argv[2] == "nobody")
elif sys.argv[2] == "both":
    both(sys.argv[1])
else:
    main(*sys.argv[1:])
