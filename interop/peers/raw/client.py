"""Attacks and odd habits of a client, one function each. It says on standard output how the server took it.

    client.py ATTACK --port PORT --user USER --key FILE [--pid SERVER]
"""

import argparse
import os
import resource
import select
import signal
import socket
import struct
import threading
import time

import raw
from raw import (
    CLOSE, DATA, DISCONNECT, EXT_INFO, GLOBAL_REQUEST, OPEN, OPEN_CONFIRMATION, OPEN_FAILURE, REQUEST_FAILURE,
    REQUEST_SUCCESS, USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_REQUEST, WINDOW_ADJUST, Ended, string, uint32,
)

HUGE = 250_000
# Turns the direction of writing; a line's end to some; a line's end to all.
ODD = "\u202egnirts\u2028second\nline\x1b[2J"
BURST = 1_500
EARLY = 1 << 31


def none(user):
    return string(user) + string("ssh-connection") + string("none")


# ---- before the login ----


def huge_disconnect(args):
    for _ in range(20):
        connection = raw.connect(args.port)
        connection.send(DISCONNECT, uint32(2), string("x" * HUGE), string(""))
        connection.outcome()
    return "20 said"


def huge_user(args):
    for number in range(20):
        connection = raw.connect(args.port)
        connection.exchange()
        connection.request_service()
        connection.send(USERAUTH_REQUEST, none(f"{number}" * HUGE if number < 10 else ODD * 1000))
        connection.receive()
        connection.sock.close()
    return "20 said"


def odd_identification(args):
    for _ in range(20):
        raw_socket = socket.create_connection(("127.0.0.1", args.port))
        raw_socket.sendall(b"SSH-2.0-" + ODD.replace("\n", "").encode() + b"\r\n" + b"y" * 100)
        raw_socket.close()
    return "20 said"


def strangers_in_a_row(args):
    """As many refused logins as one address can make in a while."""
    for number in range(300):
        try:
            connection = raw.connect(args.port)
            connection.exchange()
            connection.request_service()
            connection.send(USERAUTH_REQUEST, args.login_request(connection, f"stranger{number}"))
            connection.receive()
            connection.sock.close()
        except Ended:
            pass
    return "300 tried"


def second_kexinit(args):
    connection = raw.connect(args.port)
    connection.exchange()
    connection.send(connection.kexinit())
    return connection.refusal()


def userauth_without_service(args):
    connection = raw.connect(args.port)
    connection.exchange()
    connection.send(USERAUTH_REQUEST, connection.login_request(args.user, args.key))
    return connection.refusal()


def another_user(args):
    connection = raw.connect(args.port)
    connection.exchange()
    connection.request_service()
    connection.send(USERAUTH_REQUEST, none("one"))
    connection.await_message(USERAUTH_FAILURE)
    connection.send(USERAUTH_REQUEST, connection.login_request(args.user, args.key))
    return connection.refusal()


def none_again_and_again(args):
    connection = raw.connect(args.port)
    connection.exchange()
    connection.request_service()
    answered = 0
    try:
        while answered < 100:
            connection.send(USERAUTH_REQUEST, none(args.user))
            connection.await_message(USERAUTH_FAILURE)
            answered += 1
    except Ended:
        pass
    return f"{answered} answers"


def known_and_unknown(args):
    """The messages, to the byte, that a user with a wrong key gets and one whom nobody knows."""

    def answers(user):
        connection = raw.connect(args.port)
        connection.exchange()
        connection.request_service()
        said = []
        for request in (none(user), probe(user)):
            connection.send(USERAUTH_REQUEST, request)
            said.append(connection.receive())
            while said[-1][0] == USERAUTH_BANNER:
                said.append(connection.receive())
        return said

    def probe(user):
        strange = raw.string(raw.HOST_KEY) + raw.string(b"k" * 32)
        return string(user) + string("ssh-connection") + string("publickey") + b"\0" + string(raw.HOST_KEY) + string(strange)

    known, unknown = answers(args.user), answers("nobody-of-that-name")
    return "alike" if known == unknown else f"known {known}, unknown {unknown}"


