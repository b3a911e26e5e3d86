"""The head of a request: its lines, what they mean for the connection, and everything that is refused.

One regular expression goes over the lines of the fields, and they are gathered under one spelling of their
names. What they mean for the framing of the message and for the connection is decided here, so nobody
else has to read them again, and differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coachman.protocol.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TRANSFER_ENCODING,
    gather,
)
from coachman.protocol.http.forwarded import FORWARDED_FIELDS
from coachman.protocol.http.grammar import (
    FIELD_LINE,
    REQUEST_LINE,
    check_begun_request_line,
    refused_request_line,
    stripped_fields,
)
from coachman.protocol.http.refusal import BadRequest, malformed, quoted
from coachman.protocol.http.request_line import RequestLine, known_lines, read_line
from coachman.protocol.http.target import is_host

CHUNKED: Final = -1
"""The length of a body that comes in chunks."""

BEGINNING: Final = 256
"""Bytes of an unfinished request line that are looked at, to tell other protocols at once."""

_FOR_THE_SERVER = frozenset({CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, EXPECT}) | FORWARDED_FIELDS

_known_line = known_lines.get

REMEMBERED: Final = 2048
"""Bytes of fields up to which they are remembered: an idle connection keeps them in memory."""


@dataclass(frozen=True, slots=True)
class HeadBounds:
    """How much of a head is taken."""

    request_line: int = 8190
    """Bytes of the request line."""
    header_size: int = 64 * 1024
    """Bytes of all fields together."""
    header_count: int = 100
    """Fields."""


class FieldBlock:
    """The fields of a head, with what they say about the message and the connection; not to be changed."""

    __slots__ = ("expects_continue", "forwarded", "headers", "keep_alive", "length", "protocol", "version")

    def __init__(self, text: str, version: str, bounds: HeadBounds) -> None:
        """Read the field lines in `text`, the empty line behind them included. Raises `BadRequest`."""
        end = len(text) - 2
        fields: list[tuple[str, str]] = FIELD_LINE.findall(text, 0, end)
        if len(fields) != text.count("\n", 0, end):
            fields = stripped_fields(text[:end])
        if len(fields) > bounds.header_count:
            raise _too_large(bounds)
        headers = gather(fields)
        self.headers = headers
        """Values under their names in CGI, as `gather` returns them: Latin-1, without spaces around."""
        self.version = version
        """`"1.0"` or `"1.1"`."""
        self.protocol = f"HTTP/{version}"
        self.length = 0
        """Bytes of the body, or `CHUNKED`."""
        self.keep_alive = version == "1.1"
        """Whether the connection can carry a further request, as far as the peer is concerned."""
        self.expects_continue = False
        """Whether the peer waits for `100 Continue` before it sends the body."""
        self.forwarded = False
        """Whether there is one of the fields that say for whom a proxy forwards the request."""
        host = headers.get(HOST)
        if host is None:
            if version == "1.1":
                raise malformed("there is no Host field")
        elif not is_host(host):
            raise malformed("this is no host", host)
        if not _FOR_THE_SERVER.isdisjoint(headers):
            self._interpret()

    def _interpret(self) -> None:
        headers = self.headers
        self.forwarded = not FORWARDED_FIELDS.isdisjoint(headers)
        self.length = _body_length(headers, self.version)
        connection = headers.get(CONNECTION)
        if connection is not None:
            # The last word is "close", whatever else is said (RFC 9112, 9.3).
            options = {option.strip(" \t") for option in connection.lower().split(",")}
            self.keep_alive = (self.keep_alive or "keep-alive" in options) and "close" not in options
        expectation = headers.get(EXPECT)
        # A 1.0 peer does not understand the interim answer (RFC 9110, 10.1.1).
        if expectation is not None and self.version == "1.1":
            if expectation.lower() != "100-continue":
                raise BadRequest("417 Expectation Failed", f"Expect: {quoted(expectation)}")
            self.expects_continue = self.length != 0


class HeadReader:
    """Reads the heads of the requests on one connection.

    A client mostly sends the same fields with every request on a connection, so those of the last one are
    remembered, and the same bytes are not read again. The meaning of the fields depends on nothing but these
    bytes and the version of HTTP.
    """

    __slots__ = ("_block", "_bounds", "_fields")

    def __init__(self, bounds: HeadBounds) -> None:
        self._bounds = bounds
        self._block = b""
        """The bytes of the fields that are remembered, with the empty line behind them."""
        self._fields: FieldBlock | None = None

    def read(self, data: bytes, start: int) -> tuple[RequestLine, FieldBlock, int] | None:
        """Read the head that begins at `start`; return it, and where in the data it ends.

        None is returned where it is not complete. Raises `BadRequest`.
        """
        bounds = self._bounds
        after = data.find(b"\n", start) + 1
        if after == 0:
            return None
        if after - start > bounds.request_line:
            raise _too_long(bounds)
        line = _known_line(data[start:after]) or read_line(data[start:after])
        fields = self._fields
        if fields is not None and line.version == fields.version and data.startswith(self._block, after):
            end = after + len(self._block)
        else:
            end = data.find(b"\r\n\r\n", after - 2) + 4
            if end == 3:
                return None
            block = data[after:end]
            fields = FieldBlock(block.decode("latin-1"), line.version, bounds)
            if len(block) <= REMEMBERED:
                self._block, self._fields = block, fields
        if end - after > bounds.header_size:
            raise _too_large(bounds)
        return line, fields, end


def check_begun(data: bytes, looked_at: int, bounds: HeadBounds) -> int:
    """Look at the beginning of a head, so that what cannot become one is refused without waiting for its end.

    The first `looked_at` bytes were looked at before. Returns what is to be passed for it when there is more.
    Raises `BadRequest`.
    """
    first = data.find(b"\n") + 1
    if first == 0:
        if len(data) > bounds.request_line:
            raise _too_long(bounds)
        check_begun_request_line(data[:BEGINNING].decode("latin-1"))
        return 0
    if looked_at == 0:
        if first > bounds.request_line:
            raise _too_long(bounds)
        if not REQUEST_LINE.match(data):
            raise refused_request_line(data[:first].decode("latin-1"))
        looked_at = first
    if len(data) - first > bounds.header_size:
        raise _too_large(bounds)
    end = data.rfind(b"\n") + 1
    if end > looked_at:
        stripped_fields(data[looked_at:end].decode("latin-1"))
    return max(looked_at, end)


def _too_large(bounds: HeadBounds) -> BadRequest:
    return BadRequest(
        "431 Request Header Fields Too Large",
        f"more than {bounds.header_size} bytes of headers, or more than {bounds.header_count} of them",
    )


def _too_long(bounds: HeadBounds) -> BadRequest:
    return BadRequest("414 URI Too Long", f"a request line of more than {bounds.request_line} bytes")


def _body_length(headers: dict[str, str], version: str) -> int:
    """Return how the body is framed (RFC 9112, 6.3); what two readers might read in two ways is refused."""
    length, coding = headers.get(CONTENT_LENGTH), headers.get(TRANSFER_ENCODING)
    if coding is None:
        if length is None:
            return 0
        if not (length.isascii() and length.isdigit()):
            raise malformed("this is no Content-Length", length)
        if len(length) > 18:
            raise BadRequest("413 Content Too Large", f"Content-Length: {quoted(length)}")
        return int(length)
    if length is not None:
        raise malformed("there is a Content-Length beside a Transfer-Encoding")
    if version == "1.0":
        raise malformed("there is a Transfer-Encoding in HTTP/1.0")
    if coding.lower() != "chunked":
        raise malformed("this Transfer-Encoding is not served here", coding)
    return CHUNKED
