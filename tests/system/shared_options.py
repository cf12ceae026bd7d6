"""shared_options.py - options and O_NONBLOCK belong to the open socket, whoever has it: what one process sets another one reads, and it acts there

all ADDRESS WAY...   for each way that a socket takes and each kind of socket, every option that can be set: what the other process reads
same KERNEL STACK    of two outputs: are they the same where the kernel has taken the option? Options that it has not are newer than it
receive FD, work FD WORD   what of it runs in programs of their own"""
import os
import select
import signal
import socket
import struct
import sys

WAIT_S = 60
SELF = [sys.executable, os.path.abspath(__file__)]
SOL, IP, IP6, TCP, UDP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_TCP, socket.IPPROTO_UDP
LEVEL = {SOL: "SOL_SOCKET", IP: "IP", IP6: "IPV6", TCP: "TCP", UDP: "UDP"}
KINDS = ("client", "accepted", "listener", "bound", "connected")


def seconds(s, us=0):
    return struct.pack("ll", s, us)


# None of the values is the default one. IP_TOS comes before SO_PRIORITY, which it sets with Linux.
ANY = [(SOL, socket.SO_REUSEADDR, 1), (SOL, socket.SO_KEEPALIVE, 1), (SOL, socket.SO_OOBINLINE, 1), (SOL, socket.SO_RCVLOWAT, 7),
       (SOL, socket.SO_PRIORITY, 5), (SOL, 46, 20), (SOL, socket.SO_RCVTIMEO, seconds(5)), (SOL, socket.SO_SNDTIMEO, seconds(6)),
       (SOL, socket.SO_LINGER, struct.pack("ii", 1, 7)), (SOL, socket.SO_RCVBUF, 20000), (SOL, socket.SO_SNDBUF, 20000), (SOL, 35, 1),
       (SOL, 40, 1), (SOL, 45, 1), (SOL, 60, 1), (SOL, 69, 1)]
STREAM = [(SOL, 47, 1 << 20), (TCP, socket.TCP_NODELAY, 1), (TCP, socket.TCP_CORK, 1), (TCP, socket.TCP_KEEPIDLE, 100),
          (TCP, socket.TCP_KEEPINTVL, 11), (TCP, socket.TCP_KEEPCNT, 3), (TCP, socket.TCP_USER_TIMEOUT, 12345), (TCP, 25, 777), (TCP, 16, 1),
          (TCP, socket.TCP_SYNCNT, 3), (TCP, 36, 1), (TCP, socket.TCP_LINGER2, 9), (TCP, socket.TCP_DEFER_ACCEPT, 7)]
LISTENER = [(TCP, 23, 5)]
DGRAM = [(SOL, socket.SO_BROADCAST, 1), (SOL, 42, 3), (SOL, 11, 1), (SOL, 47, 1 << 20), (UDP, 104, 1), (UDP, 103, 500), (UDP, 101, 1), (UDP, 102, 1)]
ANY_IP = [(IP, socket.IP_TOS, 0x48), (IP, socket.IP_TTL, 33), (IP, 8, 1), (IP, 21, 9), (IP, 10, 2), (IP, 20, 1), (IP, 24, 1),
          (IP, 15, 1), (IP, 19, 1)]
DGRAM_IP = [(IP, 11, 1), (IP, 12, 1), (IP, 13, 1), (IP, socket.IP_MULTICAST_TTL, 5), (IP, socket.IP_MULTICAST_LOOP, 0), (IP, 49, 0)]
ANY_IP6 = [(IP6, socket.IPV6_TCLASS, 0x48), (IP6, socket.IPV6_UNICAST_HOPS, 34), (IP6, socket.IPV6_RECVPKTINFO, 1), (IP6, 62, 1), (IP6, 73, 9),
           (IP6, 23, 2), (IP6, 74, 1)]
DGRAM_IP6 = [(IP6, 51, 1), (IP6, 66, 1), (IP6, 25, 1), (IP6, socket.IPV6_MULTICAST_HOPS, 5), (IP6, socket.IPV6_MULTICAST_LOOP, 0), (IP6, 29, 0)]


def options_of(s, kind):
    stream, v6 = s.type == socket.SOCK_STREAM, s.family == socket.AF_INET6
    return (ANY_IP + ANY + (STREAM if stream else DGRAM) + (LISTENER if kind == "listener" else []) + ([] if stream else DGRAM_IP) +
            (ANY_IP6 if v6 else []) + (DGRAM_IP6 if v6 and not stream else []))


def look(s, kind):
    lines = [f"blocking {os.get_blocking(s.fileno())}"]
    for level, name, value in options_of(s, kind):
        try:
            got = s.getsockopt(level, name, 16).hex()
        except OSError as e:
            got = e.strerror
        lines.append(f"{LEVEL[level]} {name} {got}")
    return lines


