"""fastopen.py - an echo server with TCP_FASTOPEN, and a client of the kernel that uses it: which of its SYNs' data was taken
usage: fastopen.py serve ADDRESS PORT QUEUE | ask ADDRESS PORT TIMES"""
import socket
import sys

TCP_FASTOPEN, MSG_FASTOPEN, TCPI_OPT_SYN_DATA = 23, 0x20000000, 32


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def took_syn_data(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5] & TCPI_OPT_SYN_DATA != 0


def serve(address, port, queue):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, queue)
    s.listen(16)
    assert s.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN) == queue
    print("listening", flush=True)
    while True:
        c, _ = s.accept()
        got = b""
        while not got.endswith(b"\n"):
            more = c.recv(4096)
            if not more:
                break
            got += more
        c.sendall(got)
        print("syn-data" if took_syn_data(c) else "usual", len(got), flush=True)
        c.close()


def ask(address, port, times):
    told = []
    for i in range(times):
        s = socket.socket(family(address), socket.SOCK_STREAM)
        text = b"x" * (200 * (i + 1)) + b"\n"
        assert s.sendto(text, MSG_FASTOPEN, (address, port)) == len(text)
        got = b""
        while len(got) < len(text):
            more = s.recv(4096)
            assert more
            got += more
        assert got == text
        told.append("1" if took_syn_data(s) else "0")
        s.close()
    print(" ".join(told))


if __name__ == "__main__":
    (serve if sys.argv[1] == "serve" else ask)(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
