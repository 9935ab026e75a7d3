"""asyncssh as a server that forwards everything, or as a client with forwards.

With --close-alone it relays by itself, and ends a channel as a program does: by writer.close(), which sends CLOSE and no
EOF.
"""

import asyncio
import logging
import sys

import asyncssh

import command_line


class Server(asyncssh.SSHServer):
    """Lets the authorised keys in and dials and listens for them; asyncssh does the relaying."""

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return True

    def server_requested(self, listen_host, listen_port):
        return True

    def unix_connection_requested(self, dest_path):
        return True

    def unix_server_requested(self, listen_path):
        return True


CHUNK = 32768


async def copy(reader, writer):
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def relay_and_close(channel, socket):
    """Two pairs of a reader and a writer; the channel is closed alone when the socket ends."""

    async def outward():
        await copy(socket[0], channel[1])
        channel[1].close()

    async def inward():
        await copy(channel[0], socket[1])
        socket[1].write_eof()

    await asyncio.gather(outward(), inward())
    socket[1].close()


def dial(target):
    return asyncio.open_unix_connection(target) if isinstance(target, str) else asyncio.open_connection(*target)


class ClosingServer(asyncssh.SSHServer):
    """As Server, with a relay of our own."""

    def connection_made(self, conn):
        self.connection = conn

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        async def opened(reader, writer):
            await relay_and_close((reader, writer), await dial((dest_host, dest_port)))

        # Bytes, where a session would be text.
        return self.connection.create_tcp_channel(encoding=None), opened

    async def server_requested(self, listen_host, listen_port):
        async def accepted(*socket):
            origin = socket[1].get_extra_info("peername")
            channel = await self.connection.open_connection(listen_host, listen_port, *origin[:2], encoding=None)
            await relay_and_close(channel, socket)

        return Listener(await asyncio.start_server(accepted, listen_host, listen_port), listen_port)


class Listener(asyncssh.SSHListener):
    def __init__(self, server, port):
        super().__init__()
        self.server = server
        self.port = port

    def get_port(self):
        return self.port

    def close(self):
        self.server.close()

    async def wait_closed(self):
        await self.server.wait_closed()


async def forward_local(connection, listen, target):
    async def accepted(*socket):
        if isinstance(target, str):
            channel = await connection.open_unix_connection(target, encoding=None)
        else:
            channel = await connection.open_connection(*target, encoding=None)
        await relay_and_close(channel, socket)

    await asyncio.start_server(accepted, *listen)


async def forward_remote(connection, listen, target):
    async def opened(reader, writer):
        await relay_and_close((reader, writer), await dial(target))

    await connection.start_server(lambda *_origin: opened, *listen, encoding=None)


def rekey(args):
    return {"rekey_bytes": args.rekey_bytes} if args.rekey_bytes else {}


async def serve(args):
    server = await asyncssh.listen(
        "127.0.0.1",
        args.port,
        server_factory=ClosingServer if args.close_alone else Server,
        server_host_keys=[args.host_key],
        authorized_client_keys=args.authorized_keys,
        **rekey(args),
    )
    await server.wait_closed()


async def connect(args):
    async with asyncssh.connect(
        "127.0.0.1",
        args.port,
        username=args.user,
        client_keys=[args.key],
        known_hosts=args.known_hosts,
        agent_path=None,
        config=None,
        **rekey(args),
    ) as connection:
        for listen, target in args.local:
            if args.close_alone:
                await forward_local(connection, listen, target)
            else:
                await connection.forward_local_port(*listen, *target)
        for listen, target in args.remote:
            if args.close_alone:
                await forward_remote(connection, listen, target)
            else:
                await connection.forward_remote_port(*listen, *target)
        print("ready", flush=True)
        await connection.wait_closed()


class KeyExchanges(logging.Handler):
    """Writes the line that the harness counts."""

    def emit(self, record):
        if record.getMessage().endswith("Completed key exchange"):
            print("key exchange done", file=sys.stderr, flush=True)


def main():
    args = command_line.parse()
    logger = logging.getLogger("asyncssh")
    logger.addHandler(KeyExchanges())
    logger.setLevel(logging.DEBUG)
    asyncssh.set_debug_level(1)
    asyncio.run(serve(args) if args.role == "server" else connect(args))


if __name__ == "__main__":
    main()
