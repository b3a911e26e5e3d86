import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol.http_head import HEAD_LIMIT, Request, Response, read_head, text_response

GET = b"GET /metrics?all HTTP/1.1\r\nHost: x\r\naccept: a\r\nAccept:  b \r\n\r\n"


def test_a_head_is_read_once_all_of_it_is_there() -> None:
    for length in range(len(GET)):
        assert read_head(GET[:length]) is None
    request = read_head(GET + b"whatever follows")
    assert request == Request("GET", "/metrics?all", {"host": "x", "accept": "a, b"})
    assert isinstance(request, Request)
    assert request.path == "/metrics"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/2.0",
        b"get / HTTP/1.1",
        b"\x16\x03\x01",
        b"GET /\0 HTTP/1.1",
    ],
)
def test_what_is_no_request_line_is_refused(line: bytes) -> None:
    head = read_head(line + b"\r\n\r\n")
    assert isinstance(head, Response)
    assert head.status == 400


@pytest.mark.parametrize("line", [b"no colon", b"name : value", b" folded", b": value", b"x: a\nb", b"x: \0"])
def test_what_is_no_header_is_refused(line: bytes) -> None:
    head = read_head(b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
    assert isinstance(head, Response)
    assert head.status == 400


def test_a_head_without_an_end_is_refused_at_the_limit() -> None:
    endless = b"GET / HTTP/1.1\r\nx: " + b"x" * HEAD_LIMIT
    assert read_head(endless[: HEAD_LIMIT - 1]) is None
    head = read_head(endless)
    assert isinstance(head, Response)
    assert head.status == 431


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert read_head(data + b"\r\n\r\n") is not None


def test_a_response_says_how_long_it_is_and_that_the_connection_ends() -> None:
    response = text_response(503, "wait", ("Retry-After", "2"))
    assert response.encode(date="today") == (
        b"HTTP/1.1 503 Service Unavailable\r\nDate: today\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 5\r\nConnection: close\r\nRetry-After: 2\r\n\r\nwait\n"
    )
    assert response.encode(date="today", bodyless=True).endswith(b"Retry-After: 2\r\n\r\n")
    assert Response(299).encode(date="today").startswith(b"HTTP/1.1 299 \r\n")
