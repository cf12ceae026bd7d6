#!/usr/bin/env python3
# ra_send.py - sends one router advertisement: ra_send.py IF LIFETIME [prefix=P/L,VALID,PREFERRED,FLAGS] [mtu=N] [hops=N] [times=HOPLIMIT,REACHABLE,RETRANS] [raw=HEX] [type=N]
#   [src=ADDRESS] [pref=high|low] [route=PREFIX/L,LIFETIME,BITS] [redirect=TARGET,DESTINATION to=ADDRESS (the message is a redirect then)]
import socket
import struct
import sys

ifname, lifetime = sys.argv[1], int(sys.argv[2])
body, hops, kind = b"", 255, 134
flags_of, src, redirect, to = 0, None, None, "ff02::1"
hop_limit, reachable, retrans = 64, 0, 0
for word in sys.argv[3:]:
    key, value = word.split("=", 1)
    if key == "prefix":
        prefix, valid, preferred, flags = value.split(",")
        address, length = prefix.split("/")
        bits = (0x80 if "L" in flags else 0) | (0x40 if "A" in flags else 0)
        body += struct.pack("!BBBBIII16s", 3, 4, int(length), bits, int(valid), int(preferred), 0, socket.inet_pton(socket.AF_INET6, address))
    elif key == "route":  # PREFIX/LENGTH,LIFETIME,PREFERENCE (0 to 3 as on the wire)[,UNITS]
        prefix, life, bits, *units = value.split(",")
        address, length = prefix.split("/")
        n = int(units[0]) if units else 1 + (int(length) + 63) // 64
        body += struct.pack("!BBBBI", 24, n, int(length), int(bits) << 3, int(life)) + socket.inet_pton(socket.AF_INET6, address)[:(n - 1) * 8].ljust((n - 1) * 8, b"\0")
    elif key == "mtu":
        body += struct.pack("!BBHI", 5, 1, 0, int(value))
    elif key == "hops":
        hops = int(value)
    elif key == "times":
        hop_limit, reachable, retrans = map(int, value.split(","))
    elif key == "type":
        kind = int(value)
    elif key == "src":
        src = value
    elif key == "pref":
        flags_of = {"high": 0x08, "low": 0x18}[value]
    elif key == "redirect":
        redirect = b"".join(socket.inet_pton(socket.AF_INET6, a) for a in value.split(","))
    elif key == "to":
        to = value
    elif key == "raw":
        body += bytes.fromhex(value)
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)  # the kernel computes the checksum
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ifname.encode())
if src:
    s.bind((src, 0, 0, socket.if_nametoindex(ifname)))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
message = struct.pack("!BBHBBHII", kind, 0, 0, hop_limit, flags_of, lifetime, reachable, retrans) + body
if redirect:
    message = struct.pack("!BBHI", 137, 0, 0, 0) + redirect + body
s.sendto(message, (to, 0, 0, socket.if_nametoindex(ifname)))
