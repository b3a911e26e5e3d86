"""The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before its first byte.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from coachman.protocol.http.refusal import BadRequest, malformed

_LINE_LIMIT: Final = 107
"""Bytes of the line of version 1, its end included."""
_BLOCK_LIMIT: Final = 4096
"""Bytes behind the fixed part of version 2 that are taken: addresses have 216 at most, then extensions."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_LINE = re.compile(rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]++) ([0-9A-Fa-f:.]++) ([0-9]{1,5}+) ([0-9]{1,5}+)\r\n")
_UNKNOWN_LINE = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*+)?+\r\n")

_VERSION, _LOCAL, _PROXY = 0x20, 0x0, 0x1
_TCP4, _TCP6, _UNIX_STREAM = 0x11, 0x21, 0x31
_UNSPECIFIED = 0x00
_EXTENSION_TLS, _CLIENT_USED_TLS = 0x20, 0x01


class Endpoint(NamedTuple):
    """One end of a connection."""

    address: str
    """An IP address; "" for a unix socket."""
    port: str


class ProxyHeader(NamedTuple):
    """What a proxy says of a connection."""

    size: int
    """Bytes that it took to say it."""
    source: Endpoint | None = None
    """The client; None where the connection is the proxy's own (a health check), or it does not tell."""
    destination: Endpoint | None = None
    tls: bool = False
    """Whether the client speaks TLS with the proxy; version 1 cannot say so."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of a connection; return None where its end has not come yet.

    Raises `BadRequest` where it is none.
    """
    if data.startswith(b"PROXY "):
        return _read_line(data)
    if data.startswith(_SIGNATURE):
        return _read_block(data)
    if b"PROXY ".startswith(data) or _SIGNATURE.startswith(data):
        return None
    raise malformed("the connection does not begin with the PROXY protocol", data[:60].decode("latin-1"))


def _read_line(data: bytes) -> ProxyHeader | None:
    size = data.find(b"\n", 0, _LINE_LIMIT) + 1
    if size == 0:
        if len(data) < _LINE_LIMIT:
            return None
        raise _refused(data)
    line = data[:size]
    if _UNKNOWN_LINE.fullmatch(line):
        return ProxyHeader(size)
    match = _LINE.fullmatch(line)
    if match is None:
        raise _refused(line)
    family, *fields = (field.decode("ascii") for field in match.groups())
    try:
        source, destination = ip_address(fields[0]), ip_address(fields[1])
    except ValueError:
        raise _refused(line) from None
    if {source.version, destination.version} != {int(family[-1])} or max(map(int, fields[2:])) > 65535:
        raise _refused(line)
    return ProxyHeader(
        size, Endpoint(str(source), str(int(fields[2]))), Endpoint(str(destination), str(int(fields[3])))
    )


def _read_block(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version_and_command, family, length = struct.unpack_from("!BBH", data, 12)
    if version_and_command & 0xF0 != _VERSION or version_and_command & 0x0F not in (_LOCAL, _PROXY):
        raise _refused(data)
    if length > _BLOCK_LIMIT:
        raise malformed(f"a PROXY header of {length} bytes")
    size = 16 + length
    if len(data) < size:
        return None
    if version_and_command & 0x0F == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(size)
    block = data[16:size]
    try:
        if family == _TCP4:
            ends, extensions = _addresses("!4s4sHH", IPv4Address, block), block[12:]
        elif family == _TCP6:
            ends, extensions = _addresses("!16s16sHH", IPv6Address, block), block[36:]
        elif family == _UNIX_STREAM and length >= 216:
            ends, extensions = (Endpoint("", ""), Endpoint("", "")), block[216:]
        else:
            raise _refused(data)
        return ProxyHeader(size, *ends, tls=_uses_tls(extensions))
    except struct.error:
        raise _refused(data) from None


def _addresses(
    layout: str, kind: type[IPv4Address] | type[IPv6Address], block: bytes
) -> tuple[Endpoint, Endpoint]:
    source, destination, source_port, destination_port = struct.unpack_from(layout, block)
    return (
        Endpoint(str(kind(source)), str(source_port)),
        Endpoint(str(kind(destination)), str(destination_port)),
    )


def _uses_tls(extensions: bytes) -> bool:
    while extensions:
        kind, length = struct.unpack_from("!BH", extensions)
        (value,) = struct.unpack_from(f"{length}s", extensions, 3)
        if kind == _EXTENSION_TLS and length >= 5:
            return bool(value[0] & _CLIENT_USED_TLS)
        extensions = extensions[3 + length :]
    return False


def _refused(data: bytes) -> BadRequest:
    return malformed("this is no PROXY header", data[:120].decode("latin-1"))
