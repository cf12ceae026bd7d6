# tls_peer.py - peers on the kernel's side for tls-life.sh, tls-ends.sh and tls-crowd.sh, and plain programs for the stack's (under transparent TLS)
#
#   storm ADDRESS PORT CA N       until standard input ends: clients that come, resumed or not, say a line and go, beside N that stay and go on
#                                 talking; prints handshakes, resumed ones, the certificates' names, rounds of those who stay
#   crowd ADDRESS PORT N          until standard input ends: N clients at a time that go when the server has answered their ClientHello; prints
#                                 how many answers came, and in how many seconds
#   hold ADDRESS PORT N           until standard input ends: N clients that say their ClientHello, and nothing more
#   pour ADDRESS PORT             a ClientHello and then zeros, until none was taken for two seconds; prints how many bytes were
#   server ADDRESS PORT CERT KEY  says something to each who says a word, and then: "cut": FIN without close_notify; "torn": FIN amid a record;
#                                 "bye": close_notify; "half": close_notify, and counts what comes until the other end says its own
#   client HOW ADDRESS PORT       says something, and ends as above; prints how many bytes came back. HOW "later": reads until the other end's
#                                 close_notify, then says more, and its own; prints what came in front of it
#   (TLS_MAX=1.2 in the environment: server and client speak no later version)
#   plain-client ADDRESS PORT WORD [nb]     no TLS of its own; nb: without waiting. Says the word, prints what it gets, and then the end
#   plain-server ADDRESS PORT [nb]          echoes to one, and prints the same
import errno
import os
import select
import selectors
import socket
import ssl
import sys
import threading
import time

what, args = sys.argv[1], sys.argv[2:]
STORY = b"half a story\n"
MORE = 100000


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def limited(ctx):
    if os.environ.get("TLS_MAX") == "1.2":
        ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    return ctx


