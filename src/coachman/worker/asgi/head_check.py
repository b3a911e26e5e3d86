"""What the head of a request has to pass beyond llhttp's grammar, and what it says about the request.

The rules are those of coachman.protocol.http, by which WSGI requests are read as well.
"""

from __future__ import annotations

from typing import Any

from coachman.protocol.http.forwarded import FORWARDED_FIELDS, Origin
from coachman.protocol.http.head import FieldBlock
from coachman.worker.asgi.context import Context

Headers = list[tuple[bytes, bytes]]

_FORWARDED = frozenset(
    key.removeprefix("HTTP_").replace("_", "-").lower().encode() for key in FORWARDED_FIELDS
)


class HeadCheck:
    """Reads the heads of the requests on one connection.

    A client mostly sends the same fields with every request, so those of the last one are remembered, and the
    same fields are not looked at again.
    """

    __slots__ = ("_context", "_fields", "_headers", "_trusted", "_version")

    def __init__(self, context: Context, peer: str) -> None:
        """`peer` is the address of whoever has connected, "" for one on a unix socket."""
        self._context = context
        self._trusted = context.trusted.trusts(peer)
        self._headers: Headers | None = None
        self._version = ""
        self._fields: FieldBlock | None = None

    @property
    def trusted(self) -> bool:
        """Whether the peer is a proxy whose word is taken."""
        return self._trusted

    def read(self, headers: Headers, version: str) -> FieldBlock:
        """Return what the fields say; raise `BadRequest` where they must not be served.

        Fields that applications might take for others, or believe though nobody is to be believed, are taken
        out of `headers`.
        """
        fields = self._fields
        if fields is None or headers != self._headers or version != self._version:
            text = b"".join([name + b": " + value + b"\r\n" for name, value in headers]) + b"\r\n"
            fields = FieldBlock(text.decode("latin-1"), version, self._context.head_bounds)
            # A copy: applications change what they are given.
            self._headers, self._version, self._fields = list(headers), version, fields
        # Every field has a key of its own, unless it was left out or joined with another.
        if fields.forwarded or len(fields.headers) != len(headers):
            left_out = () if self._trusted else _FORWARDED
            headers[:] = [header for header in headers if b"_" not in header[0] and header[0] not in left_out]
        return fields

    def origin(self, fields: FieldBlock) -> Origin | None:
        """Return what a trusted proxy says of the client, None where none does; raises `BadRequest`."""
        if not fields.forwarded or not self._trusted:
            return None
        return self._context.forwarded.read(fields.headers)


def apply_origin(origin: Origin, scope: Any) -> None:
    """Have `scope` be about the client, not about the proxy that has forwarded its request."""
    if origin.address is not None:
        scope["client"] = (origin.address, int(origin.port or 0)) if origin.address else None
    if origin.scheme is not None:
        scope["scheme"] = origin.scheme
    if origin.host is not None:
        set_host(origin.host, scope)


def set_host(host: str, scope: Any) -> None:
    """Let `host` overrule the Host field."""
    headers: Headers = scope["headers"]
    headers[:] = [header for header in headers if header[0] != b"host"]
    headers.append((b"host", host.encode("latin-1")))