def make(kind, address):
    """The socket, and what has to stay beside it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind in ("bound", "connected"):
        s, other = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        s.bind((address, 0))
        other.bind((address, 0))
        if kind == "connected":
            s.connect(other.getsockname())
        return s, [other]
    listener = socket.create_server((address, 0), family=family)
    if kind == "listener":
        return listener, []
    client = socket.create_connection(listener.getsockname()[:2], WAIT_S)
    client.settimeout(None)
    accepted = listener.accept()[0]
    return (client, [accepted, listener]) if kind == "client" else (accepted, [client, listener])


# ---- not what it reads, but what it does ----

def times_out(s):
    before = os.times().elapsed
    try:
        if s.getsockopt(SOL, socket.SO_ACCEPTCONN):
            s.accept()
        else:
            s.recv(100)
        return ["it got something"]
    except BlockingIOError:
        return ["waited" if os.times().elapsed - before > 0.05 else "did not wait"]


def there(s):
    try:
        return len(s.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return 0


def too_few(s):
    while there(s) < 3:
        pass
    return ["ready" if select.select([s], [], [], 0)[0] else "not ready"]


def read_inline(s):
    got = b""
    while len(got) < 3:
        got += s.recv(100)
    return [got.decode()]


def close_it(s):
    s.close()
    return ["closed"]


def algorithm(s):
    """Reno, which the stack calls newreno."""
    return ["reno" if s.getsockopt(TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").endswith(b"reno") else "another one"]


def accept_one(s):
    c = s.accept()[0]
    return [f"accepted: {c.getsockopt(TCP, socket.TCP_NODELAY)} {c.getsockopt(SOL, socket.SO_KEEPALIVE)}"]


def send_few(other):
    other.send(b"abc")


def send_urgent(other):
    other.send(b"abc", socket.MSG_OOB)


def nothing(other):
    pass


# Kinds of socket, what is set, what the other end does before, and what the other process does then.
ACTS = {
    "timeout": (KINDS, [(SOL, socket.SO_RCVTIMEO, seconds(0, 100000))], nothing, times_out),
    "lowat": (("client", "accepted"), [(SOL, socket.SO_RCVLOWAT, 5)], send_few, too_few),
    "inline": (("client", "accepted"), [(SOL, socket.SO_OOBINLINE, 1)], send_urgent, read_inline),
    "linger": (("client", "accepted"), [(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))], nothing, close_it),
    "congestion": (("client", "accepted", "listener"), [(TCP, socket.TCP_CONGESTION, b"reno")], nothing, algorithm),
    "inherit": (("listener",), [(TCP, socket.TCP_NODELAY, 1), (SOL, socket.SO_KEEPALIVE, 1)], nothing, accept_one),
}


def work(word, s):
    signal.alarm(WAIT_S)
    said = look(s, word) if word in KINDS else ACTS[word][3](s)
    signal.alarm(10 * WAIT_S)
    return said


# ---- what runs elsewhere ----

def tell(unix, text):
    unix.sendall(text.encode() + b"\0")


def hear(unix):
    text = b""
    while not text.endswith(b"\0"):
        part = unix.recv(65536)
        assert part, "the other process has ended"
        text += part
    return text[:-1].decode()


def send_socket(unix, word, s):
    socket.send_fds(unix, [word.encode()], [s.fileno()])


def take_socket(unix):
    word, fds, _, _ = socket.recv_fds(unix, 100, 1)
    return word.decode(), socket.socket(fileno=fds[0]) if fds else None


def receive(unix):
    while True:
        word, s = take_socket(unix)
        if not s:
            return
        tell(unix, "taken")
        tell(unix, "\n".join(work(word, s)) if hear(unix) == "work" else "nothing")
        s.close()


def receiver():
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    os.posix_spawn(SELF[0], SELF + ["receive", str(theirs.fileno())], os.environ)
    theirs.close()
    return ours


def pass_to(unix, word, s, order):
    send_socket(unix, word, s)
    assert hear(unix) == "taken"
    if order == "work":
        s.close()
    tell(unix, order)
    return hear(unix).split("\n")


def program(s, word, spawns):
    """Of a program that has the socket as its number 50, and is the only one to have it when it begins."""
    ours, theirs = socket.socketpair()
    arguments = SELF + ["work", "50", word]
    if spawns:
        pid = os.posix_spawn(SELF[0], arguments, os.environ,
                             file_actions=[(os.POSIX_SPAWN_DUP2, s.fileno(), 50), (os.POSIX_SPAWN_DUP2, theirs.fileno(), 51)])
    else:
        pid = os.fork()
        if pid == 0:
            os.dup2(s.fileno(), 50)
            os.dup2(theirs.fileno(), 51)
            os.execv(SELF[0], arguments)
    theirs.close()
    assert hear(ours) == "taken"
    s.close()
    tell(ours, "work")
    said = hear(ours).split("\n")
    os.waitpid(pid, 0)
    return said


# ---- the ways; each closes the socket ----

def way_rights(s, word, change, unix):
    change(s)
    return pass_to(unix, word, s, "work")


def way_again(s, word, change, unix):
    """Passed before, too, when nothing was set yet."""
    pass_to(unix, word, s, "close")
    change(s)
    return pass_to(unix, word, s, "work")


def way_self(s, word, change, unix):
    ours, theirs = socket.socketpair()
    change(s)
    send_socket(ours, word, s)
    s.close()
    return work(word, take_socket(theirs)[1])


def way_exec(s, word, change, unix):
    change(s)
    return program(s, word, False)


def way_spawn(s, word, change, unix):
    change(s)
    return program(s, word, True)


def child(does, *arguments):
    """It does that when it is told to; what it says then comes with that word's answer."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        signal.alarm(5 * WAIT_S)
        try:
            ours.close()
            hear(theirs)
            tell(theirs, "\n".join(does(*arguments)))
        finally:
            os._exit(0)
    theirs.close()
    return ours, pid


