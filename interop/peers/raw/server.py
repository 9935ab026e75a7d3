"""Odd habits of a server, one function each. It says on standard output how the client took them.

    server.py HABIT --port PORT --host-key FILE [--client FILE] [other options of the harness, passed over]

FILE of --client will hold the client's process id once there is one.
"""

import argparse
import os
import signal
import socket
import struct
import threading
import time

import raw
from raw import (
    CLOSE, DATA, DEBUG, DISCONNECT, EOF, GLOBAL_REQUEST, OPEN, OPEN_CONFIRMATION, OPEN_FAILURE, REQUEST_SUCCESS,
    SERVICE_ACCEPT, SERVICE_REQUEST, USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_REQUEST, USERAUTH_SUCCESS, Ended, string,
    take_string, uint32,
)

HUGE = 250_000
ODD = "\u202egnirts\u2028second\nline\x1b[2J"
BURST = 1_500


def forwarded(number, address):
    """The opening of a channel for a -R on `address`."""
    return (
        string("forwarded-tcpip") + uint32(number, 1 << 21, 32768)
        + string(address[0]) + uint32(address[1]) + string("127.0.0.1") + uint32(9)
    )


def requested(connection):
    """The address of the next -R that the client asks for."""
    while True:
        _, fields = connection.await_message(GLOBAL_REQUEST)
        name, rest = take_string(fields)
        if name == b"tcpip-forward":
            host, port = take_string(rest[1:])
            return host.decode(), struct.unpack(">I", port)[0]


def huge_disconnect(connection, _args):
    connection.send(DISCONNECT, uint32(2), string(ODD + "x" * HUGE), string(""))


def huge_words(connection, _args):
    """As a banner, as a message for the user, and as the reason of a refusal and of the end."""
    connection.exchange()
    connection.await_message(SERVICE_REQUEST)
    connection.send(SERVICE_ACCEPT, string("ssh-userauth"))
    for number in range(100):
        if number < 20:
            connection.send(DEBUG, b"\1", string(ODD + f"{number}" * (HUGE // 3)), string(""))
        connection.send(USERAUTH_BANNER, string(ODD + f"{number}" * (HUGE // 3)), string(""))
    connection.await_message(USERAUTH_REQUEST)
    connection.send(USERAUTH_FAILURE, string(ODD + "m" * HUGE), b"\0")
    connection.send(DISCONNECT, uint32(2), string(ODD + "x" * HUGE), string(""))


def no_methods(connection, args):
    """Says in its refusals that no method is left, and takes a signature all the same."""
    connection.exchange()
    connection.await_message(SERVICE_REQUEST)
    connection.send(SERVICE_ACCEPT, string("ssh-userauth"))
    while True:
        _, fields = connection.await_message(USERAUTH_REQUEST)
        _, rest = take_string(fields)
        method, rest = take_string(take_string(rest)[1])
        if method == b"publickey" and rest[0]:
            connection.send(USERAUTH_SUCCESS)
            print("logged in", flush=True)
            connection.outcome()
            return
        if method == b"publickey":
            algorithm, rest = take_string(rest[1:])
            connection.send(raw.USERAUTH_PK_OK, string(algorithm), string(take_string(rest)[0]))
        else:
            connection.send(USERAUTH_FAILURE, string(""), b"\0")


def silent_about_forwards(connection, _args):
    """Never answers tcpip-forward, and opens channels for it as if it had."""
    connection.exchange()
    connection.admit()
    address = requested(connection)
    connection.send(OPEN, forwarded(7, address))
    number, fields = connection.await_message(OPEN_CONFIRMATION, OPEN_FAILURE)
    if number == OPEN_FAILURE:
        print("refused", flush=True)
        return
    channel = fields[4:8]
    # The harness' target wants 17 bytes that say what to do with the rest: send it back.
    connection.send(DATA, channel, string(b"e" + bytes(16) + b"through a forward that nobody confirmed"))
    connection.send(EOF, channel)
    echoed = b""
    while (message := connection.await_message(DATA, EOF, CLOSE))[0] == DATA:
        echoed += take_string(message[1][4:])[0]
    print(f"echoed {echoed.decode()}", flush=True)
    connection.outcome()


def burst(connection, args):
    """Opens a great many channels at once, to a client that was stopped for a moment."""
    connection.exchange()
    connection.admit()
    address = requested(connection)
    connection.send(REQUEST_SUCCESS)
    pid = args.client_pid()
    os.kill(pid, signal.SIGSTOP)
    opens = b"".join(connection.packet(OPEN, forwarded(number, address)) for number in range(BURST))
    sending = threading.Thread(target=connection.sock.sendall, args=(opens,))
    sending.start()
    time.sleep(0.5)
    os.kill(pid, signal.SIGCONT)
    numbers = [connection.await_message(OPEN_CONFIRMATION, OPEN_FAILURE)[0] for _ in range(BURST)]
    sending.join()
    print(f"{numbers.count(OPEN_CONFIRMATION)} confirmed, {numbers.count(OPEN_FAILURE)} refused", flush=True)
    connection.outcome()


class Arguments(argparse.Namespace):
    def client_pid(self):
        """The client's process, once the harness has written down which it is."""
        for _ in range(100 * raw.PATIENCE):
            try:
                with open(self.client, encoding="ascii") as file:
                    return int(file.read())
            except (OSError, ValueError):
                time.sleep(0.01)
        raise Ended("nobody said who the client is")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("habit")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host-key", type=raw.load_key, required=True)
    parser.add_argument("--client")
    args, _ = parser.parse_known_args(namespace=Arguments())
    listener = socket.create_server(("127.0.0.1", args.port))
    while True:
        try:
            connection = raw.Raw(listener.accept()[0], host_key=args.host_key)
            globals()[args.habit](connection, args)
            connection.sock.close()
        except (Ended, OSError) as ended:
            # The harness only looked whether somebody listens, or the client went.
            print(f"ended: {ended}", flush=True)


if __name__ == "__main__":
    main()
