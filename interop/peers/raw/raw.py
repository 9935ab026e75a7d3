"""An SSH connection, either end of it, that says whatever it is told to, in whatever order.

It knows one of each kind of algorithm and judges nothing: attacks and odd habits are written on top of it. Only what a
peer cannot check without secrets is done right: the exchange of keys, the packets and the login's signature.
"""

import hashlib
import os
import socket
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = range(1, 8)
KEXINIT, NEWKEYS, ECDH_INIT, ECDH_REPLY = 20, 21, 30, 31
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_BANNER = range(50, 54)
USERAUTH_PK_OK = 60
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = range(80, 83)
OPEN, OPEN_CONFIRMATION, OPEN_FAILURE, WINDOW_ADJUST, DATA, _EXTENDED, EOF, CLOSE = range(90, 98)

KEX = "curve25519-sha256"
HOST_KEY = "ssh-ed25519"
CIPHER = "aes128-gcm@openssh.com"
MAC = "hmac-sha2-256"
# How long any answer may take that must come.
PATIENCE = 30


class Ended(Exception):
    """The other end has closed the connection, with the text of its DISCONNECT if there was one."""


def string(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(value)) + value


def uint32(*values):
    return struct.pack(f">{len(values)}I", *values)


def take_string(data):
    """The first string of `data`, and what follows it."""
    end = 4 + struct.unpack_from(">I", data)[0]
    return data[4:end], data[end:]


def mpint(value):
    value = value.lstrip(b"\0")
    return string(b"\0" + value if value and value[0] & 0x80 else value)


