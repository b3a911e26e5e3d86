"""What comes in on one HTTP connection, checked and bounded before uvicorn makes a request of it."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from coachman.protocol.http.head import FieldBlock
from coachman.protocol.http.refusal import BadRequest, malformed
from coachman.protocol.http.target import check_target, split_target
from coachman.protocol.proxy_protocol import read_proxy_header
from coachman.worker.asgi.context import Arrival, Context, Introduction
from coachman.worker.asgi.head_check import HeadCheck, apply_origin, set_host
from coachman.worker.asgi.state import State

FRAMING: Final = 16
"""Bytes of framing for each byte of a body that are no excess: a chunk of one byte has at least 5."""


class Incoming(HttpToolsProtocol):
    """The receiving half of a connection; what it makes of a complete head is its subclass's to say."""

    def __init__(
        self, context: Context, config: Config, state: State, app_state: dict[str, Any], arrival: Arrival
    ) -> None:
        super().__init__(config, state, app_state, _loop=context.loop)
        self._context = context
        self._arrival = arrival
        self._requests = arrival.served
        self._receiving = False
        """Something of a request has come, and not all of it."""
        self._in_head = False
        self._head_size = 0
        """Bytes that reads have brought of a head, or behind one beyond its body and the framing of that."""
        self._read_size = 0
        """Bytes of the present read."""
        self._body_size = 0
        self._declined = False
        """The request offers another protocol, and is to be parsed again without the offer."""
        self._upgraded = False
        """The transport belongs to a WebSocket now."""
        self._introduction = b"" if context.proxy_protocol and arrival.introduction is None else None
        """What has come of the PROXY protocol's header, while it is waited for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._arrival.introduction is not None:
            self._be_introduced(self._arrival.introduction)
        self._check_heads()

    def _receive(self, data: bytes) -> None:
        """Parse `data`, which is one read; raise `BadRequest` where something in it is not served."""
        self._read_size = len(data)
        requests, body_size = self._requests, self._body_size
        rest: bytes | None = data
        if self._introduction is not None:
            rest = self._take_introduction(data) or None
        while rest is not None:
            rest = self._feed(rest)
        if self._receiving and self._requests == requests and not self._upgraded:
            self._bound_unfinished(self._body_size - body_size)

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_head = True
        self._head_size = 0

    def on_body(self, body: bytes) -> None:
        if self._declined:
            return
        super().on_body(body)
        self._body_size += len(body)
        limit = self._context.bounds.body_size
        if limit and self._body_size > limit:
            raise BadRequest("413 Content Too Large", f"over {limit} bytes of body")

    # Heads.

    def _checked_fields(self, method: str, version: str) -> FieldBlock:
        """Return what the fields of the head say; raise `BadRequest` where it must not be served."""
        bounds = self._context.bounds
        if version not in ("1.1", "1.0"):
            raise BadRequest("505 HTTP Version Not Supported", f"HTTP/{version}")
        if bounds.request_line and len(self.url) > bounds.request_line:
            raise BadRequest("414 URI Too Long", f"over {bounds.request_line} bytes of request line")
        limit = bounds.header_size
        # The sum is made only where the reads that brought the head would have had room for too much.
        if limit and self._head_size + self._read_size > limit:
            size = sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limit:
                raise BadRequest("431 Request Header Fields Too Large", f"over {limit} bytes of headers")
        if self.url[:1] != b"/" or method == "CONNECT":
            check_target(method, self.url.decode("latin-1"))
        if b"#" in self.url:
            raise malformed("there is a fragment in the target", self.url.decode("latin-1"))
        fields = self._head_check.read(self.headers, version)
        if bounds.body_size and fields.length > bounds.body_size:
            raise BadRequest("413 Content Too Large", f"over {bounds.body_size} bytes of body")
        return fields

    def _complete_scope(self, method: str, version: str, fields: FieldBlock) -> None:
        """Put into the scope what the head says."""
        scope: Any = self.scope
        scope["method"], scope["http_version"] = method, version
        raw_path, _, query = self.url.partition(b"?")
        if raw_path[:1] != b"/":
            target = split_target(self.url.decode("latin-1"))
            raw_path, query = (target.path or "*").encode("latin-1"), target.query.encode("latin-1")
            if target.authority is not None:
                set_host(target.authority, scope)  # it overrules the field (RFC 9112, 3.2.2)
        path = raw_path.decode("latin-1")
        # Percent-encoded or not, the bytes are those of UTF-8.
        scope["path"] = path if path.isascii() and "%" not in path else unquote_to_text(raw_path)
        scope["raw_path"], scope["query_string"] = raw_path, query
        origin = self._head_check.origin(fields)
        if origin is not None:
            apply_origin(origin, scope)

    def _bound_unfinished(self, body_size: int) -> None:
        """Bound what a read has brought that belongs to one request alone, and does not complete it.

        `body_size`: bytes of a body that were in it. What else there is of a body, extensions of chunks and
        trailers, is bounded as a head is, beyond what small chunks need.
        """
        bounds = self._context.bounds
        if self._in_head and bounds.request_line and len(self.url) > bounds.request_line:
            raise BadRequest("414 URI Too Long", f"over {bounds.request_line} bytes of request line")
        self._head_size = max(0, self._head_size + self._read_size - FRAMING * body_size)
        if bounds.header_size and self._head_size > bounds.header_size:
            raise BadRequest(
                "431 Request Header Fields Too Large",
                f"over {bounds.header_size} bytes of headers, trailers or chunk extensions",
            )

    # Parsing.

    def _feed(self, data: bytes) -> bytes | None:
        """Parse `data`; return what is to be parsed next, None: nothing."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._declined:
                return self._without_offer(data[upgrade.args[0] :])
            self.handle_websocket_upgrade()
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, BadRequest):
                raise cause from None
            raise
        except httptools.HttpParserError as error:
            raise BadRequest("400 Bad Request", str(error)) from None
        return None

    def _without_offer(self, rest: bytes) -> bytes:
        """Return the head without the offer to change the protocol, and `rest`, for a fresh parser.

        llhttp takes such a request for complete at the end of its headers; a body that follows must not pass
        for the next request (RFC 9110, 7.8).
        """
        self._declined = False
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self._read_size = 0  # it was counted before
        return b"\r\n".join(head) + b"\r\n\r\n" + rest

    def _take_introduction(self, data: bytes) -> bytes:
        """Let a proxy say who the client is, before the first request; return what follows that."""
        assert self._introduction is not None
        if not self._head_check.trusted:
            raise BadRequest("400 Bad Request", "it is no trusted proxy, and the PROXY protocol is expected")
        data = self._introduction + data
        header = read_proxy_header(data)
        if header is None:
            self._introduction = data
            return b""
        self._introduction = None
        client, server = self.client, self.server
        if header.source is not None:
            address, port = header.source
            client = (address, int(port or 0)) if address else None
        if header.destination is not None and header.destination.address:
            server = (header.destination.address, int(header.destination.port))
        self._be_introduced(Introduction(client, server, "https" if header.tls else "http"))
        self._check_heads()  # whoever was introduced is no proxy that would be believed
        return data[header.size :]

    def _be_introduced(self, introduction: Introduction) -> None:
        self.client, self.server, self.scheme = introduction  # type: ignore[assignment]  # uvicorn's scheme

    def _check_heads(self) -> None:
        self._head_check = HeadCheck(self._context, self.client[0] if self.client else "")

    def _describe_peer(self) -> str:
        return self.client[0] if self.client else "a local process"


def unquote_to_text(path: bytes) -> str:
    """Return a path as ASGI has it: decoded, of UTF-8."""
    return unquote_to_bytes(path).decode("utf-8", "replace")
