# tls_bytes.py ADDRESS PORT CA - a TLS client all of whose records arrive byte by byte, and then many records in one segment
import socket
import ssl
import sys

sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.settimeout(60)
ctx = ssl.create_default_context(cafile=sys.argv[3])
inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ctx.wrap_bio(inside, outside, server_hostname=sys.argv[1])


def flush():
    for b in outside.read():
        sock.send(bytes([b]))


def until(call):
    while True:
        try:
            result = call()
            flush()
            return result
        except ssl.SSLWantReadError:
            flush()
            data = sock.recv(65536)
            if not data:
                sys.exit("the server closed")
            inside.write(data)


until(tls.do_handshake)
until(lambda: tls.write(b"a line of some bytes\n"))
got = b""
while not got.endswith(b"\n"):
    got += until(lambda: tls.read(1000))
assert got == b"a line of some bytes\n", got

# 300 records of a few bytes each, in as few segments as they fit
for i in range(300):
    tls.write(b"%05d\n" % i)
sock.sendall(outside.read())
want, got = b"".join(b"%05d\n" % i for i in range(300)), b""
while len(got) < len(want):
    got += until(lambda: tls.read(10000))
assert got == want, got
