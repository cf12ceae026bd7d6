// NioEcho - echo server and clients: server PORT ADDRESS... | nio|threads|http PORT HOST CONNECTIONS ROUNDS
import com.sun.net.httpserver.HttpServer;
import java.io.DataInputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Arrays;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class NioEcho {
    static final int[] SIZES = {1, 100, 1460, 20000, 150000};

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[1]);
        if (args[0].equals("server")) {
            serve(port, Arrays.copyOfRange(args, 2, args.length));
            return;
        }
        InetAddress host = InetAddress.getByName(args[2]);
        int connections = Integer.parseInt(args[3]);
        int rounds = Integer.parseInt(args[4]);
        switch (args[0]) {
            case "nio": nioClient(host, port, connections, rounds); break;
            case "threads": inThreads(connections, n -> { blockingClient(host, port, n, rounds); return null; }); break;
            case "http": inThreads(connections, n -> { httpClient(args[2], port, n, rounds); return null; }); break;
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    static void serve(int port, String[] addresses) throws Exception {
        Selector selector = Selector.open();
        for (String address : addresses) {
            ServerSocketChannel listener = ServerSocketChannel.open();
            listener.bind(new InetSocketAddress(InetAddress.getByName(address), port), 256);
            listener.configureBlocking(false);
            listener.register(selector, SelectionKey.OP_ACCEPT);
            HttpServer http = HttpServer.create(new InetSocketAddress(InetAddress.getByName(address), port + 1), 128);
            http.createContext("/", exchange -> {
                byte[] body = exchange.getRequestBody().readAllBytes();
                exchange.sendResponseHeaders(200, body.length == 0 ? -1 : body.length);
                exchange.getResponseBody().write(body);
                exchange.close();
            });
            http.setExecutor(Executors.newCachedThreadPool());
            http.start();
        }
        while (true) {
            selector.select(key -> {
                try {
                    handle(selector, key);
                } catch (Exception e) {
                    key.cancel();
                    try { key.channel().close(); } catch (Exception ignored) { }
                }
            });
        }
    }

    static void handle(Selector selector, SelectionKey key) throws Exception {
        if (key.isAcceptable()) {
            SocketChannel channel = ((ServerSocketChannel) key.channel()).accept();
            if (channel == null) return;
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(65536));
            return;
        }
        SocketChannel channel = (SocketChannel) key.channel();
        ByteBuffer buffer = (ByteBuffer) key.attachment();
        boolean ended = channel.read(buffer) < 0;
        buffer.flip();
        channel.write(buffer);
        boolean left = buffer.hasRemaining();
        buffer.compact();
        if (ended && !left) {
            channel.close();
            return;
        }
        key.interestOps((left ? SelectionKey.OP_WRITE : 0) | (buffer.hasRemaining() && !ended ? SelectionKey.OP_READ : 0));
    }

    static byte[] message(Random random) {
        byte[] bytes = new byte[SIZES[random.nextInt(SIZES.length)]];
        random.nextBytes(bytes);
        return bytes;
    }

    static void same(int number, byte[] got, byte[] wanted) {
        if (!Arrays.equals(got, wanted)) throw new AssertionError("connection " + number + ": other bytes than sent");
    }

    interface Client { Object run(int number) throws Exception; }

    static void inThreads(int connections, Client client) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(connections);
        List<Future<?>> results = new ArrayList<>();
        for (int i = 0; i < connections; i++) {
            final int number = i;
            results.add(threads.submit((Callable<Object>) () -> client.run(number)));
        }
        for (Future<?> result : results) result.get();
        threads.shutdown();
    }

    static void blockingClient(InetAddress host, int port, int number, int rounds) throws Exception {
        Random random = new Random(number);
        try (Socket socket = new Socket(host, port)) {
            socket.setSoTimeout(30000);
            socket.setTcpNoDelay(true);
            DataInputStream in = new DataInputStream(socket.getInputStream());
            for (int i = 0; i < rounds; i++) {
                byte[] sent = message(random);
                byte[] got = new byte[sent.length];
                Thread writer = new Thread(() -> {
                    try { socket.getOutputStream().write(sent); } catch (Exception e) { throw new RuntimeException(e); }
                });
                writer.start();
                in.readFully(got);
                writer.join();
                same(number, got, sent);
            }
            socket.shutdownOutput();
            if (in.read() != -1) throw new AssertionError("bytes after the end");
        }
    }

    static void nioClient(InetAddress host, int port, int connections, int rounds) throws Exception {
        Selector selector = Selector.open();
        ByteBuffer[] out = new ByteBuffer[connections];
        ByteBuffer[] in = new ByteBuffer[connections];
        for (int i = 0; i < connections; i++) {
            Random random = new Random(i);
            byte[][] all = new byte[rounds][];
            int length = 0;
            for (int r = 0; r < rounds; r++) length += (all[r] = message(random)).length;
            out[i] = ByteBuffer.allocate(length);
            in[i] = ByteBuffer.allocate(length);
            for (byte[] bytes : all) out[i].put(bytes);
            out[i].flip();
            SocketChannel channel = SocketChannel.open();
            channel.configureBlocking(false);
            channel.connect(new InetSocketAddress(host, port));
            channel.register(selector, SelectionKey.OP_CONNECT, i);
        }
        int left = connections;
        while (left > 0) {
            if (selector.select(30000) == 0) throw new AssertionError("nothing is ready for 30 s, " + left + " left");
            for (SelectionKey key : selector.selectedKeys()) {
                SocketChannel channel = (SocketChannel) key.channel();
                int n = (Integer) key.attachment();
                if (key.isConnectable()) {
                    channel.finishConnect();
                    key.interestOps(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
                }
                if (key.isWritable()) {
                    channel.write(out[n]);
                    if (!out[n].hasRemaining()) key.interestOps(SelectionKey.OP_READ);
                }
                if (key.isReadable() && channel.read(in[n]) < 0) throw new AssertionError("connection " + n + " ended early");
                if (!in[n].hasRemaining()) {
                    same(n, in[n].array(), out[n].array());
                    channel.close();
                    left--;
                }
            }
            selector.selectedKeys().clear();
        }
    }

    static void httpClient(String host, int port, int number, int rounds) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        URI uri = URI.create("http://" + (host.contains(":") ? "[" + host + "]" : host) + ":" + port + "/");
        Random random = new Random(number);
        for (int i = 0; i < rounds; i++) {
            byte[] sent = message(random);
            HttpRequest request = HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofByteArray(sent)).build();
            same(number, client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body(), sent);
        }
    }
}
