// JSch as a client with local forwards. With --close-alone it ends a channel by disconnect(), which sends CLOSE and no
// EOF. JSch has no server, and its remote forwards relay by themselves.

import com.jcraft.jsch.ChannelDirectTCPIP;
import com.jcraft.jsch.JSch;
import com.jcraft.jsch.Session;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class Peer {
    private static final Map<String, String> values = new HashMap<>();
    private static final List<String[]> local = new ArrayList<>();
    private static final List<String[]> remote = new ArrayList<>();
    private static boolean closeAlone;

    public static void main(String[] words) throws Exception {
        for (int at = 1; at < words.length; at++) {
            switch (words[at]) {
                case "--close-alone": closeAlone = true; break;
                case "-L": local.add(words[++at].split(":")); break;
                case "-R": remote.add(words[++at].split(":")); break;
                default: values.put(words[at], words[++at]);
            }
        }
        Session session = connect();
        for (String[] forward : local) {
            ServerSocket listener = new ServerSocket(Integer.parseInt(forward[1]), 128, InetAddress.getByName(forward[0]));
            start(() -> accept(session, listener, forward[2], Integer.parseInt(forward[3])));
        }
        for (String[] forward : remote) {
            session.setPortForwardingR(forward[0], Integer.parseInt(forward[1]), forward[2], Integer.parseInt(forward[3]));
        }
        System.out.println("ready");
        while (session.isConnected()) {
            Thread.sleep(100);
        }
        System.exit(1);
    }

    /** JSch 0.1 reads neither Ed25519 nor OpenSSH's key files, so the key is ECDSA in PEM, and so is the server's. */
    private static Session connect() throws Exception {
        JSch jsch = new JSch();
        jsch.addIdentity(values.get("--key"));
        jsch.setKnownHosts(values.get("--known-hosts"));
        Session session = jsch.getSession(values.get("--user"), "127.0.0.1", Integer.parseInt(values.get("--port")));
        session.setConfig("server_host_key", "ecdsa-sha2-nistp256");
        session.connect(30_000);
        return session;
    }

    private static void accept(Session session, ServerSocket listener, String host, int port) throws IOException {
        while (true) {
            Socket socket = listener.accept();
            start(() -> {
                ChannelDirectTCPIP channel = (ChannelDirectTCPIP) session.getStreamForwarder(host, port);
                InputStream inward = channel.getInputStream();
                OutputStream outward = channel.getOutputStream();
                channel.connect(30_000);
                start(() -> {
                    copy(inward, socket.getOutputStream());
                    socket.shutdownOutput();
                });
                copy(socket.getInputStream(), outward);
                if (closeAlone) {
                    outward.flush();
                    channel.disconnect();
                } else {
                    outward.close();
                }
            });
        }
    }

    private static void copy(InputStream from, OutputStream to) throws IOException {
        byte[] buffer = new byte[32768];
        for (int count; (count = from.read(buffer)) >= 0; ) {
            to.write(buffer, 0, count);
            to.flush();
        }
    }

    private interface Task {
        void run() throws Exception;
    }

    private static void start(Task task) {
        new Thread(() -> {
            try {
                task.run();
            } catch (Exception error) {
                System.err.println("jsch peer: " + error);
            }
        }).start();
    }
}
