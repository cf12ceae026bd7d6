# freebind.py - freebind.sh's program: sockets bound to an address that is not there yet (IP_FREEBIND, IP_TRANSPARENT)
#   options FAMILY OWN PEER   what the options read as, who may set them, what bind and connect say. OWN: an address of this host,
#                             PEER: one of the other's
#   serve FAMILY ADDRESS HOW  bound before the address is there; answers one connection and one datagram. HOW: block, poll, own (block with the other option)
#   call FAMILY ADDRESS PORT  the other host's: a connection and a datagram, each answered
import errno
import os
import select
import socket
import sys

PATIENCE = 60
FAMILY = {'4': socket.AF_INET, '6': socket.AF_INET6}[sys.argv[2]]
LEVEL = {'4': socket.IPPROTO_IP, '6': socket.IPPROTO_IPV6}[sys.argv[2]]
FREEBIND, TRANSPARENT = {'4': (15, 19), '6': (78, 75)}[sys.argv[2]]
NOBODYS = {'4': '198.51.100.7', '6': '2001:db8:77::7'}[sys.argv[2]]
LOOPBACK = {'4': '127.0.0.1', '6': '::1'}[sys.argv[2]]


def said(call, *args):
    try:
        call(*args)
        return 'ok'
    except OSError as e:
        return errno.errorcode[e.errno]


def new(kind, *options):
    s = socket.socket(FAMILY, kind)
    for o in options:
        s.setsockopt(LEVEL, o, 1)
    return s


def options(own):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for o in (FREEBIND, TRANSPARENT):
            name = '%s %s' % (kind.name, 'free' if o == FREEBIND else 'transparent')
            s = new(kind)
            print(name, 'before', s.getsockopt(LEVEL, o), 'bind', said(s.bind, (NOBODYS, 0)))
            for value in (b'\1\0\0\0', b'\0', b'', b'\0\2\0\0'):
                print(name, value, said(s.setsockopt, LEVEL, o, value), s.getsockopt(LEVEL, o))
            print(name, 'by the other level', said(s.setsockopt, 0, {FREEBIND: 15, TRANSPARENT: 19}[o], 0), s.getsockopt(LEVEL, o))
            s = new(kind, o)
            print(name, 'bind', said(s.bind, (NOBODYS, 0)), s.getsockname()[0], s.getsockname()[1] != 0)
            print(name, 'again', said(s.bind, (NOBODYS, 0)))
            again = new(kind, o)
            print(name, 'the same port', said(again.bind, s.getsockname()[:2]))
            if FAMILY == socket.AF_INET and o == FREEBIND:
                for to in (sys.argv[4], LOOPBACK):  # older kernels say EINVAL
                    print(name, 'connect to', to, said(s.connect, (to, 9)) in ('ENETUNREACH', 'EINVAL'))
        s = new(kind, FREEBIND)
        s.bind((own, 0))
        print(kind.name, 'bound to our own', s.getsockname()[0] == own, s.getsockopt(LEVEL, FREEBIND), said(s.setsockopt, LEVEL, FREEBIND, 0),
              s.getsockopt(LEVEL, FREEBIND), said(s.setsockopt, LEVEL, TRANSPARENT, 1), s.getsockopt(LEVEL, TRANSPARENT))
    listener = new(socket.SOCK_STREAM, FREEBIND, TRANSPARENT)
    listener.bind((LOOPBACK, 0))
    listener.listen()
    c = new(socket.SOCK_STREAM)
    c.connect(listener.getsockname()[:2])
    a = listener.accept()[0]
    print('accepted', a.getsockopt(LEVEL, FREEBIND), a.getsockopt(LEVEL, TRANSPARENT))
    far = new(socket.SOCK_STREAM, FREEBIND)
    far.bind((NOBODYS, 0))
    far.listen()
    print('not here', said(new(socket.SOCK_STREAM).connect, (NOBODYS, far.getsockname()[1])))
    os.setuid(65534)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = new(kind)
        s.bind((own, 0))
        print(kind.name, 'nobody may', said(s.setsockopt, LEVEL, FREEBIND, 1), said(s.setsockopt, LEVEL, TRANSPARENT, 1),
              said(s.setsockopt, LEVEL, TRANSPARENT, 0), s.getsockopt(LEVEL, TRANSPARENT))


def ready(s, how):
    s.settimeout(0 if how == 'poll' else None)
    if how != 'poll':
        return None
    e = select.epoll()
    e.register(s, select.EPOLLIN | select.EPOLLET)
    if not e.poll(PATIENCE):
        sys.exit('nobody came')
    return e


def serve(address, how):
    option = FREEBIND if how == 'block' else TRANSPARENT
    stream, dgram = new(socket.SOCK_STREAM, option), new(socket.SOCK_DGRAM, option)
    stream.bind((address, 0))
    stream.listen()
    dgram.bind((address, stream.getsockname()[1]))
    print(stream.getsockname()[1], flush=True)
    sets = [ready(stream, how)]
    a, peer = stream.accept()
    a.settimeout(PATIENCE)
    a.sendall(a.recv(100).upper())
    print('from', peer[0], 'at', a.getsockname()[0], flush=True)
    sets.append(ready(dgram, how))
    data, peer = dgram.recvfrom(100)
    dgram.sendto(data.upper(), peer)
    print('datagram', data.decode(), 'from', peer[0], flush=True)
    c = new(socket.SOCK_STREAM, option)
    c.bind((address, 0))
    c.settimeout(PATIENCE)
    c.connect((peer[0], 7099))
    print('connected from', c.getsockname()[0], 'with', len(sets), flush=True)


def call(address, port):
    back = socket.socket(FAMILY)
    back.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    back.bind(('', 7099))
    back.listen()
    back.settimeout(PATIENCE)
    s = socket.create_connection((address, port), PATIENCE)
    s.sendall(b'stream')
    print(s.recv(100))
    d = socket.socket(FAMILY, socket.SOCK_DGRAM)
    d.settimeout(PATIENCE)
    d.connect((address, port))
    d.send(b'dgram')
    print(d.recv(100))
    print('back from', back.accept()[1][0])


if sys.argv[1] == 'options':
    options(sys.argv[3])
elif sys.argv[1] == 'serve':
    serve(sys.argv[3], sys.argv[4])
else:
    call(sys.argv[3], int(sys.argv[4]))
