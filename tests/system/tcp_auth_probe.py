#!/usr/bin/env python3
"""tcp_auth_probe.py - both ends of connections that are signed by TCP MD5 (RFC 2385); over the kernel or, preloaded, over the stack.

listen FAMILY PORT KEYFILE   echoes; keys are lines "address[/bits] key" of KEYFILE, read again at each SIGHUP: what is no longer there is removed
connect FAMILY ADDRESS PORT BYTES [KEY [SECONDS]]   0: all came back; 3: no answer in time; 4: refused or reset
hold FAMILY ADDRESS PORT KEY   connects and stays
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


def connect(family, address, port, length, key=None, seconds=10):
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
    if argv[1] == 'hold':
        sock = socket.socket(family, socket.SOCK_STREAM)
        set_key(sock, family, argv[3], argv[5].encode())
        sock.connect((argv[3], int(argv[4])))
        signal.pause()
    return connect(family, argv[3], int(argv[4]), int(argv[5]), argv[6] if len(argv) > 6 and argv[6] != '-' else None, float(argv[7]) if len(argv) > 7 else 10)


sys.exit(main(sys.argv))
