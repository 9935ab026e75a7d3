"""Starts a program for each connection, which is its standard input and output, as inetd does: inetd.py PORT PROGRAM ..."""

import socket
import subprocess
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
running = []
while True:
    connection, _ = listener.accept()
    with connection:
        running.append(subprocess.Popen(sys.argv[2:], stdin=connection, stdout=connection))
    running = [process for process in running if process.poll() is None]
