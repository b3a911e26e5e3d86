"""HTTP/1.1 and 1.0 on the wire, byte for byte where the bytes matter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .applications import write_application
from .coachman_serve import CoachmanServe
from .raw_client import Answer, RawClient

APPLICATION = """
import json
from wsgiref.validate import validator

def application(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)

validated = validator(application)
PLAIN = [("Content-Type", "text/plain")]

def echo(environ, start_response):
    told = {key: value for key, value in environ.items() if isinstance(value, str)}
    told["body"] = environ["wsgi.input"].read(10**9).decode("latin-1")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]

def blocks(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"one", b"", b"two and two", b"three"])

def declared(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
    return iter([b"one", b"two"])

def written(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"by write(), ")
    return [b"then returned"]

def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []

def fails(environ, start_response):
    raise LookupError("nothing of the kind")

def fails_midway(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"the first part"
    raise LookupError("no second part")

def too_short(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"short"]

PAGES = {
    "/": echo, "/blocks": blocks, "/declared": declared, "/written": written, "/no-content": no_content,
    "/fails": fails, "/fails-midway": fails_midway, "/too-short": too_short,
}
"""


@pytest.fixture(
    scope="module",
    params=[(1, "application"), (3, "application"), (1, "validated"), (3, "validated")],
    ids=["1 thread", "3 threads", "1 thread, wsgiref.validate", "3 threads, wsgiref.validate"],
)
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[CoachmanServe]:
    folder = tmp_path_factory.mktemp("site")
    file = write_application(folder, APPLICATION)
    threads, name = request.param
    options = ("--bind", "127.0.0.1:0", "--processes", "1", "--threads", str(threads))
    with CoachmanServe(f"{file}:{name}", *options) as server:
        yield server
        assert "replacing it" not in server.output(), server.output()


@pytest.fixture
def client(server: CoachmanServe) -> Iterator[RawClient]:
    with RawClient(server.url) as client:
        yield client


def told(answer: Answer) -> dict[str, Any]:
    """Return what the application was told."""
    assert answer.status == 200, answer
    content: dict[str, Any] = json.loads(answer.body)
    return content


def test_a_connection_is_kept_and_each_request_stands_alone(client: RawClient) -> None:
    ports = set()
    for number in range(3):
        head = f"POST /?{number} HTTP/1.1\r\nHost: x\r\nX-Number: {number}\r\nContent-Length: 1\r\n\r\n"
        client.send(f"{head}{number}".encode())
        request = told(client.answer())
        assert (request["QUERY_STRING"], request["HTTP_X_NUMBER"], request["body"]) == (str(number),) * 3
        ports.add(request["REMOTE_PORT"])
    client.get()
    assert "HTTP_X_NUMBER" not in told(client.answer())
    assert ports == {str(client.sock.getsockname()[1])}


def test_connection_close_ends_the_connection(client: RawClient) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert client.answer().headers["connection"] == "close"
    assert client.read_to_end() == b""


def test_pipelined_requests_are_answered_in_order(client: RawClient) -> None:
    first = b"POST /?0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    rest = [f"GET /?{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for number in range(1, 50)]
    client.send(first + b"".join(rest))
    assert [told(client.answer())["QUERY_STRING"] for _ in range(50)] == [str(n) for n in range(50)]


def test_a_request_may_come_byte_by_byte(client: RawClient) -> None:
    for (
        byte
    ) in b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n":
        client.send(bytes([byte]))
    assert told(client.answer())["body"] == "abc"


def test_a_chunked_body_arrives_whole_with_its_length(client: RawClient) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n")
    request = told(client.answer())
    assert (request["body"], request["CONTENT_LENGTH"]) == ("hello, world", "12")
    assert "HTTP_TRANSFER_ENCODING" not in request


def test_head_has_the_headers_of_get_and_no_body(client: RawClient) -> None:
    for path in ("/", "/blocks", "/declared", "/written", "/no-content"):
        client.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.answer(bodyless=True).status == (204 if path == "/no-content" else 200)
    client.get("/declared")
    assert client.answer().body == b"onetwo", "nothing of a body was in the way"


def test_a_client_that_expects_100_continue_is_told_so_first(client: RawClient) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.read_through(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert told(client.answer())["body"] == "hello"


def test_a_client_that_does_not_wait_is_not_told_to_continue(client: RawClient) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    assert told(client.answer())["body"] == "hello"


def test_a_body_of_unknown_length_is_chunked(client: RawClient) -> None:
    client.get("/blocks")
    head, body = client.read_through(b"\r\n\r\n"), client.read_through(b"0\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert b"content-length" not in head.lower()
    assert body == b"3\r\none\r\nb\r\ntwo and two\r\n5\r\nthree\r\n0\r\n\r\n"
    client.get("/written")
    assert client.answer().body == b"by write(), then returned"


def test_a_body_of_declared_length_is_sent_as_it_is(client: RawClient) -> None:
    client.get("/declared")
    head = client.read_through(b"\r\n\r\n")
    assert b"\r\nContent-Length: 6\r\n" in head
    assert b"chunked" not in head
    assert client.read_through(b"onetwo") == b"onetwo"
    client.get("/no-content")
    head = client.read_through(b"\r\n\r\n").lower()
    assert b"content-length" not in head
    assert b"transfer-encoding" not in head


@pytest.mark.parametrize("path", ["/", "/blocks"])
def test_http_1_0_ends_with_the_connection(client: RawClient, path: str) -> None:
    client.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = client.answer()
    assert answer.headers["connection"] == "close"
    assert "transfer-encoding" not in answer.headers
    assert answer.body
    assert client.read_to_end() == b""


def test_http_1_0_keeps_the_connection_where_it_is_asked_to_and_can(client: RawClient) -> None:
    answers = []
    for path in ("/declared", "/declared", "/blocks"):
        client.send(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        answers.append(client.answer())
    assert [answer.headers["connection"] for answer in answers] == ["keep-alive", "keep-alive", "close"]
    assert [answer.body for answer in answers] == [b"onetwo", b"onetwo", b"onetwo and twothree"]
    assert not any("transfer-encoding" in answer.headers for answer in answers)


def test_an_application_that_fails_gets_a_500_and_a_traceback_in_the_log(
    server: CoachmanServe, client: RawClient
) -> None:
    before = len(server.output())
    client.get("/fails")
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (500, "close")
    assert b"LookupError" not in answer.body, "the reason is for the operator"
    found = server.wait_for_output(
        r"App \d+ stderr: GET /fails from 127\.0\.0\.1: the application failed\n"
        r"App \d+ stderr: Traceback \(most recent call last\):\n(?:.*\n)*?"
        r"App \d+ stderr: LookupError: nothing of the kind\n",
        after=before,
    )
    assert server.output().count("LookupError: nothing of the kind", before) == 1
    assert "/coachman/" not in found[0], "coachman's own frames are of no use here"


def test_a_response_that_fails_midway_ends_without_its_last_chunk(
    server: CoachmanServe, client: RawClient
) -> None:
    client.get("/fails-midway")
    assert client.read_to_end().endswith(b"\r\n\r\ne\r\nthe first part\r\n")
    server.wait_for_output("stderr: LookupError: no second part")


def test_a_response_shorter_than_declared_ends_the_connection(
    server: CoachmanServe, client: RawClient
) -> None:
    client.get("/too-short")
    assert client.read_to_end().endswith(b"\r\n\r\nshort")
    server.wait_for_output("GET /too-short from .*: the body ended 5 bytes before its Content-Length")


@pytest.mark.parametrize("body", [b"", b"hello"])
def test_an_offer_to_speak_another_protocol_is_declined(client: RawClient, body: bytes) -> None:
    head = (
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        f"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client.send(head.encode() + body + b"GET /declared HTTP/1.1\r\nHost: x\r\n\r\n")
    assert told(client.answer())["body"] == body.decode()
    assert client.answer().body == b"onetwo"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_offer_on_a_connection_that_is_to_be_closed_is_declined(client: RawClient, version: str) -> None:
    client.send(f"POST / HTTP/{version}\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: x\r\n".encode())
    client.send(b"Content-Length: 5\r\n\r\n")
    client.send(b"hello")
    assert told(client.answer())["body"] == "hello"
    assert client.read_to_end() == b""


def test_a_thousand_such_offers_in_one_piece_are_declined(client: RawClient) -> None:
    offer = b"HEAD /no-content HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    client.send(offer * 1000)
    assert {client.answer(bodyless=True).status for _ in range(1000)} == {204}


def test_every_response_has_a_date(client: RawClient) -> None:
    client.get("/no-content")
    assert re.fullmatch(
        r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", client.answer(bodyless=True).headers["date"]
    )
