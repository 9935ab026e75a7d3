"""asyncssh as a server that forwards everything, or as a client with forwards."""

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


def rekey(args):
    return {"rekey_bytes": args.rekey_bytes} if args.rekey_bytes else {}


async def serve(args):
    server = await asyncssh.listen(
        "127.0.0.1",
        args.port,
        server_factory=Server,
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
        for (host, port), (dest_host, dest_port) in args.local:
            await connection.forward_local_port(host, port, dest_host, dest_port)
        for (host, port), (dest_host, dest_port) in args.remote:
            await connection.forward_remote_port(host, port, dest_host, dest_port)
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
