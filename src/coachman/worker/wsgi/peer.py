"""Who is at the other end of a connection: as the kernel says, a proxy before it, or a sibling worker."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from coachman.protocol.proxy_protocol import read_proxy_header
from coachman.worker.handoff import Passport
from coachman.worker.wsgi.environ import Environ, proxied_environ
from coachman.worker.wsgi.request import BadRequest, Request

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop


class Peer:
    """What is known of the client before any of its requests, and whether its word is taken on more."""

    __slots__ = ("_trusted", "environ", "forwarded", "introduction")

    def __init__(self, engine: ServingLoop, environ: Environ) -> None:
        """`environ`: what the environments of all its requests have in common."""
        self._trusted = engine.trusted
        self.environ = environ
        self.forwarded = engine.forwarded if self._trusted.trusts(environ["REMOTE_ADDR"]) else None
        """Reads what a proxy says of the client; None where the peer is not trusted."""
        self.introduction: bytes | None = b"" if engine.proxy_protocol else None
        """What has come of the PROXY protocol's header, while it is waited for."""

    def introduce(self, data: bytes) -> bytes:
        """Let a proxy say who the client is, before the first request; return what follows that in `data`.

        Raises `BadRequest` where that is not to be believed or understood.
        """
        assert self.introduction is not None
        if self.forwarded is None:
            raise BadRequest("400 Bad Request", "it is no trusted proxy, and the PROXY protocol is expected")
        data = self.introduction + data
        header = read_proxy_header(data)
        if header is None:
            self.introduction = data
            return b""
        self.introduction = None
        self.environ = proxied_environ(self.environ, header)
        if not self._trusted.trusts(self.environ["REMOTE_ADDR"]):
            self.forwarded = None
        return data[header.size :]

    def address_of(self, request: Request | None) -> str:
        """Return the client's address, as the application gets it with `request`."""
        address: str = self.environ["REMOTE_ADDR"]
        if request is not None and request.fields.forwarded and self.forwarded is not None:
            with suppress(BadRequest):
                origin = self.forwarded.read(request.fields.headers)
                address = address if origin.address is None else origin.address
        return address

    def passport(self, served: int) -> Passport:
        """Return what another worker has to know of the connection, on which so many requests were served."""
        environ = self.environ
        return Passport(
            server=(environ["SERVER_NAME"], environ["SERVER_PORT"]),
            peer=(environ["REMOTE_ADDR"], environ["REMOTE_PORT"]),
            scheme=environ["wsgi.url_scheme"],
            introduced=self.introduction is None,
            served=served,
        )

    def continue_from(self, passport: Passport) -> None:
        """Take over what another worker has learned; of the addresses, `environ` was made."""
        if passport.introduced:
            self.introduction = None
        if passport.scheme != self.environ["wsgi.url_scheme"]:
            self.environ = self.environ | {"wsgi.url_scheme": passport.scheme}

    def describe(self) -> str:
        """Return what the log calls it."""
        return self.environ["REMOTE_ADDR"] or "a local process"
