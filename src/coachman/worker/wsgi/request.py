"""Requests as httptools parses them: bytes in, complete `Request` values out."""

from __future__ import annotations

from collections import deque

import httptools

from coachman.worker.wsgi.body import RequestBody

HEADER_LIMIT = 64 * 1024
"""Bytes that the request line and the headers of one request may take together."""


class BadRequest(Exception):
    """The peer sent what HTTP/1.1 does not allow, or more than we take. Carries the status to answer with."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Request:
    """One complete request."""

    __slots__ = ("body", "headers", "keep_alive", "method", "target", "version")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        keep_alive: bool,
        body: RequestBody | None,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        """`"1.0"` or `"1.1"`."""
        self.headers = headers
        """In the order received, names as the peer spelt them."""
        self.keep_alive = keep_alive
        self.body = body
        """None where the request has none or an empty one."""

    def close(self) -> None:
        """Release the body."""
        if self.body is not None:
            self.body.close()


class RequestParser:
    """Turns the bytes of one connection into requests.

    Bodies are collected here, so a request is complete before anything else sees it. Several requests in one
    `feed` (pipelining) come out in order.
    """

    __slots__ = (
        "_body",
        "_finished",
        "_head_is_fresh",
        "_header_bytes",
        "_headers",
        "_in_headers",
        "_parser",
        "_target",
        "awaits_continue",
        "complete",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self.complete: deque[Request] = deque()
        """Requests that wait to be served; the connection takes them out."""
        self.awaits_continue = False
        """The headers of a request are in, its body is not, and the peer wants to be told to go on."""
        self._finished = False
        """A request that ends the connection is in: what follows it is ignored (RFC 9112, 9.6)."""
        self._in_headers = False
        self._head_is_fresh = False
        """The head began in the data that is being fed."""
        self._header_bytes = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: RequestBody | None = None

    @property
    def between_requests(self) -> bool:
        """True where no part of a further request has been received."""
        return not self._in_headers and self._target == b""

    def feed(self, data: bytes) -> None:
        """Parse `data`.

        Raises `BadRequest` where the connection has to end with an error status, OSError where the temporary
        file of a body cannot take it.
        """
        if self._finished:
            return
        # A loop, because one read may bring more offers than the stack has room for.
        while (behind_offer := self._parse(data)) is not None:
            data = self._decline_upgrade(behind_offer)
        if self._in_headers:
            # Counting what was fed costs nothing per header; it is late by at most one read. A read in which
            # the head began behind another request may be mostly that, and does not count.
            if not (self._head_is_fresh and self.complete):
                self._header_bytes += len(data)
            self._head_is_fresh = False
            if self._header_bytes > HEADER_LIMIT:
                raise BadRequest(
                    "431 Request Header Fields Too Large", f"over {HEADER_LIMIT} bytes of headers"
                )

    def close(self) -> None:
        """Release the bodies of requests that nobody will serve."""
        for request in self.complete:
            request.close()
        self.complete.clear()
        if self._body is not None:
            self._body.close()
            self._body = None

    def _parse(self, data: bytes) -> bytes | None:
        """Parse up to an offer to change the protocol; return what follows that, None where there is none."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if error.__context__ is None:
                raise
            raise error.__context__ from None
        except httptools.HttpParserError as error:
            if not self._finished:
                raise BadRequest("400 Bad Request", str(error)) from None
        return None

    def _decline_upgrade(self, rest: bytes) -> bytes:
        """Go on as HTTP/1.1 where the peer offered a protocol that we do not speak (RFC 9110, 7.8).

        llhttp takes such a request for complete at the end of its headers and will not go on. A body that
        follows must not pass for the next request, so the head is to be parsed again without the offer:
        it is returned, with `rest` behind it.
        """
        request = self.complete.pop()
        if request.method == b"CONNECT":
            self._finished = True
            raise BadRequest("501 Not Implemented", "CONNECT is not served here")
        head = [request.method + b" " + request.target + b" HTTP/" + request.version.encode()]
        head += [name + b": " + value for name, value in request.headers if name.lower() != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self._finished = False
        return b"\r\n".join(head) + b"\r\n\r\n" + rest

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._in_headers = self._head_is_fresh = True
        self._header_bytes = 0
        self._headers = []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # and not a trailer, which may be ignored (RFC 9110, 6.5.1)
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_headers = False
        for name, value in self._headers:
            # A 1.0 peer does not understand the interim answer (RFC 9110, 10.1.1).
            if len(name) == 6 and name.lower() == b"expect" and self._parser.get_http_version() != "1.0":
                if value.lower() != b"100-continue":
                    raise BadRequest("417 Expectation Failed", f"Expect: {value.decode('latin-1')}")
                self.awaits_continue = True

    def on_body(self, data: bytes) -> None:
        self.awaits_continue = False  # it did not wait
        body = self._body
        if body is None:
            body = self._body = RequestBody()
        body.append(data)

    def on_message_complete(self) -> None:
        parser = self._parser
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadRequest("505 HTTP Version Not Supported", f"HTTP/{version}")
        keep_alive = parser.should_keep_alive()
        self._finished = not keep_alive
        self.awaits_continue = False
        body, self._body = self._body, None
        target, self._target = self._target, b""
        self.complete.append(Request(parser.get_method(), target, version, self._headers, keep_alive, body))
