"""A wrapper that speaks what Passenger 4's own wrappers speak, with their habits.

It takes `generation_dir` for its socket, splits fields at the colon alone, prints without flushing, knows
nothing of a pid field, and quits when its stdin can be read.
"""

import os
import re
import select
import socket
import struct
import sys

print("!> I have control 1.0")
assert sys.stdin.readline() == "You have control 1.0\n"
options = dict(re.split(": *", line.strip(), maxsplit=1) for line in iter(sys.stdin.readline, "\n"))

path = f"{options['generation_dir']}/backends/test.{os.getpid()}"
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
print("!> Ready")
print(f"!> socket: main;unix:{path};session;1")
print("!> ")


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


while server in select.select([sys.stdin, server], [], [])[0]:
    client, _ = server.accept()
    with client:
        block = receive(client, struct.unpack(">I", receive(client, 4))[0])
        names = block.decode().split("\0")[:-1]
        headers = dict(zip(names[::2], names[1::2], strict=True))
        if headers["REQUEST_METHOD"] == "ping":
            client.sendall(b"pong")
            continue
        body = receive(client, int(headers.get("CONTENT_LENGTH", "0")))
        answer = f"{headers['REQUEST_METHOD']} {headers['PATH_INFO']} {body.decode()}"
        client.sendall(f"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n{answer}".encode())
os.remove(path)
