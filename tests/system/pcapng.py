#!/usr/bin/env python3
# pcapng.py - prints a pcapng file, strictly read: one line a block; exit 1 and a reason when the file breaks the format
import struct
import sys


def options(b):
    out = {}
    while len(b) >= 4:
        code, n = struct.unpack_from("<HH", b)
        if code == 0:
            return out
        if 4 + n > len(b):
            sys.exit("an option longer than its block")
        out.setdefault(code, b[4:4 + n])
        b = b[4 + (n + 3) // 4 * 4:]
    if b:
        sys.exit("bytes behind the options")
    return out


data = open(sys.argv[1], "rb").read()
at, names = 0, []
while at < len(data):
    kind, total = struct.unpack_from("<II", data, at)
    if total % 4 or at + total > len(data) or struct.unpack_from("<I", data, at + total - 4)[0] != total:
        sys.exit("block at %d has no consistent length" % at)
    body = data[at + 8:at + total - 4]
    at += total
    if kind == 0x0A0D0D0A:
        print("section", options(body[16:])[4].decode())
    elif kind == 1:
        names.append(options(body[8:])[2].decode())
        print("interface", names[-1], "linktype", struct.unpack_from("<H", body)[0])
    elif kind == 6:
        ifc, hi, lo, cap, length = struct.unpack_from("<IIIII", body)
        o = options(body[20 + (cap + 3) // 4 * 4:])
        way = {1: "in", 2: "out"}[struct.unpack("<I", o[2])[0] & 3]
        frame = body[20:20 + cap]
        print("packet", names[ifc], way, "len", length, "type", frame[12:14].hex(), "time", (hi << 32 | lo) // 1000000,
              "comment", o.get(1, b"-").decode())
    elif kind == 5:
        o = options(body[12:])
        print("statistics received", struct.unpack("<Q", o[4])[0], "dropped", struct.unpack("<Q", o[5])[0])
    else:
        sys.exit("block of unknown kind %d" % kind)
