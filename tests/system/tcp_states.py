#!/usr/bin/env python3
"""tcp_states.py - connections that stay in many states, for hoststackctl to show

peer ADDRESS      the other side: listens at 7401 and reads nothing, at 7402 and closes at once
answers ADDRESS   listens at 7404, and closes after its caller
hold ADDRESS OWN  the stack's side: one connection for each state, from the port that stands in PORTS; listens at 7410
call ADDRESS OWN  connects there, from the port that the link lets no SYN,ACK through to
Each says `listening` or `ready` when it stands, and stays until it is ended. What the link drops is the script's (nft).
"""
import signal
import socket
import sys

PORTS = {"keepalive": 7501, "retransmits": 7502, "probes": 7503, "syn-sent": 7504, "fin-wait-1": 7505, "fin-wait-2": 7506,
         "half-closed": 7507, "time-wait": 7508, "close-wait": 7509, "last-ack": 7510}
kept = []


def new(address, own_port=0):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if own_port:
        s.bind((address, own_port))
    kept.append(s)
    return s


def accept_all(*listeners):
    for s in listeners:
        s.listen(64)
    print("listening", flush=True)


def peer(address):
    reads_not, closes = new(address, 7401), new(address, 7402)
    accept_all(reads_not, closes)
    while True:
        closes.accept()[0].close()


def to(name, address, own, port):
    s = new(own, PORTS[name])
    if name == "keepalive":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1000)
    if name == "syn-sent":
        s.setblocking(False)
        s.connect_ex((address, port))
        return s
    s.connect((address, port))
    if port == 7402 and s.recv(1):
        sys.exit("the peer closes at once")
    return s


def close(s):
    kept.remove(s)
    s.close()


def hold(address, own):
    accept_all(new(own, 7410))
    to("keepalive", address, own, 7401)
    to("retransmits", address, own, 7401).send(bytes(1000))
    probes = to("probes", address, own, 7401)
    to("syn-sent", address, own, 7403)
    close(to("fin-wait-1", address, own, 7401))
    close(to("fin-wait-2", address, own, 7401))
    to("half-closed", address, own, 7401).shutdown(socket.SHUT_WR)
    to("close-wait", address, own, 7402)
    close(to("last-ack", address, own, 7402))
    close(to("time-wait", address, own, 7404))
    print("ready", flush=True)
    while True: # fills the peer's buffer, then ours, and waits
        probes.send(bytes(65536))


def answers(address): # closes when its caller has
    s = new(address, 7404)
    accept_all(s)
    while True:
        c = s.accept()[0]
        c.recv(1)
        c.close()


def call(address, own):
    s = new(own, 7511)
    s.setblocking(False)
    s.connect_ex((address, 7410))
    print("ready", flush=True)
    signal.pause()


{"peer": peer, "hold": hold, "answers": answers, "call": call}[sys.argv[1]](*sys.argv[2:])
