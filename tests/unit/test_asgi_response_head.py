"""The head of a response, and how it frames the body."""

from __future__ import annotations

from typing import Any

import pytest

from coachman.worker.asgi.response_head import Framing, make_head

DATE = b"date: now\r\n"


def head(
    status: int = 200,
    headers: Any = (),
    *,
    version: str = "1.1",
    keep_alive: bool = True,
    bodyless: bool = False,
    whole: int | None = None,
) -> tuple[list[bytes], Framing]:
    made, framing = make_head(
        status,
        headers,
        date=DATE,
        version=version,
        keep_alive=keep_alive,
        bodyless=bodyless,
        whole=whole,
    )
    assert made.endswith(b"\r\n\r\n")
    return made.removesuffix(b"\r\n\r\n").split(b"\r\n"), framing


def test_a_body_that_is_known_has_its_length() -> None:
    lines, framing = head(whole=5)
    assert lines == [b"HTTP/1.1 200 OK", b"date: now", b"content-length: 5"]
    assert framing == (5, False, True)


def test_a_body_to_come_is_chunked_or_ends_the_connection() -> None:
    assert head()[1] == (None, True, True)
    lines, framing = head(version="1.0")
    assert framing == (None, False, False)
    assert lines[-1] == b"connection: close"


def test_a_declared_length_holds() -> None:
    lines, framing = head(headers=[(b"Content-Length", b"7")], whole=5)
    assert framing.length == 7
    assert lines.count(b"content-length: 7") == 1


def test_an_old_peer_is_told_that_the_connection_stays() -> None:
    assert head(version="1.0", whole=0)[0][-1] == b"connection: keep-alive"


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_has_no_framing(status: int) -> None:
    lines, framing = head(status, whole=0)
    assert framing == (None, False, True)
    assert not any(b"length" in line or b"coding" in line for line in lines)


def test_a_declared_length_does_not_go_along_with_204() -> None:
    given = [(b"Content-Length", b"0")]
    assert not any(b"length" in line for line in head(204, headers=given, whole=0)[0])
    assert b"content-length: 0" in head(304, headers=given, whole=0)[0]


def test_framing_and_connection_are_the_servers_to_say() -> None:
    given = [(b"transfer-encoding", b"chunked"), (b"connection", b"Close"), (b"date", b"then")]
    lines, framing = head(headers=given, whole=1)
    assert framing == (1, False, False)
    assert lines == [b"HTTP/1.1 200 OK", b"date: then", b"content-length: 1", b"connection: close"]


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ([(b"a b", b"c")], "must not be sent"),
        ([(b"a", b"b\r\nc: d")], "must not be sent"),
        ([(b"a\r\nb", b"c")], "must not be sent"),
        ([(b"", b"c")], "must not be sent"),
        ([("a", "b")], "not made of bytes"),
        ([(b"content-length", b"1"), (b"content-length", b"1")], "twice"),
        ([(b"content-length", b"-1")], "not a whole number"),
    ],
)
def test_what_must_not_be_sent_is_refused(headers: Any, what: str) -> None:
    with pytest.raises(RuntimeError, match=what):
        head(headers=headers)


@pytest.mark.parametrize("status", [0, 100, 199, 600, 99999])
def test_a_status_that_is_none_is_refused(status: int) -> None:
    with pytest.raises(RuntimeError, match="not a final status"):
        head(status)


def test_headers_may_be_lists_and_are_remembered_as_tuples() -> None:
    for _ in range(2):
        assert head(headers=[[b"X-A", b"b"], (b"X-A", b"b")], whole=0)[0][1:3] == [b"x-a: b"] * 2
