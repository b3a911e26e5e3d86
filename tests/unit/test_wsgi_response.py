import sys
from typing import Any

import pytest

from coachman.worker.wsgi.header_kinds import ApplicationFault
from coachman.worker.wsgi.response import Headers, Response


def response(
    *,
    method: str = "GET",
    version: str = "1.1",
    status: str = "200 OK",
    headers: Headers | None = None,
    sent: list[bytes] | None = None,
    request_id: str = "",
) -> Response:
    collected = sent if sent is not None else []
    made = Response(
        method=method,
        version=version,
        keep_alive=True,
        send=lambda _made, data: collected.append(data),
        request_id=request_id,
    )
    made.start(status, headers or [])
    return made


def split(data: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


def test_a_known_body_has_its_length() -> None:
    status, headers, body = split(response(headers=[("X-A", "1")]).whole(b"hello"))
    assert status == "HTTP/1.1 200 OK"
    assert headers.keys() == {"X-A", "Date", "Content-Length"}
    assert (headers["Content-Length"], body) == ("5", b"hello")


def test_a_body_in_parts_is_chunked() -> None:
    made = response()
    data = made.part(b"") + made.part(b"hello") + made.part(b" world") + made.end()
    _, headers, body = split(data)
    assert headers["Transfer-Encoding"] == "chunked"
    assert body == b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert made.keep_alive


def test_a_body_in_parts_with_a_declared_length_is_not_chunked() -> None:
    made = response(headers=[("content-length", "5")])
    _, headers, body = split(made.part(b"hel") + made.part(b"lo") + made.end())
    assert "Transfer-Encoding" not in headers
    assert body == b"hello"
    assert not made.fault


def test_a_1_0_peer_gets_a_body_in_parts_until_the_connection_ends() -> None:
    made = response(version="1.0")
    _, headers, body = split(made.part(b"hello") + made.end())
    assert headers["Connection"] == "close"
    assert "Transfer-Encoding" not in headers
    assert body == b"hello"
    assert not made.keep_alive


def test_a_1_0_peer_that_wants_more_is_told_that_it_may() -> None:
    assert split(response(version="1.0").whole(b"x"))[1]["Connection"] == "keep-alive"


def test_parts_that_turn_out_empty_are_a_body_of_length_0() -> None:
    assert split(response().end())[1]["Content-Length"] == "0"


@pytest.mark.parametrize("parts", [True, False])
def test_head_has_the_headers_and_no_body(parts: bool) -> None:
    made = response(method="HEAD", headers=[("Content-Length", "5")])
    data = made.part(b"hello") + made.end() if parts else made.whole(b"hello")
    assert split(data)[1]["Content-Length"] == "5"
    assert split(data)[2] == b""
    assert not made.fault
    assert made.keep_alive


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_body_has_none(status: str) -> None:
    _, headers, body = split(response(status=status).whole(b"surplus"))
    assert not {"Content-Length", "Transfer-Encoding"} & headers.keys()
    assert body == b""


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize(("declared", "sent"), [("3", b"hel"), ("9", b"hello")])
def test_a_wrong_length_ends_the_connection_and_is_told(parts: bool, declared: str, sent: bytes) -> None:
    made = response(headers=[("Content-Length", declared)])
    data = made.part(b"hello") + made.end() if parts else made.whole(b"hello")
    assert split(data)[2] == sent
    assert "Content-Length" in made.fault
    assert not made.keep_alive


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200", []),
        ("200OK", []),
        ("two hundred", []),
        ("\uff12\uff10\uff10 OK", []),
        ("101 Switching Protocols", []),
        ("999 OK", []),
        ("200 O\x01K", []),
        ("200 OK", [("X Y", "a")]),
        ("200 OK", [("", "a")]),
        ("200 OK", [("X:", "a")]),
        ("200 OK", [("X", "a\x7f")]),
        ("200 OK", [("X", "a\r\n b")]),
        ("200 OK\r\nX: y", []),
        ("200 OK", [("X", "a\r\nY: b")]),
        ("200 OK", [("X\n", "a")]),
        ("200 OK", [("X", "a\0")]),
        ("200 OK", [("Connection", "close")]),
        ("200 OK", [("transfer-encoding", "chunked")]),
        ("200 OK", [("Content-Length", "-1")]),
        ("200 OK", [("Content-Length", "+1")]),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "1")]),
    ],
)
def test_a_malformed_head_is_the_applications_fault(status: str, headers: Headers) -> None:
    with pytest.raises(ApplicationFault):
        response(status=status, headers=headers).whole(b"x")


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailers",
        "Transfer-Encoding",
        "UPGRADE",
    ],
)
def test_a_hop_by_hop_header_is_refused(name: str) -> None:
    with pytest.raises(ApplicationFault, match="the server's to send"):
        response(headers=[(name, "x")]).whole(b"x")


@pytest.mark.parametrize("header", [("X", 1), ("X", b"a"), (b"X", "a"), (1, "a")])
def test_a_header_that_is_no_string_is_refused(header: Any) -> None:
    with pytest.raises((ApplicationFault, TypeError)):
        response(headers=[header]).whole(b"x")


