# python_client.py KIND HOST PORT CONNECTIONS ROUNDS - sends random bytes to an echo server, compares what comes back
import asyncio, multiprocessing, random, selectors, socket, sys, threading

kind, host, port, conns, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
errors = []


def messages(number):
    rnd = random.Random(number)
    for _ in range(rounds):
        yield rnd.randbytes(rnd.choice((1, 64, 1460, 10000, 200000)))


def same(number, got, wanted):
    if got != wanted:
        raise AssertionError(f"connection {number}: {len(got)} bytes, wanted {len(wanted)}, or others")


def blocking(number):
    with socket.create_connection((host, port), timeout=30) as sock:
        for message in messages(number):
            sender = threading.Thread(target=sock.sendall, args=(message,))
            sender.start()
            got = bytearray()
            while len(got) < len(message) and (data := sock.recv(65536)):
                got += data
            sender.join()
            same(number, bytes(got), message)
        sock.shutdown(socket.SHUT_WR)
        same(number, sock.recv(1), b"")


def datagrams(number):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        sock.settimeout(1)
        for i in range(rounds):
            message = random.Random(i).randbytes(1 + i * 20)
            for attempt in range(10):  # may be lost
                sock.send(message)
                try:
                    while sock.recv(65536) != message:  # an answer to an earlier attempt
                        pass
                    break
                except socket.timeout:
                    pass
            else:
                raise AssertionError(f"socket {number}: datagram {i} was never answered")


async def by_asyncio(number):
    reader, writer = await asyncio.open_connection(host, port)
    for message in messages(number):
        writer.write(message)
        same(number, await asyncio.wait_for(reader.readexactly(len(message)), 30), message)
    writer.write_eof()
    same(number, await asyncio.wait_for(reader.read(), 30), b"")
    writer.close()


async def all_asyncio():
    await asyncio.gather(*(by_asyncio(n) for n in range(conns)))


def all_selectors():
    """Non-blocking connects at once; each connection sends all its messages and gathers what comes back."""
    selector = selectors.DefaultSelector()
    left = 0
    for number in range(conns):
        sock = socket.socket(family)
        sock.setblocking(False)
        sock.connect_ex((host, port))
        data = b"".join(messages(number))
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, [number, data, 0, bytearray()])
        left += 1
    while left:
        ready = selector.select(30)
        if not ready:
            raise AssertionError("nothing is ready for 30 s")
        for key, mask in ready:
            sock, state = key.fileobj, key.data
            number, data, sent, got = state
            if mask & selectors.EVENT_WRITE:
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                state[2] = sent = sent + sock.send(data[sent:sent + 65536])
                if sent == len(data):
                    selector.modify(sock, selectors.EVENT_READ, state)
                    sock.shutdown(socket.SHUT_WR)
            if mask & selectors.EVENT_READ:
                part = sock.recv(65536)
                got += part
                if not part:
                    same(number, bytes(got), data)
                    selector.unregister(sock)
                    sock.close()
                    left -= 1


def guarded(function, number):
    try:
        function(number)
    except Exception as e:  # every thread's failure is the program's
        errors.append(f"{number}: {type(e).__name__} {e}")


def all_threads(function):
    threads = [threading.Thread(target=guarded, args=(function, n)) for n in range(conns)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


if kind == "asyncio":
    asyncio.run(all_asyncio())
elif kind == "selectors":
    all_selectors()
elif kind == "udp":
    all_threads(datagrams)
elif kind == "threads":
    all_threads(blocking)
elif kind == "processes":
    with multiprocessing.Pool(conns) as pool:
        pool.map(blocking, range(conns))
if errors:
    sys.exit("\n".join(errors[:5]))
