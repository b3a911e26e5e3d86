"""A client that sends exactly the bytes it is given and shows exactly the bytes that come back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class RawClient:
    """One connection to a server at `http://HOST:PORT` or `unix:PATH`."""

    def __init__(self, url: str, timeout: float = 30) -> None:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            try:
                self.sock.connect(parts.path)
            except OSError:
                self.sock.close()
                raise
        else:
            assert parts.hostname is not None
            self.sock = socket.create_connection((parts.hostname, parts.port or 80), timeout)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.sock.sendall(data)

    def get(self, target: str = "/") -> None:
        """Send a request without reading its answer."""
        self.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def read_through(self, mark: bytes) -> bytes:
        """Return what comes, up to and including `mark`."""
        while mark not in self._received:
            data = self.sock.recv(65536)
            assert data, f"the connection ended without {mark!r}, after {self._received!r}"
            self._received += data
        return self._take(self._received.index(mark) + len(mark))

    def read_to_end(self) -> bytes:
        """Return everything up to the end of the connection."""
        while data := self.sock.recv(65536):
            self._received += data
        return self._take(len(self._received))

    def answer(self, *, bodyless: bool = False) -> Answer:
        """Read one response. `bodyless`: it answers HEAD."""
        first, *lines = self.read_through(b"\r\n\r\n").decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if bodyless:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._read_chunks()
        elif "content-length" in headers:
            body = self._read(int(headers["content-length"]))
        else:
            body = self.read_to_end()
        return Answer(int(first.split()[1]), headers, body)

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.read_through(b"\r\n"), 16):
            body += self._read(size + 2)[:-2]
        assert self.read_through(b"\r\n") == b"\r\n"
        return body

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            data = self.sock.recv(65536)
            assert data, f"the connection ended {size - len(self._received)} bytes too early"
            self._received += data
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken, self._received = self._received[:size], self._received[size:]
        return taken
