"""The command line that the Python peers share; see interop/src/peer/scripted.rs."""

import argparse


def parse():
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server")
    server.add_argument("--host-key", required=True)
    server.add_argument("--authorized-keys", required=True)
    client = roles.add_parser("client")
    client.add_argument("--user", required=True)
    client.add_argument("--key", required=True)
    client.add_argument("--known-hosts", required=True)
    client.add_argument("-L", dest="local", action="append", default=[], type=forward)
    client.add_argument("-R", dest="remote", action="append", default=[], type=forward)
    for role in (server, client):
        role.add_argument("--port", type=int, required=True)
        role.add_argument("--rekey-bytes", type=int)
        role.add_argument("--close-alone", action="store_true")
    return parser.parse_args()


def forward(spec):
    """`host:port:host:port` as two pairs, `host:port:/path` as a pair and a path; the tests use no other form here."""
    listen_host, listen_port, target = spec.split(":", 2)
    if not target.startswith("/"):
        host, port = target.split(":")
        target = (host, int(port))
    return (listen_host, int(listen_port)), target
