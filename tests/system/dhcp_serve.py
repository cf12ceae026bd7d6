"""dhcp_serve.py IFACE SERVER-IP MODE-FILE - a DHCP server that does what the mode file says, read anew for each message

The file has words: give=ADDRESS/LENGTH lease=S t1=S t2=S router=A mtu=N route=PREFIX,VIA ... and what to do:
normal (default) | quiet (answers nothing) | nounicast (answers what comes by broadcast) | nak (refuses requests, offers nothing) |
bad (before each offer malformed ones). Each message heard is a line on standard output.
"""
import ipaddress
import socket
import struct
import sys

iface, server, mode_file = sys.argv[1:4]
ME = ipaddress.ip_address(server).packed
COOKIE = bytes([99, 130, 83, 99])
NAMES = {1: "discover", 3: "request", 4: "decline", 7: "release"}
OFFER, ACK, NAK = 2, 5, 6


def checksum(b):
    if len(b) % 2:
        b += b"\0"
    s = sum(struct.unpack(">%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def option(code, value):
    return bytes([code, len(value)]) + value


def read_mode():
    words = {}
    routes = []
    for w in open(mode_file).read().split():
        key, _, value = w.partition("=")
        if key == "route":
            routes.append(value)
        else:
            words[key] = value
    return words, routes


def options_of(kind, words, routes):
    out = option(53, bytes([kind])) + option(54, ME)
    if kind == NAK:
        return out + option(56, b"go\x1b away") + b"\xff"
    net = ipaddress.ip_interface(words["give"])
    out += option(1, net.netmask.packed) + option(51, struct.pack(">I", int(words.get("lease", 3600))))
    for key, code in (("t1", 58), ("t2", 59)):
        if key in words:
            out += option(code, struct.pack(">I", int(words[key])))
    if "router" in words:
        out += option(3, ipaddress.ip_address(words["router"]).packed)
    if "mtu" in words:
        out += option(26, struct.pack(">H", int(words["mtu"])))
    if routes:
        value = b""
        for r in routes:
            prefix, via = r.split(",")
            prefix = ipaddress.ip_network(prefix)
            n = (prefix.prefixlen + 7) // 8
            value += bytes([prefix.prefixlen]) + prefix.network_address.packed[:n] + ipaddress.ip_address(via).packed
        out += option(121, value[:7]) + option(121, value[7:])  # RFC 3396: in two parts
    return out + b"\xff"


def reply(request, kind, words, routes, options=None, fixed=240):
    yours = ipaddress.ip_interface(words["give"]).ip.packed if kind != NAK else bytes(4)
    head = bytes([2, 1, 6, 0]) + request[4:8] + bytes(4) + bytes(4) + yours + ME + bytes(4) + request[28:44] + bytes(192) + COOKIE
    return head[:fixed] + (options_of(kind, words, routes) if options is None else options)


def frame(dst_mac, dst_ip, payload):
    udp = struct.pack(">HHHH", 67, 68, 8 + len(payload), 0) + payload
    pseudo = ME + dst_ip + struct.pack(">BBH", 0, 17, len(udp))
    udp = udp[:6] + struct.pack(">H", checksum(pseudo + udp) or 0xffff) + udp[8:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + ME + dst_ip
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return dst_mac + s.getsockname()[4] + b"\x08\x00" + ip + udp


def answer(request, payload):
    if request[12:16] != bytes(4):
        s.send(frame(request[28:34], request[12:16], payload))
    else:
        s.send(frame(b"\xff" * 6, b"\xff" * 4, payload))


def malformed(request, words, routes):
    good = options_of(OFFER, words, routes)
    yield reply(request, OFFER, words, routes, b"")                        # no options
    yield reply(request, OFFER, words, routes, good[:-1])                  # no end
    yield reply(request, OFFER, words, routes, good[:7])                   # cut
    yield reply(request, OFFER, words, routes, b"", fixed=200)             # cut in the header
    yield reply(request, OFFER, words, routes, option(53, b"\x02\x02") + good[3:])
    yield reply(request, OFFER, words, routes, option(53, b"\x09") + good[3:])
    yield reply(request, OFFER, words, routes, good[:-1] + option(1, b"\xff\x00\xff\x00") + b"\xff")
    yield reply(request, OFFER, words, routes, good[:-1] + option(121, b"\x21" + bytes(9)) + b"\xff")
    yield reply(request, OFFER, words, routes, good[:-1] + b"\x0c\xff\xff")
    yield b"\x01" + reply(request, OFFER, words, routes)[1:]               # a request


def take(kind, request, broadcast):
    words, routes = read_mode()
    if "quiet" in words or ("nounicast" in words and not broadcast):
        return
    if kind == 1 and "nak" not in words:
        if "bad" in words:
            for m in malformed(request, words, routes):
                answer(request, m)
        answer(request, reply(request, OFFER, words, routes))
    elif kind == 3:
        answer(request, reply(request, NAK if "nak" in words else ACK, words, routes))


s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
s.bind((iface, 0x0800))
print("ready", flush=True)
while True:
    f = s.recv(4096)
    if len(f) < 14 + 20 + 8 + 240 or f[23] != 17 or f[34:38] != struct.pack(">HH", 68, 67):
        continue
    request = f[42:]
    at, kind = 240, 0
    while at + 2 < len(request) and request[at] != 255:
        if request[at] == 53:
            kind = request[at + 2]
        at += 2 + request[at + 1]
    broadcast = f[30:34] == b"\xff" * 4
    print(NAMES.get(kind, kind), "broadcast" if broadcast else "unicast", "from", ".".join(map(str, f[26:30])), flush=True)
    take(kind, request, broadcast)