class Raw:
    """A connection whose identifications have been exchanged. With `host_key` it is the server's end."""

    def __init__(self, sock, host_key=None, identification="SSH-2.0-raw"):
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.host_key = host_key
        self.ours = identification.encode()
        self.seals = self.opens = None
        self.session_id = None
        self.buffer = b""
        sock.sendall(self.ours + b"\r\n")
        self.theirs = self._line()

    def _line(self):
        while b"\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def _fill(self):
        try:
            more = self.sock.recv(1 << 18)
        except ConnectionError as error:
            raise Ended("connection reset") from error
        if not more:
            raise Ended("end of stream")
        self.buffer += more

    def _take(self, count):
        while len(self.buffer) < count:
            self._fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    # ---- packets ----

    def packet(self, *parts):
        """A message as it goes over the wire."""
        payload = b"".join(bytes([part]) if isinstance(part, int) else part for part in parts)
        outside = 0 if self.seals else 4
        padding = 16 - (outside + 1 + len(payload)) % 16
        padding += 16 if padding < 4 else 0
        length = uint32(1 + len(payload) + padding)
        plain = bytes([padding]) + payload + bytes(padding)
        return length + (self.seals.seal(plain, length) if self.seals else plain)

    def send(self, *parts):
        """Sends a message: its number, then its fields."""
        try:
            self.sock.sendall(self.packet(*parts))
        except ConnectionError as error:
            raise Ended("connection reset") from error

    def receive(self):
        """The number of the next message, and its fields."""
        length = self._take(4)
        size = struct.unpack(">I", length)[0]
        plain = self.opens.open(self._take(size + 16), length) if self.opens else self._take(size)
        payload = plain[1 : len(plain) - plain[0]]
        if payload[0] == DISCONNECT:
            raise Ended(take_string(payload[5:])[0].decode(errors="replace"))
        return payload[0], payload[1:]

    def await_message(self, *wanted):
        """The next message with one of these numbers; others are passed over."""
        while True:
            number, fields = self.receive()
            if number in wanted:
                return number, fields

    def refusal(self):
        """The way in which the other end refuses what was just said: sshd passes such a thing over, adit ends."""
        try:
            number, _ = self.receive()
        except Ended as ended:
            return f"ended: {ended}"
        return "passed over" if number == UNIMPLEMENTED else f"answered with message {number}"

    def outcome(self):
        """Reads to the end of the connection: why it ended."""
        try:
            while True:
                self.receive()
        except Ended as ended:
            return str(ended)

    # ---- the exchange of keys ----

    def kexinit(self, *, extensions=(), ciphers=CIPHER):
        lists = [",".join([KEX, *extensions]), HOST_KEY, ciphers, ciphers, MAC, MAC, "none", "none", "", ""]
        return bytes([KEXINIT]) + os.urandom(16) + b"".join(map(string, lists)) + bytes(5)

    def exchange(self, *, extensions=(), await_kexinit=True):
        """A whole key exchange; the packets after it are sealed."""
        ours = self.kexinit(extensions=extensions)
        self.send(ours)
        number, fields = self.await_message(KEXINIT)
        theirs = bytes([number]) + fields
        secret = X25519PrivateKey.generate()
        point = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        if self.host_key:
            self._finish(secret, point, theirs, ours)
        else:
            self.send(ECDH_INIT, string(point))
            _, reply = self.await_message(ECDH_REPLY)
            host_key, rest = take_string(reply)
            other = take_string(rest)[0]
            shared = mpint(secret.exchange(X25519PublicKey.from_public_bytes(other)))
            self._change(shared, [self.ours, self.theirs, ours, theirs, host_key, point, other])
        self.await_newkeys()

    def _finish(self, secret, point, theirs, ours):
        other = take_string(self.await_message(ECDH_INIT)[1])[0]
        shared = mpint(secret.exchange(X25519PublicKey.from_public_bytes(other)))
        host_key = public(self.host_key)
        said = [self.theirs, self.ours, theirs, ours, host_key, other, point]
        digest = hashlib.sha256(b"".join(map(string, said)) + shared).digest()
        self.send(ECDH_REPLY, string(host_key), string(point), string(sign(self.host_key, digest)))
        self._change(shared, said)

    def _change(self, shared, said):
        digest = hashlib.sha256(b"".join(map(string, said)) + shared).digest()
        self.session_id = self.session_id or digest

        def derive(letter):
            return hashlib.sha256(shared + digest + letter + self.session_id).digest()

        to_server = Sealer(derive(b"C")[:16], derive(b"A")[:12])
        to_client = Sealer(derive(b"D")[:16], derive(b"B")[:12])
        self.send(NEWKEYS)
        self.seals, self.next_opens = (to_client, to_server) if self.host_key else (to_server, to_client)

    def await_newkeys(self):
        self.await_message(NEWKEYS)
        self.opens = self.next_opens

    # ---- the login ----

    def request_service(self):
        self.send(SERVICE_REQUEST, string("ssh-userauth"))
        self.await_message(SERVICE_ACCEPT)

    def login_request(self, user, key):
        """The fields of a USERAUTH_REQUEST with a signature."""
        head = string(user) + string("ssh-connection") + string("publickey") + b"\1" + string(HOST_KEY) + string(public(key))
        return head + string(sign(key, string(self.session_id) + bytes([USERAUTH_REQUEST]) + head))

    def login(self, user, key):
        self.request_service()
        self.send(USERAUTH_REQUEST, self.login_request(user, key))
        number, fields = self.await_message(USERAUTH_SUCCESS, USERAUTH_FAILURE)
        if number == USERAUTH_FAILURE:
            raise Ended(f"login refused, left: {fields!r}")

    def admit(self):
        """The server's part: everybody may come in."""
        self.await_message(SERVICE_REQUEST)
        self.send(SERVICE_ACCEPT, string("ssh-userauth"))
        while True:
            _, fields = self.await_message(USERAUTH_REQUEST)
            method = take_string(take_string(take_string(fields)[1])[1])
            if method[0] == b"publickey":
                self.send(USERAUTH_SUCCESS)
                return
            self.send(USERAUTH_FAILURE, string("publickey"), b"\0")

    # ---- channels ----

    def open_fields(self, number, address, *, window=1 << 21):
        host, port = address
        return string("direct-tcpip") + uint32(number, window, 32768) + string(host) + uint32(port) + string("127.0.0.1") + uint32(9)


class Sealer:
    """AES-GCM as in RFC 5647: the length in clear, and a counter in the nonce."""

    def __init__(self, key, nonce):
        self.key = AESGCM(key)
        self.fixed, self.counter = nonce[:4], int.from_bytes(nonce[4:], "big")

    def _nonce(self):
        nonce = self.fixed + self.counter.to_bytes(8, "big")
        self.counter = (self.counter + 1) % (1 << 64)
        return nonce

    def seal(self, plain, length):
        return self.key.encrypt(self._nonce(), plain, length)

    def open(self, sealed, length):
        return self.key.decrypt(self._nonce(), sealed, length)


def load_key(path):
    with open(path, "rb") as file:
        return load_ssh_private_key(file.read(), None)


def public(key):
    return string(HOST_KEY) + string(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def sign(key, data):
    return string(HOST_KEY) + string(key.sign(data))


def connect(port, **habits):
    return Raw(socket.create_connection(("127.0.0.1", port)), **habits)