# ---- after the login ----


def odd_names_of_channels(args):
    connection = args.logged_in()
    for name in (ODD, "t" * 100_000):
        connection.send(OPEN, string(name), uint32(1, 1 << 20, 32768))
        connection.await_message(OPEN_FAILURE)
        connection.send(OPEN, connection.open_fields(1, (name, 80)))
        connection.await_message(OPEN_FAILURE)
        connection.send(GLOBAL_REQUEST, string(name), b"\1")
        connection.await_message(REQUEST_FAILURE)
        connection.send(GLOBAL_REQUEST, string("tcpip-forward"), b"\1", string(name), uint32(0))
        connection.await_message(REQUEST_FAILURE)
    connection.send(DISCONNECT, uint32(11), string(ODD * 5_000), string(""))
    return "said"


def burst(args):
    """Opens a great many channels at once, to a server that was stopped for a moment."""
    connection, target = args.logged_in(), Echo()
    os.kill(args.pid, signal.SIGSTOP)
    opens = b"".join(connection.packet(OPEN, connection.open_fields(number, target.address)) for number in range(BURST))
    sending = threading.Thread(target=connection.sock.sendall, args=(opens,))
    sending.start()
    time.sleep(0.5)
    os.kill(args.pid, signal.SIGCONT)
    numbers = [connection.await_message(OPEN_CONFIRMATION, OPEN_FAILURE)[0] for _ in range(BURST)]
    sending.join()
    return f"{numbers.count(OPEN_CONFIRMATION)} confirmed, {numbers.count(OPEN_FAILURE)} refused"


def silent_targets(args):
    """One honest channel behind 600 whose targets do not answer."""
    connection, target, silent = args.logged_in(), Echo(), Silent()
    for number in range(600):
        connection.send(OPEN, connection.open_fields(number, silent.address))
    connection.send(OPEN, connection.open_fields(1000, target.address))
    begun = time.monotonic()
    while True:
        number, fields = connection.await_message(OPEN_CONFIRMATION, OPEN_FAILURE)
        if struct.unpack_from(">I", fields)[0] == 1000:
            took = time.monotonic() - begun
            return "served" if number == OPEN_CONFIRMATION and took < 5 else f"message {number} after {took:.1f} s"


def early_data(args):
    """8,192 channels with early data, as adit's own clients may send it, to a target that never answers."""
    connection, silent = args.logged_in(early=True), Silent()
    connection.sock.settimeout(3)
    data = string(b"z" * 32764)
    sent = 0
    try:
        for number in range(8192):
            opening = connection.packet(OPEN, connection.open_fields(number, silent.address))
            connection.sock.sendall(opening + connection.packet(DATA, uint32(number + EARLY), data))
            sent += 1
    except OSError:
        pass
    print(f"{sent} sent", flush=True)
    args.hold()


def unread_requests(args):
    """Requests whose answers are never read."""
    connection = args.logged_in()
    connection.sock.settimeout(3)
    requests = b"".join(connection.packet(GLOBAL_REQUEST, string("keepalive@openssh.com"), b"\1") for _ in range(400_000))
    try:
        connection.sock.sendall(requests)
    except OSError:
        pass
    print("said", flush=True)
    args.hold()


def all_descriptors(args):
    """1,009 channels, and then as many -R as there may be; they stay."""
    connection, target = args.logged_in(), Echo()
    for number in range(1009):
        connection.send(OPEN, connection.open_fields(number, target.address))
    opened = [connection.await_message(OPEN_CONFIRMATION, OPEN_FAILURE) for _ in range(1009)]
    reasons = {struct.unpack_from(">II", fields)[1] for number, fields in opened if number == OPEN_FAILURE}
    for _ in range(505):
        connection.send(GLOBAL_REQUEST, string("tcpip-forward"), b"\1", string("127.0.0.1"), uint32(0))
    listening = [connection.await_message(REQUEST_SUCCESS, REQUEST_FAILURE)[0] for _ in range(505)]
    confirmed = sum(number == OPEN_CONFIRMATION for number, _ in opened)
    print(f"{confirmed} channels, {listening.count(REQUEST_SUCCESS)} listeners, reasons {sorted(reasons)}", flush=True)
    args.hold()


