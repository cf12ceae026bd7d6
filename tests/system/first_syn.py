#!/usr/bin/env python3
"""first_syn.py - what the first packet of a connection looks like when its program has set options before

watch IFACE             prints each SYN, SYN,ACK and INIT that passes: kind, source port, destination port, and what it offers
connect HOW ADDRESS PORT [NAME=VALUE...]   HOW: blocking, nonblock, bound, again (refused first), fastopen; prints the
                        local port. sctp, and early: the first packet is all that is looked at, until it is ended
listen ADDRESS PORT [NAME=VALUE...]        accepts until it is ended
"""
import select
import signal
import socket
import struct
import sys

NAMES = {
    "mss": lambda v6: (socket.IPPROTO_TCP, socket.TCP_MAXSEG),
    "uto": lambda v6: (socket.IPPROTO_TCP, 18),
    "ttl": lambda v6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if v6 else (socket.IPPROTO_IP, socket.IP_TTL),
    "tos": lambda v6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if v6 else (socket.IPPROTO_IP, socket.IP_TOS),
    "rcvbuf": lambda v6: (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "nodelay": lambda v6: (socket.IPPROTO_TCP, socket.TCP_NODELAY),
}
TCP_FASTOPEN_CONNECT = 30


def say(*what):
    print(*what, flush=True)


def tcp_options(raw):
    seen = {}
    while raw and raw[0] != 0:
        if raw[0] == 1:
            raw = raw[1:]
            continue
        value = raw[2:raw[1]]
        if raw[0] == 2:
            seen["mss"] = struct.unpack("!H", value)[0]
        elif raw[0] == 3:
            seen["wscale"] = value[0]
        elif raw[0] == 28:
            seen["uto"] = struct.unpack("!H", value)[0]
        raw = raw[raw[1]:]
    return seen


def look(frame):
    kind = struct.unpack("!H", frame[12:14])[0]
    ip = frame[14:]
    if kind == 0x0800:
        tos, ttl, proto, l4 = ip[1], ip[8], ip[9], ip[4 * (ip[0] & 15):]
    elif kind == 0x86dd:
        tos, ttl, proto, l4 = (ip[0] & 15) << 4 | ip[1] >> 4, ip[7], ip[6], ip[40:]
    else:
        return
    if proto == 132 and l4[12] == 1:
        sport, dport = struct.unpack("!HH", l4[:4])
        say("INIT", sport, dport, f"ttl={ttl} tos={tos}")
    elif proto == 6 and l4[13] & 2:
        sport, dport = struct.unpack("!HH", l4[:4])
        o = tcp_options(l4[20:4 * (l4[12] >> 4)])
        window = struct.unpack("!H", l4[14:16])[0]
        say("SYN,ACK" if l4[13] & 16 else "SYN", sport, dport, f"ttl={ttl} tos={tos & 252} mss={o.get('mss', '-')} uto={o.get('uto', '-')}",
            f"window={window}")


def watch(iface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
    s.bind((iface, 0))
    say("listening")
    while True:
        look(s.recv(65536))


def new(address, options, kind=socket.IPPROTO_TCP):
    v6 = ":" in address
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM, kind)
    for option in options:
        name, value = option.split("=")
        s.setsockopt(*NAMES[name](v6), int(value))
    return s


def wait_connected(s):
    p = select.poll()
    p.register(s, select.POLLOUT)
    p.poll(30000)
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def connect(how, address, port, *options):
    s = new(address, options, 132 if how == "sctp" else socket.IPPROTO_TCP)
    if how == "bound":
        s.bind(("::" if ":" in address else "0.0.0.0", 0))
    if how == "again": # nobody listens there; Linux and we let the program try again with the same socket
        try:
            s.connect((address, 9))
            sys.exit("somebody listens at port 9")
        except ConnectionRefusedError:
            pass
    if how == "fastopen":
        s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    if how == "nonblock":
        s.setblocking(False)
        try:
            s.connect((address, int(port)))
        except BlockingIOError:
            pass
        error = wait_connected(s)
        if error:
            sys.exit(f"error {error}")
    elif how in ("sctp", "early"):
        s.setblocking(False)
        s.connect_ex((address, int(port)))
        signal.pause()
    else:
        s.connect((address, int(port)))
    if how == "fastopen":
        s.send(b"first")
    for option in options:
        name, value = option.split("=")
        if name in ("ttl", "tos"):
            got = s.getsockopt(*NAMES[name](":" in address))
            if got != int(value):
                sys.exit(f"{name} is {got}")
    say(s.getsockname()[1])
    s.close()


def listen(address, port, *options):
    s = new(address, options)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.listen(64)
    say("listening")
    while True:
        s.accept()[0].close()


{"watch": watch, "connect": connect, "listen": listen}[sys.argv[1]](*sys.argv[2:])
