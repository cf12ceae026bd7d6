#!/usr/bin/env python3
# mcast_probe.py - joins groups and prints what comes, or sends to a group: recv PORT BIND GROUP,... [IF] | send GROUP PORT N [IF] [TTL] [LOOP]
import socket
import struct
import sys


def family(a):
    return socket.AF_INET6 if ":" in a else socket.AF_INET


def join(s, group, ifc, what=None):
    if ":" in group:
        index = int(ifc) if ifc and ifc.isdigit() else socket.if_nametoindex(ifc) if ifc else 0
        s.setsockopt(socket.IPPROTO_IPV6, what or socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index))
    else:
        s.setsockopt(socket.IPPROTO_IP, what or socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(ifc or "0.0.0.0"))


def recv(port, bind, groups, ifc=""):
    s = socket.socket(family(bind), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for g in filter(None, groups.split(",")):
        join(s, g, ifc)
    if ":" in bind:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        s.setsockopt(socket.IPPROTO_IP, 12, 1)
        s.setsockopt(socket.IPPROTO_IP, 13, 1)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_PKTINFO if hasattr(socket, "IP_PKTINFO") else 8, 1)
    s.bind((bind, int(port)))
    print("ready", flush=True)
    s.settimeout(60)
    while True:
        data, anc, _, src = s.recvmsg(2000, 500)
        said = {}
        for level, kind, v in anc:
            if (level, kind) == (socket.IPPROTO_IP, socket.IP_TTL):
                said["ttl"] = struct.unpack("i", v)[0]
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                said["ttl"] = struct.unpack("i", v)[0]
            elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
                said["tos"] = v[0]
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_TCLASS):
                said["tos"] = struct.unpack("i", v)[0]
            elif (level, kind) == (socket.IPPROTO_IP, 8):
                said["to"] = socket.inet_ntoa(v[8:12])
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                said["to"] = socket.inet_ntop(socket.AF_INET6, v[:16])
        print(data.decode(), src[0].split("%")[0], said.get("to"), "ttl", said.get("ttl"), "tos", said.get("tos"), flush=True)
        if data == b"end":
            return


def send(group, port, n, ifc="", ttl="1", loop="1"):
    s = socket.socket(family(group), socket.SOCK_DGRAM)
    if ":" in group:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, int(ttl))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(loop))
        if ifc:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(ifc))
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, int(ttl))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loop))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if ifc:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ifc))
    for i in range(int(n)):
        s.sendto(b"m%d" % i, (group, int(port)))
    # The last one with a class and a limit of its own.
    if ":" in group:
        anc = [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", 0x48)), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("i", 7))]
    else:
        anc = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 0x48)), (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 7))]
    s.sendmsg([b"end"], anc, 0, (group, int(port)))


def errors(group, ifc=""):
    """What setsockopt says, step by step, before and after bind."""
    out = []
    leave = socket.IPV6_LEAVE_GROUP if ":" in group else socket.IP_DROP_MEMBERSHIP
    other = "ff05::dead" if ":" in group else "239.9.9.9"
    unicast = "fd77::2" if ":" in group else "10.77.0.2"
    for bound in (False, True):
        s = socket.socket(family(group), socket.SOCK_DGRAM)
        if bound:
            s.bind(("", 0))
        for g, what in ((group, None), (group, None), (unicast, None), (other, leave), (group, leave), (group, leave), (group, None)):
            try:
                join(s, g, ifc, what)
                out.append("0")
            except OSError as e:
                out.append(str(e.errno))
        s.close()
    print(" ".join(out))


{"recv": recv, "send": send, "errors": errors}[sys.argv[1]](*sys.argv[2:])
