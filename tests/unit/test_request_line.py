"""The first line of a request: what it says, and which lines are remembered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coachman.protocol.http.head import HeadBounds, HeadReader
from coachman.protocol.http.refusal import BadRequest
from coachman.protocol.http.request_line import KNOWN_LINES, KNOWN_SIZE, RequestLine, known_lines, read_line

LINE = b"GET /\xe4?b=%20c HTTP/1.1\r\n"


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    known_lines.clear()
    yield
    known_lines.clear()


def test_a_line_says_what_is_asked_for() -> None:
    line = RequestLine(LINE)
    assert (line.method, line.target, line.text, line.version) == ("GET", "/ä?b=%20c", LINE[:-11], "1.1")


@pytest.mark.parametrize(("minor", "version"), [(b"0", "1.0"), (b"1", "1.1"), (b"2", "1.1")])
def test_a_later_minor_version_is_served_as_the_one_that_is_known(minor: bytes, version: str) -> None:
    assert RequestLine(b"GET / HTTP/1.%b\r\n" % minor).version == version


@pytest.mark.parametrize(
    "line", [b"", b"\r\n", b"GET /\r\n", b"GET / HTTP/1.1\n", LINE + b"x", b"GET x HTTP/1.1\r\n"]
)
def test_what_is_refused_is_not_remembered(line: bytes) -> None:
    with pytest.raises(BadRequest):
        read_line(line)
    assert not known_lines


def test_connections_share_the_lines_that_are_known() -> None:
    data = LINE + b"Host: x\r\n\r\n"
    lines = []
    for _ in range(2):
        head = HeadReader(HeadBounds()).read(data, 0)
        assert head is not None
        lines.append(head[0])
    assert lines[0] is lines[1]


def test_a_line_that_is_known_is_refused_where_it_is_too_long() -> None:
    read_line(LINE)
    bounds = HeadBounds(request_line=len(LINE) - 1)
    with pytest.raises(BadRequest, match="request line of more than"):
        HeadReader(bounds).read(LINE + b"Host: x\r\n\r\n", 0)


def test_a_long_line_is_not_remembered() -> None:
    padding = b"x" * (KNOWN_SIZE - len(b"GET / HTTP/1.1\r\n"))
    read_line(b"GET /%b HTTP/1.1\r\n" % padding)
    assert len(known_lines) == 1
    read_line(b"GET /%bx HTTP/1.1\r\n" % padding)
    assert len(known_lines) == 1


def test_only_so_many_lines_are_remembered_and_the_latest_is() -> None:
    for number in range(3 * KNOWN_LINES):
        line = b"GET /%d HTTP/1.1\r\n" % number
        assert known_lines.get(line) is None
        assert read_line(line) is known_lines[line]
        assert len(known_lines) <= KNOWN_LINES
