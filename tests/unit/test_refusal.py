from __future__ import annotations

import pytest

from coachman.protocol.refusal import HEAD_LIMIT, SORRY, head_is_complete, refusal


@pytest.mark.parametrize(
    ("received", "complete"),
    [
        (b"", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET / HTTP/1.1\n\n", True),
        (b"x" * HEAD_LIMIT, True),
    ],
)
def test_a_head_is_read_to_its_end_and_no_further_than_a_bound(received: bytes, complete: bool) -> None:
    assert head_is_complete(received) is complete


def test_a_refusal_says_when_to_come_back_and_closes() -> None:
    head, _, body = refusal(b"GET / HTTP/1.1\r\n\r\n", retry_after=7).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 7\r\n" in head
    assert head.endswith(b"\r\nConnection: close")
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    assert body == SORRY.encode()


def test_a_page_is_html_and_head_gets_none_of_it() -> None:
    page = refusal(b"GET / HTTP/1.1\r\n\r\n", retry_after=1, page="<p>\N{POUND SIGN}")
    assert b"text/html" in page
    assert page.endswith("\r\n\r\n<p>\N{POUND SIGN}".encode())
    assert refusal(b"HEAD / HTTP/1.1\r\n\r\n", retry_after=1, page="<p>").endswith(b"\r\n\r\n")
