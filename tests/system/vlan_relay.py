"""vlan_relay.py TRUNK VLAN:PORT... - what a VLAN switch does, for a kernel that has no VLANs

Frames with an 802.1Q tag that come in by TRUNK go out by the PORT of their VLAN without it, and back. Checksums that are still
open and super-frames stay as they are (PACKET_VNET_HDR).
vlan_relay.py --send TRUNK TCI HEX...: one frame, bytes in hexadecimal behind the source address, with that tag.
"""
import socket
import struct
import select
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
TP_STATUS_VLAN_VALID = 0x10
VNET = struct.Struct("<BBHHHH")


def open_port(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    for option in (PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING):
        s.setsockopt(SOL_PACKET, option, 1)
    s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    s.setsockopt(SOL_PACKET, 1, struct.pack("iHH8s", socket.if_nametoindex(name), 1, 0, b""))  # promiscuous
    s.bind((name, 3))  # ETH_P_ALL
    return s


def receive(s):
    data, control, _, _ = s.recvmsg(66000, 256)
    tci = None
    for level, kind, aux in control:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            fields = struct.unpack("<IIIHHHH", aux[:20])
            if fields[0] & TP_STATUS_VLAN_VALID:
                tci = fields[5]
    return data, tci


def tagged(data, tci):
    flags, gso, hdr_len, gso_size, start, offset = VNET.unpack(data[:10])
    if flags & 1:
        start += 4
    if gso:
        hdr_len += 4
    head = VNET.pack(flags, gso, hdr_len, gso_size, start, offset)
    return head + data[10:22] + struct.pack(">HH", 0x8100, tci) + data[22:]


def send(s, data):
    try:
        s.send(data)
    except OSError:
        pass  # as a switch: lost


if sys.argv[1] == "--send":
    trunk = open_port(sys.argv[2])
    mac = open("/sys/class/net/%s/address" % sys.argv[2]).read().strip().replace(":", "")
    frame = bytes.fromhex(sys.argv[4] + mac + "".join(sys.argv[5:]))
    trunk.send(tagged(bytes(10) + frame, int(sys.argv[3], 0)))
    sys.exit(0)

trunk = open_port(sys.argv[1])
ports = {}
for word in sys.argv[2:]:
    vlan, name = word.split(":")
    ports[int(vlan)] = open_port(name)
vlan_of = {s: vlan for vlan, s in ports.items()}
print("ready", flush=True)
while True:
    for s in select.select([trunk] + list(vlan_of), [], [])[0]:
        data, tci = receive(s)
        if s is not trunk:
            send(trunk, tagged(data, vlan_of[s]))
        elif tci is not None and tci & 0xfff in ports:
            send(ports[tci & 0xfff], data)
