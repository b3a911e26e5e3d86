"""Addresses to listen on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coachman.errors import ConfigurationError


class TcpAddress(msgspec.Struct, frozen=True):
    """A host and a port to listen on; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a browser takes it."""
        return f"http://{self}"

    @property
    def advertised(self) -> str:
        """The address as it stands in a ``socket`` line of the stdio channel."""
        return f"tcp://{self}"


class UnixAddress(msgspec.Struct, frozen=True):
    """The path of a unix stream socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"

    url = advertised = property(__str__)


Address = TcpAddress | UnixAddress


def parse_address(text: str, folder: Path = Path()) -> Address:
    """Read ``HOST:PORT``, ``[IPv6]:PORT`` or ``unix:PATH``, relative to `folder`.

    Raises `ConfigurationError` where it is none of these.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ConfigurationError(
                f"the address {text!r} has no path; write unix:/run/app.sock, for example"
            )
        return UnixAddress((folder / path).absolute())
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigurationError(
            f"the address {text!r} is neither HOST:PORT nor unix:PATH; write 127.0.0.1:8000, for example"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"the IPv6 address in {text!r} needs brackets: [{host}]:{port}")
    if not host:
        raise ConfigurationError(
            f"the address {text!r} has no host; write 127.0.0.1{text} for this machine only, "
            f"or 0.0.0.0{text} for every network it is on"
        )
    return TcpAddress(host, int(port))
