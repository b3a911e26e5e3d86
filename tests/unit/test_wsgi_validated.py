"""Applications under `wsgiref.validate`, which checks both sides of PEP 3333."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from .served import receive_all, served

PLAIN = [("Content-Type", "text/plain")]


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def returning_a_list(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return [b"one", b"two"]


def generating(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    yield b"one"
    yield b"two"


def starting_late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    yield b""  # nothing is sent for it, so headers may still change
    start_response("200 OK", PLAIN)
    yield b"onetwo"


def writing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", PLAIN)
    write(b"one")
    return [b"two"]


def changing_its_mind(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("500 Oh No", PLAIN)
    try:
        raise LookupError
    except LookupError:
        start_response("200 OK", PLAIN, sys.exc_info())
    return [b"onetwo"]


def reading_at_once(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    size = int(environ.get("CONTENT_LENGTH") or 0)
    return [environ["wsgi.input"].read(size + 1000), environ["wsgi.input"].read(1)]


def reading_lines(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    body = environ["wsgi.input"]
    return [body.readline(), *body.readlines(), body.readline(), body.read(10)]


def iterating(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return list(environ["wsgi.input"])


def logging(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    errors = environ["wsgi.errors"]
    errors.write("one line\n")
    errors.writelines(["two ", "pieces\n"])
    errors.flush()
    start_response("200 OK", PLAIN)
    return [b"onetwo"]


APPLICATIONS = [
    returning_a_list, generating, writing, changing_its_mind, logging,
]  # fmt: skip
READERS = [reading_at_once, reading_lines, iterating]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_way_to_answer_is_valid(
    threads: int, application: Any, method: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(validator(application), threads) as connect:
        client = connect()
        client.sendall(method + b" /a%20b?c=d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: b\r\n\r\n")
        answer = receive_all(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), capsys.readouterr().err
    assert (b"one" in body) == (method == b"GET")
    assert b"two" in body or method == b"HEAD"
    logged = capsys.readouterr().err
    assert logged == ("one line\ntwo pieces\n" if application is logging else "")


def test_a_response_may_start_as_late_as_its_first_bytes(threads: int) -> None:
    with served(starting_late, threads) as connect:  # which wsgiref.validate does not know
        client = connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"onetwo" in receive_all(client)


LINES = b"first\nsecond\n\nlast"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: %d\r\n\r\n" % len(LINES) + LINES,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(LINES), LINES),
    ],
    ids=["length", "chunks"],
)
@pytest.mark.parametrize("application", READERS)
def test_every_way_to_read_ends_at_the_end_of_the_body(
    threads: int, application: Any, framing: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(validator(application), threads) as connect:
        client = connect()
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: close\r\n" + framing
        )
        answer = receive_all(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), capsys.readouterr().err
    body = answer.partition(b"\r\n\r\n")[2]
    for line in LINES.split():
        assert line in body
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("application", READERS)
def test_reading_where_there_is_no_body_ends_at_once(threads: int, application: Any) -> None:
    with served(validator(application), threads) as connect:
        client = connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_server_as_a_whole_may_be_asked_for(threads: int) -> None:
    with served(validator(returning_a_list), threads) as connect:
        client = connect()
        client.sendall(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 200 OK\r\n")


class Endless:
    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x"

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("request_line", "status", "headers"),
    [
        (b"HEAD / HTTP/1.1", "200 OK", []),
        (b"GET / HTTP/1.1", "204 No Content", []),
        (b"GET / HTTP/1.1", "304 Not Modified", []),
        (b"GET / HTTP/1.1", "200 OK", [("Content-Length", "3")]),
    ],
    ids=["HEAD", "204", "304", "a length"],
)
def test_an_endless_body_ends_where_nothing_more_may_go_out(
    threads: int, request_line: bytes, status: str, headers: list[tuple[str, str]]
) -> None:
    body = Endless()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, headers)
        return body

    with served(application, threads) as connect:
        client = connect()
        client.sendall(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, sent = receive_all(client).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status.encode())
        assert len(sent) == (3 if headers else 0)
    assert body.closed == 1
