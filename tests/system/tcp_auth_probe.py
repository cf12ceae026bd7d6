#!/usr/bin/env python3
"""tcp_auth_probe.py - both ends of connections that are signed by TCP MD5 (RFC 2385) or TCP-AO (RFC 5925); over the kernel or, preloaded, over the stack.

listen FAMILY PORT KEYFILE   echoes; keys are lines "address[/bits] key" of KEYFILE, read again at each SIGHUP: what is no longer there is removed
connect FAMILY ADDRESS PORT BYTES [KEY [SECONDS]]   0: all came back; 3: no answer in time; 4: refused or reset
hold FAMILY ADDRESS PORT KEY   connects and stays
ao-listen FAMILY PORT PEER ALG KEY...     TCP-AO: keys with identifiers 1, 2, ... both ways; echoes
ao-connect FAMILY ADDRESS PORT ALG KEY... [- SECONDS]  with the first key; with a second one, goes over to it half-way and removes the first
errors FAMILY                the errors of setsockopt
"""
import errno
import hashlib
import os
import signal
import socket
import struct
import sys
import threading

MD5SIG, MD5SIG_EXT, PREFIX = 14, 32, 1


def family_of(name):
    return socket.AF_INET6 if name == '6' else socket.AF_INET


def sockaddr(family, address):
    if family == socket.AF_INET:
        raw = struct.pack('=HH4s', socket.AF_INET, 0, socket.inet_pton(family, address))
    else:
        raw = struct.pack('=HHI16sI', socket.AF_INET6, 0, 0, socket.inet_pton(family, address), 0)
    return raw.ljust(128, b'\0')


def md5sig(family, address, key, bits=None, keylen=None, flags=None):
    flags = (PREFIX if bits is not None else 0) if flags is None else flags
    return sockaddr(family, address) + struct.pack('=BBHi', flags, bits or 0, len(key) if keylen is None else keylen, 0) + key.ljust(80, b'\0')


def set_key(sock, family, target, key):
    address, _, bits = target.partition('/')
    if bits:
        sock.setsockopt(socket.IPPROTO_TCP, MD5SIG_EXT, md5sig(family, address, key, int(bits)))
    else:
        sock.setsockopt(socket.IPPROTO_TCP, MD5SIG, md5sig(family, address, key))


def read_keys(path):
    with open(path) as f:
        return {target: key.encode() for target, key in (line.split() for line in f if line.strip())}


def echo(conn):
    with conn:
        try:
            while data := conn.recv(65536):
                conn.sendall(data)
        except OSError:
            pass


def listen(family, port, path):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keys = {}

    def reload(*_):
        new = read_keys(path)
        for target in keys.keys() - new.keys():
            set_key(sock, family, target, b'')
        for target, key in new.items():
            set_key(sock, family, target, key)
        keys.clear()
        keys.update(new)
        print('keys', len(keys), flush=True)

    sock.bind(('::' if family == socket.AF_INET6 else '0.0.0.0', port))
    reload()
    sock.listen(16)
    signal.signal(signal.SIGHUP, reload)
    print('listening', flush=True)
    while True:
        conn, _ = sock.accept()
        threading.Thread(target=echo, args=(conn,), daemon=True).start()


def connect(family, address, port, length, key=None, seconds=60):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(seconds)
    if key:
        set_key(sock, family, address, key.encode())
    try:
        sock.connect((address, port))
        data = os.urandom(length)
        got = hashlib.sha256()

        def read_all():
            left = length
            while left:
                piece = sock.recv(65536)
                if not piece:
                    return
                got.update(piece)
                left -= len(piece)

        reader = threading.Thread(target=read_all)
        reader.start()
        sock.sendall(data)
        reader.join()
        sock.close()
        return 0 if got.digest() == hashlib.sha256(data).digest() else 1
    except TimeoutError:
        return 3
    except ConnectionError:
        return 4


AO_ADD, AO_DEL, AO_INFO, AO_GET = 38, 39, 40, 41


def ao_add(sock, family, peer, alg, ident, key, current=False):
    sock.setsockopt(socket.IPPROTO_TCP, AO_ADD, sockaddr(family, peer) + alg.encode().ljust(64, b'\0') + struct.pack(
        '=iIHBBBBBB', 0, 3 if current else 0, 0, 128 if family == socket.AF_INET6 else 32, ident, ident, 0, 0, len(key)) + key.ljust(80, b'\0'))


def ao_del(sock, family, peer, ident):
    sock.setsockopt(socket.IPPROTO_TCP, AO_DEL, sockaddr(family, peer) + struct.pack(
        '=iIHBBBBBB', 0, 0, 0, 128 if family == socket.AF_INET6 else 32, ident, ident, 0, 0, 0))


def ao_info(sock):
    return struct.unpack('=IHBBQQQQQ', sock.getsockopt(socket.IPPROTO_TCP, AO_INFO, 48))


def ao_listen(family, port, peer, alg, keys):
    sock = socket.socket(family, socket.SOCK_STREAM)
    for ident, key in enumerate(keys, 1):
        ao_add(sock, family, peer, alg, ident, key.encode())
    sock.bind(('::' if family == socket.AF_INET6 else '0.0.0.0', port))
    sock.listen(16)
    print('listening', flush=True)
    while True:
        conn, _ = sock.accept()
        threading.Thread(target=ao_echo, args=(conn, len(keys)), daemon=True).start()


