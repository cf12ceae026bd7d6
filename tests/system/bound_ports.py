# usage: bound_ports.py OWN4 PEER4 OWN6 PEER6
# Connections to PEER's echo at port 7002 from sockets that were bound first: to a port of the stack's choice, to that again when the first
# one has gone, blocking and not. Prints what fails.
import errno, select, socket, struct, sys

PORT, N, WAIT = 7002, 15, 20


def connected(family, own, port, peer, blocks):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((own, port))
    s.settimeout(WAIT)
    if blocks:
        s.connect((peer, PORT))
        return s
    s.setblocking(False)
    rc = s.connect_ex((peer, PORT))
    if rc not in (0, errno.EINPROGRESS) or not select.select([], [s], [], WAIT)[1]:
        sys.exit(f"connect from {s.getsockname()} to {peer}: {rc} {errno.errorcode.get(rc)}")
    rc = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if rc:
        sys.exit(f"from {s.getsockname()} to {peer}: {errno.errorcode[rc]}")
    s.settimeout(WAIT)
    return s


def echoed(s):
    s.sendall(b"x" * 20000)
    got = 0
    while got < 20000:
        n = len(s.recv(20000))
        if n == 0:
            sys.exit("the echo ends")
        got += n


def abort(s): # no TIME-WAIT stays, which would hold the port for this peer
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


for family, own, peer in ((socket.AF_INET, sys.argv[1], sys.argv[2]), (socket.AF_INET6, sys.argv[3], sys.argv[4])):
    all = []
    for i in range(N):
        s = connected(family, own, 0, peer, i % 2 == 0)
        echoed(s)
        all.append(s)
    ports = [s.getsockname()[1] for s in all]
    for s in all:
        echoed(s)
        abort(s)
    for i, port in enumerate(ports):
        s = connected(family, own, port, peer, i % 2 == 1)
        echoed(s)
        s.close()