def ask(unix, pid):
    tell(unix, "now")
    said = hear(unix)
    os.waitpid(pid, 0)
    return said.split("\n") if said else []


def way_child(s, word, change, unix):
    """The parent sets, the child reads."""
    c = child(work, word, s)
    change(s)
    s.close()
    return ask(*c)


def way_parent(s, word, change, unix):
    """The other way round. The child has ended by then."""
    change.refused.update(ask(*child(change, s)))
    said = work(word, s)
    s.close()
    return said


def way_siblings(s, word, change, unix):
    setter, reader = child(change, s), child(work, word, s)
    s.close()
    change.refused.update(ask(*setter))
    return ask(*reader)


def way_grandchild(s, word, change, unix):
    """Its parent has ended before."""
    def fork(unix):
        ours, _ = child(work, word, s)
        send_socket(unix, "x", ours)
        return []

    ours, theirs = socket.socketpair()
    ask(*child(fork, theirs))
    c = take_socket(ours)[1]
    change(s)
    s.close()
    tell(c, "now")
    return hear(c).split("\n")


WAYS = {name[4:]: way for name, way in list(globals().items()) if name.startswith("way_")}


# ---- all of it ----

class Change:
    """Called, it sets the options; what was not taken is noted, and returned."""

    def __init__(self, options, blocks=True, then=None):
        self.options, self.blocks, self.then, self.refused = options, blocks, then, set()

    def __call__(self, s):
        s.setblocking(self.blocks)
        for level, name, value in self.options:
            try:
                s.setsockopt(level, name, value)
            except OSError:
                self.refused.add(f"{LEVEL[level]} {name}")
        if self.then:
            self.then()
        return sorted(self.refused)


def read_all(address, way, kind, blocks, unix):
    s, others = make(kind, address)
    change = Change(options_of(s, kind), blocks)
    for line in WAYS[way](s, kind, change, unix):
        name = line.rsplit(" ", 1)[0]
        print(f"{way} {kind} {'' if blocks else 'non-'}blocking: {line}{' (not taken)' if name in change.refused else ''}")
    for each in others:
        each.close()


def act(address, way, kind, what, unix):
    s, others = make(kind, address)
    name = s.getsockname()[:2]
    if others:
        others[0].settimeout(WAIT_S)

    def connect():
        others.append(socket.create_connection(name, WAIT_S))

    ACTS[what][2](others[0] if others else None)
    said = WAYS[way](s, what, Change(ACTS[what][1], then=connect if what == "inherit" else None), unix)
    if what == "linger":
        try:
            said.append(f"{len(others[0].recv(1))} bytes")
        except ConnectionResetError:
            said.append("reset")
    print(f"{way} {kind} acts: {what}: {', '.join(said)}")
    for each in others:
        each.close()


def run(address, ways):
    unix = receiver()
    for way in ways:
        for kind in KINDS:
            read_all(address, way, kind, True, unix)
            read_all(address, way, kind, False, unix)
            for what in ACTS:
                # Where a process has ended before, the server may hear of that later than of the close: compliance page.
                if kind in ACTS[what][0] and not (what == "linger" and way in ("parent", "siblings", "grandchild")):
                    act(address, way, kind, what, unix)


def same(kernel, stack):
    with open(kernel) as k, open(stack) as s:
        want, got = k.read().split("\n"), s.read().split("\n")
    bad = [f"the kernel: {w}\nthe stack: {g}" for w, g in zip(want, got) if w != g and not w.endswith("(not taken)")]
    if len(want) != len(got):
        bad.append(f"{len(want)} and {len(got)} lines")
    print("\n".join(bad))
    sys.exit(bool(bad))


signal.alarm(10 * WAIT_S)
if sys.argv[1] == "all":
    run(sys.argv[2], sys.argv[3:])
elif sys.argv[1] == "same":
    same(*sys.argv[2:4])
elif sys.argv[1] == "receive":
    receive(socket.socket(fileno=int(sys.argv[2])))
else:
    unix, s = socket.socket(fileno=51), socket.socket(fileno=int(sys.argv[2]))
    tell(unix, "taken")
    hear(unix)
    tell(unix, "\n".join(work(sys.argv[3], s)))
