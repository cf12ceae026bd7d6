#!/usr/bin/env python3
"""pmtu_stream.py ADDRESS PORT: writes bursts to an echo server and compares what comes back, until SIGTERM; a system test's program"""
import os
import signal
import socket
import sys
import time

BURST = 40000

ended = False


def end(*_):
    global ended
    ended = True


signal.signal(signal.SIGTERM, end)
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
s.settimeout(60)
rounds = 0
while not ended:
    data = os.urandom(BURST)
    s.sendall(data)
    back = b""
    while len(back) < BURST:
        got = s.recv(BURST - len(back))
        if not got:
            sys.exit("end of file after %d rounds" % rounds)
        back += got
    if back != data:
        sys.exit("wrong bytes in round %d" % rounds)
    if not rounds:
        print("going", flush=True)
    rounds += 1
    time.sleep(0.02)  # a burst now and then, no load
print("right", rounds, flush=True)
