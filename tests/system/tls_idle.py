# tls_idle.py ADDRESS PORT CA N - TLS clients that send 100 KB each there and back, and then nothing until standard input ends: then the same again
import socket
import ssl
import sys

address, port, ca, n = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
context = ssl.create_default_context(cafile=ca)


def echoes(c):
    sent = bytes(100000)
    c.sendall(sent)
    left = len(sent)
    while left:
        part = c.recv(left)
        if not part:
            sys.exit("the server closed")
        left -= len(part)


clients = [context.wrap_socket(socket.create_connection((address, port), 30), server_hostname=address) for _ in range(n)]
for c in clients:
    echoes(c)
print("idle", flush=True)
sys.stdin.read()
for c in clients:
    echoes(c)
print("again", flush=True)
