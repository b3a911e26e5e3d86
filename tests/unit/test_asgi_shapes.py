"""Shapes of requests that RFC 9112 forbids, sent to an ASGI worker: those that a WSGI worker refuses.

httptools parses here, which is laxer in a few places. What is let through is listed: nothing of it can be
read in two ways. What is not served though it might be is listed as well.
"""

from __future__ import annotations

import pytest

from .asgi_serving import echo, receive_through, served
from .test_http_shapes import REFUSED, SERVED

LET_THROUGH = {
    "two spaces behind the method",
    "two spaces behind the target",
    "another protocol",  # RTSP
}
BOUNDED_LATER = {
    "HTTP/0.9",  # it waits for the end of a head
    "a size of 16 digits",  # it waits for so long a body
    "an endless extension", "many extensions", "an endless trailer", "many trailers",  # at 64 KiB
}  # fmt: skip
NOT_SERVED = {"an extension", "a trailer", "a later minor version", "bytes over 127 in the target"}


@pytest.mark.parametrize("shape", sorted(set(REFUSED) - LET_THROUGH - BOUNDED_LATER))
def test_what_is_forbidden_is_refused(shape: str) -> None:
    data, _ = REFUSED[shape]
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(data)
        assert receive_through(client, b"\r\n")[9:10] in b"45"


@pytest.mark.parametrize("shape", sorted(LET_THROUGH))
def test_what_is_let_through_is_one_request(shape: str) -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(REFUSED[shape][0] + b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert receive_through(client, b"/next ").count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("shape", sorted(set(SERVED) - NOT_SERVED))
def test_what_is_allowed_is_served_and_leaves_the_next_request_whole(shape: str) -> None:
    with served(echo) as serving:
        client = serving.connect()
        next_ = b"" if shape == "no host in 1.0" else b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(SERVED[shape] + next_)
        assert receive_through(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        if next_:
            receive_through(client, b"/next ")


@pytest.mark.parametrize("beginning", [b"3;", b"0\r\nA: "], ids=["extension", "trailer"])
def test_what_surrounds_a_body_is_bounded(beginning: bytes) -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + beginning)
        for _ in range(100):  # the first read does not count: it may be mostly another request
            client.sendall(b"x" * 10_000)
        assert receive_through(client, b"\r\n")[9:10] in b"45"
