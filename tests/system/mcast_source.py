#!/usr/bin/env python3
"""mcast_source.py - groups with filters of sources (RFC 3678)

walk PORT GROUP IF      does what the lines of standard input say and prints "did LINE: ERRNO"; what comes meanwhile: "got DATA SOURCE"
    join | leave | add S | drop S | block S | unblock S | set include|exclude S,... | get     (basic: IPv4's own options; else RFC 3678's)
errors GROUP IF A B     the results of many such calls, before and after bind, on one line
say GROUP PORT IF ADDRESS=WORD... UNICAST=WORD   a datagram from each address to the group, then one to a host
query GROUP IF SOURCE,...   a query of routers for sources of the group; none: for the group
"""
import errno
import select
import socket
import struct
import sys

BASIC = {"add": 39, "drop": 40, "block": 38, "unblock": 37}          # IP_ADD_SOURCE_MEMBERSHIP and the like
FULL = {"add": 46, "drop": 47, "block": 43, "unblock": 44}           # MCAST_JOIN_SOURCE_GROUP and the like
IP_MSFILTER, MCAST_MSFILTER = 41, 48
MODES = {"include": 1, "exclude": 0}


def is6(a):
    return ":" in a


def packed(a):
    return socket.inet_pton(socket.AF_INET6 if is6(a) else socket.AF_INET, a)


def storage(a):
    body = struct.pack("=HHI", socket.AF_INET6, 0, 0) + packed(a) if is6(a) else struct.pack("=HH", socket.AF_INET, 0) + packed(a)
    return body.ljust(128, b"\0")


def text(ss):
    family = struct.unpack("=H", ss[:2])[0]
    return socket.inet_ntop(family, ss[8:24] if family == socket.AF_INET6 else ss[4:8])


class Member:
    def __init__(self, s, group, ifc, basic):
        self.s, self.group, self.ifc, self.basic = s, group, ifc, basic and not is6(group)
        self.level = socket.IPPROTO_IPV6 if is6(group) else socket.IPPROTO_IP
        # The stack's interfaces have no index: none is named; the kernel's is by its name (basic: by its address).
        self.index = socket.if_nametoindex(ifc) if ifc and not self.basic else 0
        self.addr = socket.inet_aton(ifc or "0.0.0.0") if self.basic else b""

    def filter(self, mode, sources):
        if self.basic:
            return IP_MSFILTER, packed(self.group) + self.addr + struct.pack("=II", mode, len(sources)) + b"".join(map(packed, sources))
        head = struct.pack("=Q", self.index) + storage(self.group) + struct.pack("=II", mode, len(sources))
        return MCAST_MSFILTER, head + b"".join(map(storage, sources))

    def call(self, op, *args):
        if op in ("join", "leave"):
            name = {"join": 42, "leave": 45}[op]
            self.s.setsockopt(self.level, name, struct.pack("=Q", self.index) + storage(self.group))
        elif op == "set":
            sources = [a for a in args[1].split(",") if a] if len(args) > 1 else []
            name, value = self.filter(MODES.get(args[0], 7), sources)
            self.s.setsockopt(self.level, name, value)
        elif op == "get":
            name, value = self.filter(0, ["::" if is6(self.group) else "0.0.0.0"] * int(args[0] if args else 8))
            return self.read(name, value)
        elif self.basic:
            self.s.setsockopt(self.level, BASIC[op], packed(self.group) + self.addr + packed(args[0]))
        else:
            self.s.setsockopt(self.level, FULL[op], struct.pack("=Q", self.index) + storage(self.group) + storage(args[0]))
        return ""

    def read(self, name, value):
        # Python's getsockopt() does not hand over what is asked about.
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        b = ctypes.create_string_buffer(value, len(value))
        n = ctypes.c_uint(len(value))
        if libc.getsockopt(self.s.fileno(), self.level, name, b, ctypes.byref(n)) != 0:
            raise OSError(ctypes.get_errno(), "getsockopt")
        got = b.raw[:n.value]
        head, each = (16, 4) if self.basic else (144, 128)
        mode, count = struct.unpack("=II", got[head - 8:head])
        there = [got[i:i + each] for i in range(head, len(got), each)]
        names = sorted(socket.inet_ntoa(x) if self.basic else text(x) for x in there)
        return " %s %d %s" % ({v: k for k, v in MODES.items()}[mode], count, ",".join(names))