def test_204_has_no_length_at_all() -> None:
    made = response(status="204 No Content", headers=[("Content-Length", "0")])
    assert "Content-Length" not in split(made.whole(b""))[1]
    made = response(status="304 Not Modified", headers=[("Content-Length", "7")])
    assert split(made.whole(b""))[1]["Content-Length"] == "7"
    assert made.keep_alive


def test_nothing_more_is_wanted_of_a_body_that_does_not_go_out() -> None:
    bodyless, declared = response(method="HEAD"), response(headers=[("Content-Length", "2")])
    over = [bodyless.over, declared.over]
    for part in (b"x", b"yz"):
        bodyless.part(part)
        declared.part(part)
        over += [bodyless.over, declared.over]
    assert over == [False, False, True, False, True, True]


@pytest.mark.parametrize(
    ("method", "headers", "declared", "sent", "fault"),
    [
        ("GET", [], "10", 10, False),
        ("GET", [("Content-Length", "4")], "4", 4, False),
        ("GET", [("Content-Length", "12")], "12", 10, True),
        ("HEAD", [], "10", 0, False),
        ("HEAD", [("Content-Length", "12")], "12", 0, False),
    ],
)
def test_a_file_has_its_length(method: str, headers: Headers, declared: str, sent: int, fault: bool) -> None:
    made = response(method=method, headers=headers)
    head, size = made.file_head(10)
    assert (split(head)[1]["Content-Length"], size) == (declared, sent)
    assert (bool(made.fault), made.keep_alive) == (fault, not fault)


def test_a_response_that_was_never_started_is_a_fault() -> None:
    made = Response(method="GET", version="1.1", keep_alive=True, send=lambda _made, _data: None)
    with pytest.raises(ApplicationFault, match="before it called"):
        made.whole(b"x")


def test_starting_twice_is_a_fault() -> None:
    with pytest.raises(ApplicationFault, match="second time"):
        response().start("200 OK", [])


def fail(made: Response) -> None:
    try:
        raise LookupError("changed my mind")
    except LookupError:
        exc_info = sys.exc_info()
    assert exc_info[0] is not None
    made.start("500 Oh No", [("X-B", "2")], exc_info)


def test_exc_info_replaces_a_head_that_is_not_sent_yet() -> None:
    made = response(headers=[("X-A", "1")])
    fail(made)
    status, headers, _ = split(made.whole(b"sorry"))
    assert status == "HTTP/1.1 500 Oh No"
    assert "X-A" not in headers
    assert headers["X-B"] == "2"


def test_exc_info_is_raised_once_the_head_is_sent() -> None:
    made = response()
    made.part(b"too late")
    with pytest.raises(LookupError, match="changed my mind"):
        fail(made)


def test_write_sends_before_the_iterable() -> None:
    sent: list[bytes] = []
    made = Response(method="GET", version="1.1", keep_alive=True, send=lambda _made, data: sent.append(data))
    write = made.start("200 OK", [])
    write(b"one")
    assert split(b"".join(sent))[2] == b"3\r\none\r\n"
    assert made.whole(b"two") == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_date_of_the_applications_own_is_kept() -> None:
    data = response(headers=[("Date", "Mon, 01 Jan 2024 00:00:00 GMT")]).whole(b"")
    assert data.count(b"Date: ") == 1


def test_headers_that_were_seen_before_become_the_same_lines() -> None:
    headers = [("X-One", "1"), ("Content-Length", "2")]
    first = response(headers=headers).whole(b"ab")
    assert response(headers=list(headers)).whole(b"ab") == first
    assert b"X-One: 2\r\n" in response(headers=[("X-One", "2"), ("Content-Length", "2")]).whole(b"ab")
    assert response(headers=headers).whole(b"ab") == first


def test_a_list_of_headers_that_was_changed_is_read_again() -> None:
    headers = [("X-One", "1")]
    assert b"X-One: 1\r\n" in response(headers=headers).whole(b"")
    headers.append(("X-Two", "2"))
    assert b"X-Two: 2\r\n" in response(headers=headers).whole(b"")


def test_headers_in_pairs_that_can_be_changed_are_read_again() -> None:
    """PEP 3333 wants tuples; applications get away with lists."""
    headers: list[Any] = [["X-One", "1"]]
    assert b"X-One: 1\r\n" in response(headers=headers).whole(b"")
    headers[0][1] = "2"
    assert b"X-One: 2\r\n" in response(headers=headers).whole(b"")


def test_a_request_id_is_sent_unless_the_application_sends_one() -> None:
    assert b"X-Request-Id: our-1\r\n" in response(request_id="our-1").whole(b"")
    for name in ("X-Request-Id", "x-request-ID"):
        sent = response(headers=[(name, "its-2")], request_id="our-1").whole(b"")
        assert sent.lower().count(b"x-request-id") == 1
        assert b"its-2" in sent
