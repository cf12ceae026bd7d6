"""fastopen.py - an echo server with TCP_FASTOPEN, and clients that use it: which of their SYNs' data was taken
usage: fastopen.py serve ADDRESS PORT:QUEUE[:KEY[:no-cookie]]... | ask ADDRESS PORT:TIMES:sendto|nonblock|connect|no-cookie|refused..."""
import os
import errno
import select
import socket
import sys
import threading

TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_KEY, TCP_FASTOPEN_NO_COOKIE = 23, 30, 33, 34
MSG_FASTOPEN, TCPI_OPT_SYN_DATA = 0x20000000, 32


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def took_syn_data(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5] & TCPI_OPT_SYN_DATA != 0


def listen(address, port, queue, key="", no_cookie=""):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, int(queue))
    if key:
        s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_KEY, bytes.fromhex(key))
        assert s.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_KEY, 32) == bytes.fromhex(key)
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, int(no_cookie != ""))
    s.listen(16)
    assert s.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN) == int(queue)
    return s


def serve(s, port):
    while True:
        c, _ = s.accept()
        got = b""
        while not got.endswith(b"\n"):
            more = c.recv(4096)
            if not more:
                break
            got += more
        c.sendall(got)
        # In one piece: print() writes the end of the line by itself, and another thread's line may come before it.
        os.write(1, f"{port} {'syn-data' if took_syn_data(c) else 'usual'} {len(got)}\n".encode())
        c.close()


def wait_out(s):
    p = select.poll()
    p.register(s, select.POLLOUT)
    assert p.poll(60000)
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def by_sendto(s, text, to):
    assert s.sendto(text, MSG_FASTOPEN, to) == len(text)


def by_nonblock(s, text, to):
    """Without a cookie EINPROGRESS and nothing taken; with one what fits the SYN."""
    s.setblocking(False)
    try:
        n = s.sendto(text, MSG_FASTOPEN, to)
        assert n > 0
        try:
            s.sendto(b"", MSG_FASTOPEN, to)
        except OSError as e:
            assert e.errno in (errno.EALREADY, errno.EISCONN), e
    except BlockingIOError as e:
        assert e.errno == errno.EINPROGRESS
        n = 0
    wait_out(s)
    s.setblocking(True)
    s.sendall(text[n:])


def by_connect(s, text, to):
    """A connect() that is done at once, and sends nothing before the program does."""
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    assert s.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT) == 1
    s.connect(to)
    wait_out(s)
    s.sendall(text)


def by_no_cookie(s, text, to):
    s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1)
    by_sendto(s, text, to)


def refused(address, port):
    """With a cookie of the host, at a port where nobody listens; the socket can be used again; a connection that nobody wrote to is closed."""
    s = socket.socket(family(address), socket.SOCK_STREAM)
    try:
        s.sendto(b"x", MSG_FASTOPEN, (address, port + 100))
        return "taken"
    except ConnectionRefusedError:
        pass
    assert s.sendto(b"again\n", MSG_FASTOPEN, (address, port)) == 6 and s.recv(100) == b"again\n"
    try:
        s.sendto(b"x", MSG_FASTOPEN, (address, port))
        return "taken twice"
    except OSError as e:
        assert e.errno == errno.EISCONN
    idle = socket.socket(family(address), socket.SOCK_STREAM)
    idle.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    idle.connect((address, port))
    idle.close()
    return "refused"


def ask(address, port, times, how):
    told = []
    for i in range(times):
        s = socket.socket(family(address), socket.SOCK_STREAM)
        text = b"x" * (200 * (i + 1)) + b"\n"
        {"sendto": by_sendto, "nonblock": by_nonblock, "connect": by_connect, "no-cookie": by_no_cookie, "refused": by_sendto}[how](
            s, text, (address, port))
        got = b""
        while len(got) < len(text):
            more = s.recv(4096)
            assert more
            got += more
        assert got == text
        told.append("1" if took_syn_data(s) else "0")
        s.close()
    if how == "refused":
        told.append(refused(address, port))
    print(" ".join(told))


if __name__ == "__main__":
    jobs = [a.split(":") for a in sys.argv[3:]]
    if sys.argv[1] == "serve":
        for job, s in [(job, listen(sys.argv[2], *job)) for job in jobs]:
            threading.Thread(target=serve, args=(s, job[0])).start()
        print("listening", flush=True)
    else:
        for port, times, how in jobs:
            ask(sys.argv[2], int(port), int(times), how)