def outcome(m, words):
    try:
        return "0" + m.call(*words)
    except OSError as e:
        return errno.errorcode[e.errno]


def walk(port, group, ifc, basic=""):
    s = socket.socket(socket.AF_INET6 if is6(group) else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", int(port)))
    m = Member(s, group, ifc, basic)
    print("ready", flush=True)
    while True:
        for f in select.select([s, sys.stdin], [], [])[0]:
            if f is s:
                data, src = s.recvfrom(100)
                print("got", data.decode(), src[0], flush=True)
                continue
            line = sys.stdin.readline()
            if not line:
                return
            print("did %s: %s" % (line.strip(), outcome(m, line.split())), flush=True)


def errors(group, ifc, a, b, basic=""):
    other = "ff05::dead" if is6(group) else "239.9.9.9"
    unicast = "fd77::9" if is6(group) else "10.77.0.9"
    steps = ["drop " + a, "block " + a, "unblock " + a, "set include " + a, "set exclude", "set include", "get", "add " + a, "add " + a, "block " + a,
             "add " + b, "get", "get 1", "get 0", "drop " + a, "drop " + a, "join", "set exclude " + b, "get", "set include " + a + "," + b, "get", "set nonsense " + a,
             "drop " + a, "drop " + b, "drop " + b, "leave", "join", "unblock " + a, "block " + a, "block " + a, "add " + b, "set exclude", "get", "add " + b, "get",
             "leave", "leave", "get"]
    out = []
    for bound in (False, True):
        s = socket.socket(socket.AF_INET6 if is6(group) else socket.AF_INET, socket.SOCK_DGRAM)
        if bound:
            s.bind(("", 0))
        m = Member(s, group, ifc, basic)
        out += [step + "=" + outcome(m, step.split()) for step in steps if step != "unblock " + a]
        for g in (other, unicast):
            bad = Member(s, g, ifc, basic)
            out += [g + " " + step + "=" + outcome(bad, step.split()) for step in ("block " + a, "add " + a, "drop " + a, "set include " + a, "get")]
        s.close()
    print("\n".join(out))


def say(group, port, ifc, *words):
    for w in words[:-1]:
        addr, _, word = w.partition("=")
        s = socket.socket(socket.AF_INET6 if is6(group) else socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((addr, 0))
        if is6(group):
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(ifc))
        else:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("0.0.0.0") + socket.inet_aton(addr) + struct.pack("=I", socket.if_nametoindex(ifc)))
        s.sendto(word.encode(), (group, int(port)))
    addr, _, word = words[-1].partition("=")
    socket.socket(socket.AF_INET6 if is6(addr) else socket.AF_INET, socket.SOCK_DGRAM).sendto(word.encode(), (addr, int(port)))


def csum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def query(group, ifc, sources=""):
    names = [packed(a) for a in sources.split(",") if a]
    rest = struct.pack("!BBH", 2, 125, len(names)) + b"".join(names)
    if is6(group):
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(ifc))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        s.bind((next(a[0] for a in link_local(ifc)), 0, 0, socket.if_nametoindex(ifc)))
        s.sendto(struct.pack("!BBHHH", 130, 0, 0, 100, 0) + packed(group) + rest, (group, 0))
        return
    q = struct.pack("!BBH", 0x11, 1, 0) + packed(group) + rest
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("=I", socket.if_nametoindex(ifc)))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\0\0")
    s.sendto(q[:2] + struct.pack("!H", csum(q)) + q[4:], (group, 0))


def link_local(ifc):
    for line in open("/proc/net/if_inet6"):
        f = line.split()
        if f[5] == ifc and f[0].startswith("fe80"):
            yield [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(f[0]))]


{"walk": walk, "errors": errors, "say": say, "query": query}[sys.argv[1]](*sys.argv[2:])