def insecure():
    ctx = limited(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    return ctx


class Tls:
    """TLS over a socket, record by record, so that each end can be left out."""

    def __init__(self, sock, ctx, is_server=False, name=None):
        self.sock, self.inside, self.outside = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.inside, self.outside, server_side=is_server, server_hostname=name)
        self.until(self.tls.do_handshake)

    def until(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                self.inside.write(data) if data else self.inside.write_eof()
            finally:
                self.flush()

    def flush(self):
        if self.outside.pending:
            self.sock.sendall(self.outside.read())

    def read(self):
        try:
            return self.until(lambda: self.tls.read(65536))
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, data):
        self.until(lambda: self.tls.write(data))

    def goodbye(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def end(self, how):
        if how == "torn":
            self.tls.write(STORY)
            self.sock.sendall(self.outside.read()[:-1])
        if how in ("bye", "half"):
            self.goodbye()
        if how != "half":
            self.sock.shutdown(socket.SHUT_WR)

    def rest(self):
        n = 0
        while data := self.read():
            n += len(data)
        return n


def storm(address, port, ca, n_stay):
    over, lock = threading.Event(), threading.Lock()
    count = {"handshakes": 0, "resumed": 0, "rounds": 0}
    names, faults = set(), []

    def come(ctx, session):
        with socket.create_connection((address, port), 30) as raw, ctx.wrap_socket(raw, server_hostname=address, session=session) as c:
            c.sendall(b"a line\n")
            assert c.recv(100) == b"a line\n"
            name = dict(x[0] for x in c.getpeercert()["subject"])["commonName"]
            with lock:
                count["handshakes"] += 1
                count["resumed"] += c.session_reused
                names.add(name)
            return c.session

    def guest(i):
        ctx = ssl.create_default_context(cafile=ca)
        if i & 1:
            ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        while not over.is_set():
            session = come(ctx, session if i & 2 else None)

    def resident():
        ctx = ssl.create_default_context(cafile=ca)
        stay = [ctx.wrap_socket(socket.create_connection((address, port), 30), server_hostname=address) for _ in range(n_stay)]
        text = bytes(10000)
        while not over.is_set():
            for c in stay:
                c.sendall(text)
                left = len(text)
                while left:
                    data = c.recv(left)
                    assert data, "one who stayed was sent away"
                    left -= len(data)
                with lock:
                    count["rounds"] += 1

    def safely(f, *a):
        try:
            f(*a)
        except Exception as e:  # every fault of any of them is the test's
            faults.append(repr(e))
            over.set()

    crew = [threading.Thread(target=safely, args=(guest, i)) for i in range(4)] + [threading.Thread(target=safely, args=(resident,))]
    for t in crew:
        t.start()
    print("begun", flush=True)
    while not over.is_set() and not (select.select([0], [], [], 0.1)[0] and not os.read(0, 1)):
        pass
    over.set()
    for t in crew:
        t.join()
    print(*["%s=%d" % x for x in count.items()], "names=" + ",".join(sorted(names)), "faults=%d" % len(faults), *faults[:3])


def client_hello():
    out = ssl.MemoryBIO()
    try:
        insecure().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def hold(address, port, n):
    held = [socket.create_connection((address, port), 20) for _ in range(n)]
    for s in held:
        s.sendall(client_hello())
    print("begun", flush=True)
    while os.read(0, 1):
        pass


def pour(address, port):
    s = socket.socket(family(address))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    s.connect((address, port))
    s.sendall(client_hello())
    s.setblocking(False)
    taken = 0
    while select.select([], [s], [], 4)[1]:
        taken += s.send(bytes(4096))
    print(taken)


def crowd(address, port, n):
    hello, sel, answers, begin = client_hello(), selectors.DefaultSelector(), 0, time.monotonic()

    def come():
        s = socket.socket(family(address))
        s.setblocking(False)
        s.connect_ex((address, port))
        sel.register(s, selectors.EVENT_WRITE)

    for _ in range(n):
        come()
    sel.register(0, selectors.EVENT_READ)
    print("begun", flush=True)
    while True:
        for key, _ in sel.select():
            if key.fd == 0:
                if not os.read(0, 1):
                    print(answers, "%.1f" % (time.monotonic() - begin))
                    return
                continue
            s = key.fileobj
            if key.events == selectors.EVENT_WRITE and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                s.send(hello)
                sel.modify(s, selectors.EVENT_READ)
                continue
            try:
                answers += s.recv(100) != b""
            except OSError:
                pass
            sel.unregister(s)
            s.close()
            come()


def server(address, port, cert, key):
    ctx = limited(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    ctx.load_cert_chain(cert, key)
    listener = socket.create_server((address, port), family=family(address), backlog=64)
    print("ready", flush=True)
    while True:
        c = Tls(listener.accept()[0], ctx, is_server=True)
        word = c.read().decode().strip()
        c.write(STORY)
        c.end(word)
        if word == "half":
            print("half", c.rest(), flush=True)
            c.sock.shutdown(socket.SHUT_WR)
        try:
            while c.sock.recv(65536):
                pass
        except OSError:
            pass
        c.sock.close()


def client(how, address, port):
    c = Tls(socket.create_connection((address, port), 20), insecure())
    c.write(STORY)
    if how == "later":
        came = b""
        while data := c.read():
            came += data
        c.write(bytes(MORE))
        c.end("bye")
        print(came.decode().strip(), c.tls.version())
        return
    got = 0
    while got < len(STORY):
        got += len(c.read())
    c.end(how)
    try:
        print(got + c.rest())
    except (OSError, ssl.SSLError):
        print(got)


def ready_for(s, event):
    if s.gettimeout() == 0.0:
        p = select.poll()
        p.register(s, event)
        assert p.poll(20000)


def send_all(s, data):
    while data:
        ready_for(s, select.POLLOUT)
        try:
            data = data[s.send(data):]
        except BlockingIOError:
            pass


def read_to_end(s, each):
    """What came, and how it ended."""
    got = b""
    while True:
        ready_for(s, select.POLLIN)
        try:
            data = s.recv(65536)
        except BlockingIOError:
            continue
        except OSError as e:
            return got, errno.errorcode[e.errno]
        if not data:
            return got, "end"
        each(data)
        got += data


def plain_client(address, port, word, *nb):
    s = socket.create_connection((address, port), 20)
    s.settimeout(None)
    s.setblocking(not nb)
    send_all(s, word.encode() + b"\n")
    got, end = read_to_end(s, lambda _: None)
    if word == "half" and end == "end":  # the other direction goes on
        send_all(s, bytes(MORE))
        s.shutdown(socket.SHUT_WR)
        again = read_to_end(s, lambda _: None)
        assert again == (b"", "end"), again
    print(got.decode().strip(), end)


def plain_server(address, port, *nb):
    listener = socket.create_server((address, port), family=family(address), backlog=8)
    print("ready", flush=True)
    while True:
        s = listener.accept()[0]
        s.setblocking(not nb)
        got, end = read_to_end(s, lambda data: send_all(s, data))
        if end == "end":  # the client has said that it is through: this side may go on
            send_all(s, bytes(MORE))
        print(got.decode().strip(), end, flush=True)
        s.close()


{"storm": lambda: storm(args[0], int(args[1]), args[2], int(args[3])), "crowd": lambda: crowd(args[0], int(args[1]), int(args[2])),
 "pour": lambda: pour(args[0], int(args[1])),
 "hold": lambda: hold(args[0], int(args[1]), int(args[2])),
 "server": lambda: server(args[0], int(args[1]), *args[2:]), "client": lambda: client(args[0], args[1], int(args[2])),
 "plain-client": lambda: plain_client(args[0], int(args[1]), *args[2:]),
 "plain-server": lambda: plain_server(args[0], int(args[1]), *args[2:])}[what]()
