#!/usr/bin/env python3
"""both_ends.py - both ends of one connection go to a child each before either child has used it; every byte comes once, in order
usage: both_ends.py ADDRESS MODE [sctp]    prints "ok", or what is wrong
modes: unread   both parents have written, nobody has read    end       and both have ended what they write (shutdown)
       server   the accepting end is used first               silent    nothing was written before
       late     the connecting end goes to a child before anybody has accepted
       twice    the connecting end's parent writes, hands over, and the child hands over once more, while the other end is unclaimed"""
import os, socket, sys

sys.dont_write_bytecode = True
from handover_lib import child, data, ended, read_all, same

SCTP = len(sys.argv) > 3
PART = 60000 if SCTP else 150000 # small messages that nobody reads find less room than one large piece
MESSAGE = 7500


def put(s, bytes):
    for at in range(0, len(bytes), MESSAGE if SCTP else PART):
        s.sendall(bytes[at:at + (MESSAGE if SCTP else PART)])


class Gate:
    """Closed until open() has been called n times, by whomever."""
    def __init__(self, n):
        self.n, (self.r, self.w) = n, os.pipe()

    def open(self):
        os.write(self.w, b"x" * 64)

    def wait(self):
        for _ in range(self.n):
            got = 0
            while got < 16:
                got += len(os.read(self.r, 16 - got))


def main(addr, mode):
    f = socket.AF_INET6 if ":" in addr else socket.AF_INET
    before = 0 if mode in ("silent", "late") else PART
    parents, accepted, address, first = Gate(2), Gate(1), os.pipe(), Gate(1)
    ends = mode == "end"

    def exchange(s, mine, theirs, who):
        """The parent wrote `before` bytes; the child writes as many more, and reads all of the other end's."""
        if not ends:
            put(s, data(mine, 2 * PART)[before:])
            if not SCTP: # an association ends as a whole
                s.shutdown(socket.SHUT_WR)
        same(read_all(s, (2 if SCTP else 3) * PART, MESSAGE if SCTP else 0), data(theirs, before if ends else 2 * PART), who)
        if SCTP:
            s.sendall(b"end")
            same(s.recv(10), b"end", who)

    def server():
        l = socket.socket(f, socket.SOCK_STREAM, socket.IPPROTO_SCTP if SCTP else 0)
        l.bind((addr, 0))
        l.listen()
        os.write(address[1], str(l.getsockname()[1]).encode())
        if mode == "late":
            parents.open()
            accepted.wait()
        c, _ = l.accept()
        put(c, data(5, before))
        if ends:
            c.shutdown(socket.SHUT_WR)

        def work():
            parents.wait()
            if mode in ("unread", "late"):
                first.wait()
            exchange(c, 5, 3, "server")
        pid = child(work)
        c.close()
        parents.open()
        if mode == "server":
            first.open()
        sys.exit(ended(pid))

    def client():
        s = socket.socket(f, socket.SOCK_STREAM, socket.IPPROTO_SCTP if SCTP else 0)
        s.connect((addr, int(os.read(address[0], 16))))
        put(s, data(3, before))
        if ends:
            s.shutdown(socket.SHUT_WR)
        def work():
            parents.wait()
            if mode == "server":
                first.wait()
            if mode in ("unread", "late"):
                first.open()
            if mode == "late":
                accepted.open()
            if mode == "twice":
                again = child(lambda: exchange(s, 3, 5, "client"))
                s.close()
                sys.exit(ended(again))
            exchange(s, 3, 5, "client")
        pid = child(work)
        s.close()
        parents.open()
        sys.exit(ended(pid))

    pids = [child(server), child(client)]
    print("ok" if not any([ended(p) for p in pids]) else "failed")


main(*sys.argv[1:3])