def ao_echo(conn, last):
    """Each side asks for the key that it wants to receive (RFC 5925 s3.3): half-way we ask for the last one, too."""
    left = 300000
    with conn:
        while left and (data := conn.recv(min(left, 65536))):
            left -= len(data)
            conn.sendall(data)
        while data := conn.recv(65536):
            conn.setsockopt(socket.IPPROTO_TCP, AO_INFO, struct.pack('=IHBBQQQQQ', 2, 0, 0, last, 0, 0, 0, 0, 0))
            conn.sendall(data)


def pass_through(sock, length):
    data = os.urandom(length)
    writer = threading.Thread(target=sock.sendall, args=(data,))
    writer.start()
    got = b''
    while len(got) < length:
        piece = sock.recv(65536)
        if not piece:
            break
        got += piece
    writer.join()
    assert got == data


def ao_connect(family, address, port, alg, keys, seconds):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(seconds)
    for ident, key in enumerate(keys, 1):
        ao_add(sock, family, address, alg, ident, key.encode(), ident == 1)
    try:
        sock.connect((address, port))
    except TimeoutError:
        return 3
    pass_through(sock, 300000)
    bits, _, current, rnext, good, bad, no_key, missing, _ = ao_info(sock)
    assert (bits & 3, current, rnext, bad, no_key, missing) == (3, 1, 1, 0, 0, 0) and good > 10
    if len(keys) == 1:
        return 0
    try:
        ao_del(sock, family, address, 1)
        assert False, 'the current key was removed'
    except OSError as e:
        assert e.errno == errno.EBUSY
    sock.setsockopt(socket.IPPROTO_TCP, AO_INFO, struct.pack('=IHBBQQQQQ', 2, 0, 0, 2, 0, 0, 0, 0, 0))
    pass_through(sock, 300000)
    _, _, current, rnext, _, bad, no_key, missing, _ = ao_info(sock)
    assert (current, rnext, bad, no_key, missing) == (2, 2, 0, 0, 0)
    ao_del(sock, family, address, 1)
    pass_through(sock, 1000)
    assert get_keys(sock) == (1, 2, 2)
    return 0


def get_keys(sock):
    """How many keys there are, and the identifiers of the first. Python gives getsockopt() a buffer of zeros: ask by ctypes."""
    import ctypes
    buf = ctypes.create_string_buffer(304 * 4)
    struct.pack_into('=IH', buf, 272, 4, 4)  # room for four, all of them
    size = ctypes.c_uint32(304)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getsockopt(sock.fileno(), socket.IPPROTO_TCP, AO_GET, buf, ctypes.byref(size)) != 0:
        raise OSError(ctypes.get_errno(), 'TCP_AO_GET_KEYS')
    n, _, sndid, rcvid = struct.unpack_from('=IHBB', buf, 272)
    return n, sndid, rcvid


def errors(family):
    address = '2001:db8::1' if family == socket.AF_INET6 else '192.0.2.1'
    sock = socket.socket(family, socket.SOCK_STREAM)
    cases = [
        ('short', MD5SIG, md5sig(family, address, b'k')[:100]),
        ('family', MD5SIG, struct.pack('=H', 77) + md5sig(family, address, b'k')[2:]),
        ('longkey', MD5SIG, md5sig(family, address, b'k', keylen=81)),
        ('remove-none', MD5SIG, md5sig(family, address, b'')),
        ('bits', MD5SIG_EXT, md5sig(family, address, b'k', 129 if family == socket.AF_INET6 else 33)),
        ('set', MD5SIG, md5sig(family, address, b'k')),
        ('prefix', MD5SIG_EXT, md5sig(family, address, b'k', 8)),
        ('remove-prefix', MD5SIG_EXT, md5sig(family, address, b'', 9)),
        ('remove', MD5SIG, md5sig(family, address, b'')),
        ('remove-again', MD5SIG, md5sig(family, address, b'')),
    ]
    for name, option, value in cases:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
            print(name, 'ok')
        except OSError as e:
            print(name, errno.errorcode[e.errno])
    try:
        sock.getsockopt(socket.IPPROTO_TCP, MD5SIG, 256)
        print('get ok')
    except OSError as e:
        print('get', errno.errorcode[e.errno])
    return 0


def main(argv):
    family = family_of(argv[2])
    if argv[1] == 'listen':
        listen(family, int(argv[3]), argv[4])
    if argv[1] == 'errors':
        return errors(family)
    if argv[1] == 'ao-listen':
        ao_listen(family, int(argv[3]), argv[4], argv[5], argv[6:])
    if argv[1] == 'ao-connect':
        keys, seconds = (argv[6:-2], float(argv[-1])) if '-' in argv[6:] else (argv[6:], 60)
        return ao_connect(family, argv[3], int(argv[4]), argv[5], keys, seconds)
    if argv[1] == 'hold':
        sock = socket.socket(family, socket.SOCK_STREAM)
        set_key(sock, family, argv[3], argv[5].encode())
        sock.connect((argv[3], int(argv[4])))
        signal.pause()
    return connect(family, argv[3], int(argv[4]), int(argv[5]), argv[6] if len(argv) > 6 and argv[6] != '-' else None, float(argv[7]) if len(argv) > 7 else 60)


sys.exit(main(sys.argv))
