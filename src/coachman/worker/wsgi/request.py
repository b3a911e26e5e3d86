"""Requests: the bytes of a connection in, complete `Request` values out."""

from __future__ import annotations

from collections import deque

from coachman.protocol.http.chunks import ChunkReader
from coachman.protocol.http.head import CHUNKED, FieldBlock, HeadBounds, HeadReader, check_begun
from coachman.protocol.http.refusal import BadRequest
from coachman.protocol.http.request_line import RequestLine
from coachman.worker.wsgi.body import RequestBody
from coachman.worker.wsgi.scratch_files import ScratchFiles

__all__ = ["BadRequest", "Request", "RequestParser"]

DEFAULT_HEAD_BOUNDS = HeadBounds()

_CR = 0x0D


class Request:
    """One complete request."""

    __slots__ = ("body", "fields", "line", "method", "target")

    def __init__(self, line: RequestLine, fields: FieldBlock) -> None:
        self.method = line.method
        self.target = line.target
        """As the peer sent it; `split_target` takes it apart."""
        self.line = line.text
        """Method and target in bytes."""
        self.fields = fields
        self.body: RequestBody | None = None
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
        "_body_limit",
        "_bounds",
        "_files",
        "_heads",
        "_held",
        "_looked_at",
        "_request",
        "_take",
        "awaits_continue",
        "chunks",
        "complete",
        "missing",
    )

    def __init__(
        self, files: ScratchFiles, bounds: HeadBounds = DEFAULT_HEAD_BOUNDS, body_limit: int = 0
    ) -> None:
        """`files` are for large bodies, and stay the caller's. `body_limit`: bytes of one; 0: any number."""
        self._files = files
        self._bounds = bounds
        self._heads = HeadReader(bounds)
        self._body_limit = body_limit
        self.complete: deque[Request] = deque()
        """Requests that wait to be served; the connection takes them out."""
        self.awaits_continue = False
        """The headers of a request are in, its body is not, and the peer wants to be told to go on."""
        self._take = RequestParser._take_head
        """What reads the next bytes: from a position in the data, to the position that it returns."""
        self._held = b""
        """The beginning of a head whose end has not come yet."""
        self._looked_at = 0
        """Bytes of `_held` in which every line is known to be well-formed."""
        self._request: Request | None = None
        """The request whose body is being read."""
        self.missing = 0
        """Bytes that are still to come of a body whose length is known; 0 where none is being read."""
        self.chunks: ChunkReader | None = None
        """What takes a body apart that comes in chunks; None where none is being read."""

    @property
    def between_requests(self) -> bool:
        """True where no part of a further request has been received."""
        return self._request is None and not self._held

    @property
    def body_received(self) -> int | None:
        """Bytes that have come of a body that is not complete; None where none is being read."""
        if self._request is None:
            return None
        return self._request.body.size if self._request.body is not None else 0

    def feed(self, data: bytes) -> None:
        """Parse `data`.

        Raises `BadRequest` where the connection has to end with an error status, OSError where the temporary
        file of a body cannot take it. Nothing may be fed after that.
        """
        position, end = 0, len(data)
        while position < end:
            position = self._take(self, data, position)

    def feed_body(self, data: memoryview) -> None:
        """As `feed`, for no more bytes than are `missing`; `data` may be overwritten afterwards."""
        self._take_body(data, 0)

    def close(self) -> None:
        """Release the bodies of requests that nobody will serve."""
        for request in self.complete:
            request.close()
        self.complete.clear()
        if self._request is not None:
            self._request.close()
            self._request = None

    # The head.

    def _take_head(self, data: bytes, position: int) -> int:
        if self._held:
            return self._take_rest_of_head(data, position)
        if data[position] == _CR and data.startswith(b"\r\n", position):
            return position + 2  # an empty line before the request (RFC 9112, 2.2)
        head = self._heads.read(data, position)
        if head is None:
            return self._take_rest_of_head(data, position)
        line, fields, end = head
        self._begin(line, fields)
        return end

    def _take_rest_of_head(self, data: bytes, position: int) -> int:
        """Go on with a head that does not come in one piece."""
        before = len(self._held)
        held = self._held + data[position:]
        if held.startswith(b"\r\n"):
            self._held = b""
            return position + 2 - before
        # Heads may come byte by byte: their end is looked for where it can be.
        head = None if held.find(b"\r\n\r\n", max(0, before - 3)) < 0 else self._heads.read(held, 0)
        if head is None:
            self._looked_at = check_begun(held, self._looked_at, self._bounds)
            self._held = held
            return len(data)
        self._held, self._looked_at = b"", 0
        line, fields, end = head
        self._begin(line, fields)
        return position + end - before

    def _begin(self, line: RequestLine, fields: FieldBlock) -> None:
        """Go on behind a head."""
        request = Request(line, fields)
        length = fields.length
        if length == 0:
            self._end(request)
            return
        if self._body_limit and length > self._body_limit:
            raise self._too_large()
        self._request = request
        self.awaits_continue = fields.expects_continue
        if length == CHUNKED:
            self.chunks = ChunkReader()
            self._take = RequestParser._take_chunks
        else:
            self.missing = length
            self._take = RequestParser._take_body

    # The body.

    def _take_body(self, data: bytes | memoryview, position: int) -> int:
        end = min(len(data), position + self.missing)
        self._append(memoryview(data)[position:end])
        self.missing -= end - position
        if self.missing == 0:
            self._end_body()
        return end

    def _take_chunks(self, data: bytes, position: int) -> int:
        chunks = self.chunks
        assert chunks is not None
        self.awaits_continue = False
        blocks, end = chunks.feed(data, position)
        for block in blocks:
            self._append(block)
        if chunks.done:
            self.chunks = None
            self._end_body()
        return end

    def _append(self, data: memoryview) -> None:
        self.awaits_continue = False  # it did not wait
        request = self._request
        assert request is not None
        body = request.body
        if body is None:
            body = request.body = RequestBody(self._files)
        body.append(data)
        if self._body_limit and body.size > self._body_limit:
            raise self._too_large()

    def _too_large(self) -> BadRequest:
        return BadRequest("413 Content Too Large", f"a body of more than {self._body_limit} bytes")

    def _end_body(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._take = RequestParser._take_head
        self._end(request)

    def _end(self, request: Request) -> None:
        self.complete.append(request)
        if not request.fields.keep_alive:
            self._take = RequestParser._ignore

    def _ignore(self, data: bytes, position: int) -> int:
        """Pass over what follows a request that ends the connection (RFC 9112, 9.6)."""
        return len(data)
