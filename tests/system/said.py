# said.py - what a program has said on many connections is heard, whatever it does next
#   said.py server ADDRESS PORT: "waits" when PORT may be connected to, "bytes" when each connection has sent one, "ends" when each has ended
#   said.py client ADDRESS PORT ORDERS: connects, sends and closes as the lines of ORDERS, a pipe, say (connect, send, close), answers each with
#     the word, and waits for the next one outside of the stack
import os
import selectors
import socket
import sys

MANY = 400
role, addr, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in addr else socket.AF_INET


def say(word):
    os.write(1, word.encode() + b"\n")


def server():
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((addr, port))
    listener.listen(MANY)
    sel = selectors.EpollSelector()
    say("waits")
    for _ in range(MANY):
        sel.register(listener.accept()[0], selectors.EVENT_READ)
    got = ended = 0
    while ended < MANY:
        for key, _ in sel.select():
            if key.fileobj.recv(10):
                got += 1
                if got == MANY:
                    say("bytes")
            else:
                sel.unregister(key.fileobj)
                key.fileobj.close()
                ended += 1
    say("ends")


def client():
    sockets = []
    orders = os.open(sys.argv[4], os.O_RDWR)
    while word := os.read(orders, 100).decode().strip():
        if word == "connect":
            sockets = [socket.create_connection((addr, port)) for _ in range(MANY)]
        for s in sockets:
            if word == "send":
                s.send(b"x")
            elif word == "close":
                s.close()
        say(word)


server() if role == "server" else client()
