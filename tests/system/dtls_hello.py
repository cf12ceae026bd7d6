# dtls_hello.py - clients of DTLS that never finish their handshake (RFC 6347 s4.2.1), for tests
#
#   dtls_hello.py flood ADDRESS PORT N     N ClientHellos without cookie from addresses that are not theirs, and as many datagrams of noise
#   dtls_hello.py replay ADDRESS PORT      is a cookie taken from another port than it was given to? prints "refused" or "taken"
#   dtls_hello.py half ADDRESS PORT N      N clients bring their cookies back, and say no more; prints how many were answered
#   dtls_hello.py shortest ADDRESS PORT    the shortest ClientHellos there are, whole, as a first piece, and many in one datagram; prints the most
#                                          bytes that an answer had more than was asked with, and how many answers there were for a question
#   dtls_hello.py flight ADDRESS PORT      brings its cookie back; prints how long the longest datagram of the answer is, and how many there are
#   dtls_hello.py pieces ADDRESS PORT SIZE together|apart      ClientHellos in fragments of SIZE bytes, in one datagram or one each; prints "welcome"
import os
import random
import select
import socket
import struct
import sys

what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
HELLO_VERIFY_REQUEST, SERVER_HELLO = 3, 2


def hello(cookie=b"", seq=0):
    body = b"\xfe\xfd" + os.urandom(32) + b"\0" + bytes([len(cookie)]) + cookie + b"\0\2\xc0\x2b" + b"\1\0"
    ext = b"\0\x0a\0\4\0\2\0\x17" + b"\0\x0b\0\2\1\0" + b"\0\x0d\0\4\0\2\4\3"
    body += struct.pack("!H", len(ext)) + ext
    length = struct.pack("!I", len(body))[1:]
    message = b"\1" + length + struct.pack("!H", seq) + b"\0\0\0" + length + body
    return b"\x16\xfe\xfd" + struct.pack("!HHI", 0, 0, seq) + struct.pack("!H", len(message)) + message


def kind(answer):
    return answer[13] if len(answer) > 13 and answer[0] == 22 else None


def cookie_of(answer):
    return answer[28:28 + answer[27]]


def client():
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.connect((address, port))
    s.settimeout(30)
    return s


def ask(s, *datagrams):
    for _ in range(5):
        for data in datagrams:
            s.send(data)
        try:
            return s.recv(65536)
        except socket.timeout:
            pass
    sys.exit("no answer")


if what == "flood":
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    rnd = random.Random(1)
    for i in range(int(sys.argv[4])):
        for data in (hello(), rnd.randbytes(rnd.randrange(1, 200))):
            src = "10.77.0.%d" % rnd.randrange(100, 250)
            udp = struct.pack("!HHHH", rnd.randrange(1024, 65536), port, 8 + len(data), 0) + data
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + socket.inet_aton(src) + socket.inet_aton(address)
            raw.sendto(ip + udp, (address, 0))
elif what == "replay":
    a, b = client(), client()
    answer = ask(a, hello())
    assert kind(answer) == HELLO_VERIFY_REQUEST, answer
    print("refused" if kind(ask(b, hello(cookie_of(answer), 1))) == HELLO_VERIFY_REQUEST else "taken")
elif what == "half":
    clients = {client() for _ in range(int(sys.argv[4]))}
    answered = 0
    for s in clients:
        s.send(hello())
    while ready := select.select(clients, [], [], 2)[0]:  # those who are too many get no answer
        for s in ready:
            answer = s.recv(65536)
            if kind(answer) == HELLO_VERIFY_REQUEST:
                s.send(hello(cookie_of(answer), 1))
            else:
                answered += kind(answer) == SERVER_HELLO
                clients.remove(s)
    print(answered)
elif what == "shortest":
    def record(body, at, end, seq=0):
        part = body[at:end]
        message = b"\1" + struct.pack("!I", len(body))[1:] + b"\0\0" + struct.pack("!I", at)[1:] + struct.pack("!I", len(part))[1:] + part
        return b"\x16\xfe\xfd" + struct.pack("!HHI", 0, 0, seq) + struct.pack("!H", len(message)) + message

    # version, random, no session, no cookie; one suite, no compression; no extensions
    body = b"\xfe\xfd" + os.urandom(32) + b"\0\0" + b"\0\2\xc0\x2b" + b"\1\0"
    head = 2 + 32 + 2
    asked = [record(body, 0, len(body)), record(body, 0, head), record(body, 0, head) * 5,
             record(body, 0, 20) + record(body, 20, len(body), 1), record(body, 0, len(body)) * 10]
    most, answers = -65536, []
    for data in asked:
        s = client()
        first = ask(s, data)
        s.settimeout(0.5)
        got = [first]
        try:
            while True:
                got.append(s.recv(65536))
        except socket.timeout:
            pass
        most = max(most, sum(map(len, got)) - len(data))
        answers.append(len(got))
        assert all(kind(a) == HELLO_VERIFY_REQUEST for a in got), got
    print("no more" if most <= 0 else most, max(answers))
elif what == "flight":
    s = client()
    answer = ask(s, hello())
    s.send(hello(cookie_of(answer), 1))
    longest, n = len(s.recv(65536)), 1
    s.settimeout(0.7)  # the flight goes again after a second
    try:
        while True:
            answer = s.recv(65536)
            longest, n = max(longest, len(answer)), n + 1
    except socket.timeout:
        pass
    print(longest, n)
elif what == "pieces":
    size, where = int(sys.argv[4]), sys.argv[5]

    def pieces(whole, number):
        head, message = whole[:13], whole[13:]
        body = message[12:]
        for n, at in enumerate(range(0, len(body), size)):
            part = body[at:at + size]
            fragment = message[:6] + struct.pack("!I", at)[1:] + struct.pack("!I", len(part))[1:] + part
            yield head[:5] + struct.pack("!Q", number + n)[2:] + struct.pack("!H", len(fragment)) + fragment

    def ask_in_pieces(s, whole, number):
        sent = list(pieces(whole, number))
        return ask(s, *([b"".join(sent)] if where == "together" else sent))

    s = client()
    answer = ask_in_pieces(s, hello(), 0)
    assert kind(answer) == HELLO_VERIFY_REQUEST, answer
    answer = ask_in_pieces(s, hello(cookie_of(answer), 1), 100)
    print({SERVER_HELLO: "welcome", HELLO_VERIFY_REQUEST: "cookie refused"}.get(kind(answer), answer))
