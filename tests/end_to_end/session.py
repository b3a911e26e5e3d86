"""A client of the session protocol (docs/protocols.md, section 4)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping


def exchange(address: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Send one request to ``unix:/PATH`` and return everything that comes back."""
    block = "".join(f"{key}\0{value}\0" for key, value in headers.items()).encode()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(address.removeprefix("unix:"))
        sock.sendall(struct.pack(">I", len(block)) + block + body)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))
