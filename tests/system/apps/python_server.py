# python_server.py KIND PORT ADDRESS... - an echo server of one of Python's kinds on each address
import asyncio, selectors, signal, socket, socketserver, sys, threading

kind, port, addresses = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoDatagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


def serve_socketserver(base, handler):
    threads = []
    for address in addresses:
        server_class = type("Server", (base,), {
            "address_family": family(address), "allow_reuse_address": True, "daemon_threads": True,
            "request_queue_size": 128, "block_on_close": False, "max_children": 100})
        server = server_class((address, port), handler)
        threads.append(threading.Thread(target=server.serve_forever, daemon=True))
    for thread in threads:
        thread.start()
    signal.pause()


async def serve_asyncio():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    servers = [await asyncio.start_server(echo, address, port) for address in addresses]
    await asyncio.gather(*(s.serve_forever() for s in servers))


def serve_selectors():
    """One thread, non-blocking, edge conditions by hand: what is not sent at once waits for EVENT_WRITE."""
    selector = selectors.DefaultSelector()
    for address in addresses:
        sock = socket.create_server((address, port), family=family(address), backlog=128)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, None)
    while True:
        for key, mask in selector.select():
            if key.data is None:
                conn, _ = key.fileobj.accept()
                conn.setblocking(False)
                selector.register(conn, selectors.EVENT_READ, bytearray())
                continue
            conn, pending = key.fileobj, key.data
            try:
                if mask & selectors.EVENT_READ:
                    data = conn.recv(65536)
                    if not data and not pending:
                        selector.unregister(conn)
                        conn.close()
                        continue
                    pending += data
                if pending:
                    del pending[:conn.send(pending)]
            except BlockingIOError:
                pass
            selector.modify(conn, selectors.EVENT_WRITE if len(pending) > 1 << 20
                            else selectors.EVENT_READ | (selectors.EVENT_WRITE if pending else 0), pending)


if kind == "asyncio":
    asyncio.run(serve_asyncio())
elif kind == "selectors":
    serve_selectors()
elif kind == "udp":
    serve_socketserver(socketserver.ThreadingUDPServer, EchoDatagram)
else:
    serve_socketserver({"threading": socketserver.ThreadingTCPServer, "forking": socketserver.ForkingTCPServer}[kind], Echo)