def window_of_one(args):
    connection, target = args.logged_in(), Echo()
    connection.send(OPEN, connection.open_fields(0, target.address, window=1))
    _, fields = connection.await_message(OPEN_CONFIRMATION)
    channel = uint32(struct.unpack_from(">II", fields)[1])
    words = b"one byte at a time"
    connection.send(DATA, channel, string(words))
    came = b""
    while len(came) < len(words):
        came += raw.take_string(connection.await_message(DATA)[1][4:])[0]
        connection.send(WINDOW_ADJUST, channel, uint32(1))
    return came.decode()


def close_alone(args, early=0):
    """Data and CLOSE in one breath: what the target got of it, for each size."""
    connection, target = args.logged_in(early=early > 0), Echo(answers=False)
    got = []
    for number, size in enumerate((0, 1, 32_000, 1_000_000)):
        connection.send(OPEN, connection.open_fields(number, target.address))
        if early:
            connection.send(DATA, uint32(number + EARLY), string(b"e" * early))
        _, fields = connection.await_message(OPEN_CONFIRMATION)
        channel = uint32(struct.unpack_from(">II", fields)[1])
        pieces = [b"x" * min(32_000, size - at) for at in range(0, size, 32_000)]
        packets = [connection.packet(DATA, channel, string(piece)) for piece in pieces]
        connection.sock.sendall(b"".join([*packets, connection.packet(CLOSE, channel)]))
        connection.await_message(CLOSE)
        got.append(target.received())
    return f"got {got}"


def close_alone_after_early_data(args):
    return close_alone(args, early=1000)


# ---- targets ----


class Echo:
    """A target that takes every connection and sends back what comes, or only counts it."""

    def __init__(self, answers=True):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.address = self.listener.getsockname()
        self.answers = answers
        self.ended = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        poll, open_sockets = select.epoll(), {}
        poll.register(self.listener, select.EPOLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self.listener.fileno():
                    accepted = self.listener.accept()[0]
                    open_sockets[accepted.fileno()] = [accepted, 0]
                    poll.register(accepted, select.EPOLLIN)
                elif not self._serve(open_sockets[descriptor]):
                    poll.unregister(descriptor)
                    open_sockets.pop(descriptor)[0].close()

    def _serve(self, entry):
        try:
            data = entry[0].recv(65536)
        except ConnectionError:
            self.ended.append("reset")
            return False
        if not data:
            self.ended.append(entry[1])
            return False
        entry[1] += len(data)
        if self.answers:
            entry[0].sendall(data)
        return True

    def received(self):
        deadline = time.monotonic() + raw.PATIENCE
        while not self.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.ended.pop() if self.ended else "nothing"


class Silent:
    """A target whose backlog is full: nobody who asks is answered."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = self.listener.getsockname()
        self.waiting = [socket.socket() for _ in range(4)]
        for one in self.waiting:
            one.setblocking(False)
            one.connect_ex(self.address)


class Arguments(argparse.Namespace):
    def login_request(self, connection, user):
        return connection.login_request(user, self.key)

    def logged_in(self, early=False):
        connection = raw.connect(self.port)
        connection.exchange(extensions=["ext-info-c"] if early else [])
        if early:
            connection.send(EXT_INFO, uint32(1), string("early-data@adit.alt"), string("32768"))
        connection.login(self.user, self.key)
        return connection

    def hold(self):
        """Stays connected until the test ends this process."""
        signal.pause()


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    parser = argparse.ArgumentParser()
    parser.add_argument("attack")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--key", type=raw.load_key, required=True)
    parser.add_argument("--pid", type=int)
    args = parser.parse_args(namespace=Arguments())
    print(globals()[args.attack](args), flush=True)


if __name__ == "__main__":
    main()
