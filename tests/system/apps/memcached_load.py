# memcached_load.py HOST PORT CONNECTIONS ROUNDS - text protocol from one thread a connection, every answer compared
import random, socket, sys, threading

host, port, conns, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
errors = []


def client(number):
    rnd = random.Random(number)
    sock = socket.create_connection((host, port), timeout=30)
    stream = sock.makefile("rb")

    def ask(request, want):
        sock.sendall(request)
        got = stream.read(len(want))
        if got != want:
            raise AssertionError(f"{request[:60]!r}: got {got[:80]!r}, wanted {want[:80]!r}")

    for i in range(rounds):
        key = f"k{number}.{i % 50}".encode()
        size = rnd.choice((1, 100, 1460, 9000, 100000 if i % 20 == 0 else 300))
        value = rnd.randbytes(size)
        ask(b"set %s 7 0 %d\r\n%s\r\n" % (key, size, value), b"STORED\r\n")
        ask(b"get %s\r\n" % key, b"VALUE %s 7 %d\r\n%s\r\nEND\r\n" % (key, size, value))
        ask(b"append %s 0 0 3\r\nxyz\r\n" % key, b"STORED\r\n")
        ask(b"get %s\r\n" % key, b"VALUE %s 7 %d\r\n%sxyz\r\nEND\r\n" % (key, size + 3, value))
        if i % 10 == 0:
            ask(b"set n%d 0 0 2\r\n41\r\n" % number, b"STORED\r\n")
            ask(b"incr n%d 1\r\n" % number, b"42\r\n")
            ask(b"delete %s\r\n" % key, b"DELETED\r\n")
            ask(b"get %s\r\n" % key, b"END\r\n")
    sock.sendall(b"quit\r\n")
    if stream.read() != b"":
        raise AssertionError("bytes after quit")


def run(number):
    try:
        client(number)
    except Exception as e:  # every thread's failure is the program's
        errors.append(f"connection {number}: {type(e).__name__} {e}")


threads = [threading.Thread(target=run, args=(n,)) for n in range(conns)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("\n".join(errors[:5]) or f"{conns} connections, {rounds} rounds each")
sys.exit(bool(errors))
