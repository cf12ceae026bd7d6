# dns_ask.py SERVER PORT udp|tcp NAME ADDRESS - asks for an A record and compares the address
import socket, struct, sys

server, port, mode, name, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack("!HH", 1, 1)
query = struct.pack("!HHHHHH", 0x4D2, 0x100, 1, 0, 0, 0) + question
if mode == "tcp":
    with socket.create_connection((server, port), timeout=10) as sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        stream = sock.makefile("rb")
        answer = stream.read(struct.unpack("!H", stream.read(2))[0])
else:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        for attempt in range(5):  # may be lost
            sock.sendto(query, (server, port))
            try:
                answer, peer = sock.recvfrom(4096)
                break
            except socket.timeout:
                pass
        else:
            sys.exit("no answer")
        if peer[0] != server or peer[1] != port:
            sys.exit(f"answered by {peer}")
got = socket.inet_ntoa(answer[-4:])
if answer[:2] != query[:2] or got != wanted:
    sys.exit(f"got {got}: {answer.hex()}")
