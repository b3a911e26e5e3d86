"""The first line of a request, and those that were read lately.

Most requests that a server gets begin with one of a few lines, and to find a line that is known takes a third
of the time that it takes to read one. Nothing but its bytes says what it means, so who sent it does not
matter.
"""

from __future__ import annotations

from typing import Final

from coachman.protocol.http.grammar import REQUEST_LINE, refused_request_line
from coachman.protocol.http.target import check_target

KNOWN_LINES: Final = 256
KNOWN_SIZE: Final = 128
"""Lines that are remembered, and bytes of one of them, at most: peers choose what they send."""

_VERSION_SIZE: Final = len(" HTTP/1.1\r\n")


class RequestLine:
    """What a request asks for; not to be changed."""

    __slots__ = ("method", "target", "text", "version")

    def __init__(self, line: bytes) -> None:
        """Read a whole line, its end included. Raises `BadRequest`."""
        match = REQUEST_LINE.fullmatch(line)
        if match is None:
            raise refused_request_line(line.decode("latin-1"))
        method, target, minor = match.groups()
        self.method = method.decode("ascii")
        self.target = target.decode("latin-1")
        """As the peer sent it; `split_target` takes it apart."""
        self.text = line[:-_VERSION_SIZE]
        """Method and target in bytes, with the space between."""
        self.version = "1.0" if minor == b"0" else "1.1"
        if target[0] != 0x2F or method == b"CONNECT":
            check_target(self.method, self.target)


known_lines: dict[bytes, RequestLine] = {}
"""Those that were read lately, by their bytes. Any thread may look."""


def read_line(line: bytes) -> RequestLine:
    """Read a whole line that is not known, and remember it. Raises `BadRequest`."""
    read = RequestLine(line)
    if len(line) <= KNOWN_SIZE:
        if len(known_lines) >= KNOWN_LINES:
            known_lines.clear()  # those that are frequent are soon back
        known_lines[line] = read
    return read
