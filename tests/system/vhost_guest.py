#!/usr/bin/env python3
"""vhost_guest.py - a guest of a net_vhost port that is not to be trusted: SOCKET STEP, says what went wrong and exits 1

The steps bring the rings up over the vhost-user protocol, with split rings in memory of our own, and ask by ARP for 10.77.0.1."""
import mmap
import os
import select
import socket
import struct
import sys
import time

SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 2, 3, 5, 8, 9, 10
GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 11, 12, 13
NO_FD, NO_NOTIFY, WRITABLE = 0x100, 1, 2
VERSION_1 = 1 << 32
SIZE, BASE, N, HDR, BUF = 1 << 20, 0x7E0000000000, 64, 12, 2048
RX, TX = 0, 1
ME, THEIRS = bytes.fromhex("020000000099"), bytes([10, 77, 0, 1])
ASK = b"\xff" * 6 + ME + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + ME + bytes([10, 77, 0, 9]) + bytes(6) + THEIRS


class Guest:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(path)
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, SIZE)
        self.mem = mmap.mmap(self.fd, SIZE)
        self.kick = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        self.call = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        self.sent = 0

    def say(self, what, payload, fds=()):
        socket.send_fds(self.s, [struct.pack("<III", what, 1, len(payload)) + payload], fds)

    # desc at 0, avail at 0x1000, used at 0x2000 of each queue's 64 KB; buffers of queue q at 0x40000 * (q + 1)
    def put(self, fmt, at, *values):
        struct.pack_into(fmt, self.mem, at, *values)

    def get(self, fmt, at):
        return struct.unpack_from(fmt, self.mem, at)

    def up(self, kick_rx=None, kick_tx=None, stop_after=99):
        steps = [lambda: self.say(SET_OWNER, b""), lambda: self.say(SET_FEATURES, struct.pack("<Q", VERSION_1)),
                 lambda: self.say(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, SIZE, BASE, 0), [self.fd])]
        for q in (RX, TX):
            at = BASE + q * 0x10000
            steps += [lambda q=q: self.say(SET_VRING_NUM, struct.pack("<II", q, N)),
                      lambda q=q: self.say(SET_VRING_BASE, struct.pack("<II", q, 0)),
                      lambda q=q, at=at: self.say(SET_VRING_ADDR, struct.pack("<IIQQQQ", q, 0, at, at + 0x2000, at + 0x1000, 0)),
                      lambda q=q: self.say(SET_VRING_CALL, struct.pack("<Q", q), [self.call[q]])]
        steps += [lambda: self.set_kick(RX, kick_rx), lambda: self.set_kick(TX, kick_tx)]
        for i in range(N):
            self.put("<QIHH", i * 16, 0x40000 + i * BUF, BUF, WRITABLE, 0)
            self.put("<H", 0x1004 + i * 2, i)
        self.put("<H", 0x1002, N)
        for step in steps[:stop_after]:
            step()
        return self

    def set_kick(self, q, fd):
        if fd == "none":
            self.say(SET_VRING_KICK, struct.pack("<Q", q | NO_FD))
        else:
            self.say(SET_VRING_KICK, struct.pack("<Q", q), [self.kick[q] if fd is None else fd])

    def send(self, frame, kick=True):
        i, at = self.sent % N, 0x10000
        self.mem[0x80000 + i * BUF:0x80000 + i * BUF + HDR + len(frame)] = bytes(HDR) + frame
        self.put("<QIHH", at + i * 16, 0x80000 + i * BUF, HDR + len(frame), 0, 0)
        self.put("<H", at + 0x1004 + i * 2, i)
        self.sent += 1
        self.put("<H", at + 0x1002, self.sent & 0xFFFF)
        if kick and not self.get("<H", at + 0x2000)[0] & NO_NOTIFY:
            os.eventfd_write(self.kick[TX], 1)

    def wait(self, what, ready, seconds=60):
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                sys.exit("vhost_guest: %s does not happen" % what)
            time.sleep(0.001)

    def answered(self):
        return self.get("<H", 0x2002)[0] > 0

    def server_sleeps(self):  # it wants to be kicked
        return not self.get("<H", 0x12000)[0] & NO_NOTIFY and self.get("<H", 0x12002)[0] == self.sent & 0xFFFF

    def ask(self, what):
        self.send(ASK)
        self.wait("an answer, %s" % what, self.answered)

    def gone(self):
        self.s.close()
        for fd in [self.fd] + self.kick + self.call:
            os.close(fd)
        self.mem.close()


def by_kick(path):  # asleep, woken by one kick; once more after it has slept again
    g = Guest(path).up()
    g.ask("first")
    for i in range(20):
        g.wait("the server's sleep", g.server_sleeps)
        before = g.get("<H", 0x2002)[0]
        g.send(ASK)
        g.wait("answer %d" % i, lambda b=before: g.get("<H", 0x2002)[0] != b)
    g.gone()


def strange_kicks(path):
    pipe, epoll = os.pipe(), select.epoll()
    strange = {"no descriptor": "none", "a pipe": pipe[0], "a file": os.open(__file__, os.O_RDONLY), "a directory": os.open("/", os.O_RDONLY),
               "an epoll instance": epoll.fileno(), "memory": os.memfd_create("x"), "/dev/zero": os.open("/dev/zero", os.O_RDONLY)}
    for name, fd in strange.items():
        g = Guest(path).up(kick_rx=fd, kick_tx=fd)
        g.ask("with %s to kick" % name)
        g.gone()


def changing(path):  # kick descriptors that change under traffic, rings that stop and start
    g = Guest(path).up()
    for i in range(300):
        new = os.eventfd(i & 1, os.EFD_NONBLOCK)
        g.set_kick(TX, new)
        os.close(g.kick[TX])
        g.kick[TX] = new
        if i < N - 2:
            g.send(ASK)
    g.wait("an answer after changes", g.answered)
    g.say(GET_VRING_BASE, struct.pack("<II", TX, 0))
    g.s.recv(100)
    g.gone()


def storm(path):  # kicks without packets, until the server is tired of them
    g = Guest(path).up()
    for _ in range(20000):
        os.eventfd_write(g.kick[TX], 1)
    g.ask("after a storm of kicks")
    g.gone()


def leaving(path):  # after each step of coming up, and in the middle of packets
    for i in range(60):
        g = Guest(path).up(stop_after=i % 14)
        if i % 14 == 13:
            for _ in range(N - 2):
                g.send(ASK)
        g.gone()


if __name__ == "__main__":
    {"by-kick": by_kick, "strange-kicks": strange_kicks, "changing": changing, "storm": storm, "leaving": leaving}[sys.argv[2]](sys.argv[1])
