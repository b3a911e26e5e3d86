"""However a response ends, what the application returned is closed, exactly once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import UnsupportedOperation
from typing import Any

import pytest

from coachman.config.model import Bounds, WorkerConfig
from coachman.worker.wsgi.body import MEMORY_LIMIT
from coachman.worker.wsgi.header_kinds import ApplicationFault

from .served import TIMEOUT, receive_all, receive_response, served

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class Body:
    """An iterable that counts its closings; `blocks` may hold an exception, to be raised in its place."""

    def __init__(self, *blocks: bytes | Exception) -> None:
        self.blocks = blocks
        self.closings = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for block in self.blocks:
            if isinstance(block, Exception):
                raise block
            yield block

    def close(self) -> None:
        self.closings += 1
        self.closed.set()


def answering(body: Body, headers: list[tuple[str, str]]) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return body

    return application


@pytest.mark.parametrize(
    ("blocks", "headers", "logged"),
    [
        ([], [], ""),
        ([b"", b""], [], ""),
        ([b"one", b"two"], [], ""),
        ([LookupError("at once")], [], "LookupError: at once"),
        ([b"one", LookupError("midway")], [], "LookupError: midway"),
        (["text"], [], "the body has to be made of bytes, not str"),
        ([b"one", None, b"two"], [], "the body has to be made of bytes, not NoneType"),
        (["", b"one"], [], "the body has to be made of bytes, not str"),
        ([b"one", "text"], [], "the body has to be made of bytes, not str"),
        ([b"one"], [("Connection", "close")], "header 'Connection' is the server's to send"),
        ([b"one"], [("Content-Length", "5")], "the body ended 2 bytes before its Content-Length"),
        ([b"one", b"two"], [("Content-Length", "5")], "the body is longer than its Content-Length"),
        ([b"one", b"two"], [("Content-Length", "3")], "the body is longer than its Content-Length"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_is_closed_once_however_it_ends(
    threads: int,
    method: str,
    blocks: list[Any],
    headers: list[tuple[str, str]],
    logged: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = Body(*blocks)
    with served(answering(body, headers), threads) as connect:
        client = connect()
        client.sendall(
            GET.replace(b"GET", method.encode()).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        answer = receive_all(client)
        assert body.closed.wait(TIMEOUT)
        assert answer.count(b"HTTP/1.1 ") == 1
    assert body.closings == 1
    if method == "GET":
        text = capsys.readouterr().err
        assert logged in text
        assert (text == "") == (logged == "")


@pytest.mark.parametrize("size", [10, MEMORY_LIMIT + 1])
@pytest.mark.parametrize("taken", ["getbuffer", "detach"])
def test_what_an_application_keeps_of_its_input_costs_nobody_else(
    threads: int, size: int, taken: str
) -> None:
    kept: list[Any] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        if (take := getattr(environ["wsgi.input"], taken, None)) is not None and environ["PATH_INFO"] == "/t":
            with suppress(UnsupportedOperation):  # what is in memory cannot be detached
                kept.append(take())
        return [b"done"]

    with served(application, threads) as connect:
        client = connect()
        for _ in range(2):
            client.sendall(b"POST /t HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            assert receive_response(client)[1] == b"done"
        another = connect()
        another.sendall(GET)
        assert receive_response(another)[1] == b"done"


@pytest.mark.parametrize("declared", [5, 7])
def test_a_wrong_length_ends_the_connection(threads: int, declared: int) -> None:
    headers = [("Content-Length", str(declared))]
    with served(answering(Body(b"one", b"two"), headers), threads) as connect:
        client = connect()
        client.sendall(GET * 2)
        assert receive_all(client).endswith(b"\r\n\r\n" + b"onetwo"[:declared])


def test_a_body_is_closed_when_nobody_takes_the_response(threads: int) -> None:
    body = Body(*[b"x" * 1_000_000] * 100)
    config = WorkerConfig(bounds=Bounds(write_timeout=0.1))
    with served(answering(body, []), threads, config) as connect:
        client = connect()
        client.sendall(GET)
        assert client.recv(1) == b"H"
        assert body.closed.wait(TIMEOUT)
    assert body.closings == 1


def test_a_close_that_fails_is_logged_and_costs_nothing(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Body):
        def close(self) -> None:
            super().close()
            raise LookupError("in close")

    body = Failing(b"one")
    with served(answering(body, []), threads) as connect:
        client = connect()
        for _ in range(2):
            client.sendall(GET)
            while not (answer := client.recv(1000)).endswith(b"0\r\n\r\n"):
                assert answer
    assert body.closings == 2
    text = capsys.readouterr().err
    assert "the application failed in close()" in text
    assert "LookupError: in close" in text


def test_a_close_that_cannot_even_be_looked_up_costs_nothing(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    class Lazy(Body):
        def __getattribute__(self, name: str) -> Any:
            if name == "close":
                raise LookupError("in close")
            return super().__getattribute__(name)

    with served(answering(Lazy(b"x" * 1_000_000, b"y" * 1_000_000), []), threads) as connect:
        gone = connect()
        gone.sendall(GET)
        gone.close()
        client = connect()
        client.sendall(GET.replace(b"1.1", b"1.0"))
        assert len(receive_all(client).partition(b"\r\n\r\n")[2]) == 2_000_000
    assert "the application failed in close()" in capsys.readouterr().err


def test_a_write_that_comes_too_late_is_refused(threads: int) -> None:
    """It would have gone out in the middle of another response on the same connection."""
    kept: list[Any] = []
    failures: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        kept.append(write := start_response("200 OK", []))
        if len(kept) == 1:
            write(b"one")
            return []
        with pytest.raises(ApplicationFault) as caught:
            kept[0](b"late")
        failures.append(str(caught.value))
        return [b"two"]

    with served(application, threads) as connect:
        client = connect()
        client.sendall(GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = receive_all(client)
    assert b"late" not in answer
    assert answer.endswith(b"\r\n\r\ntwo")
    assert failures == ["write() was called after the end of its response"]


def test_exc_info_after_the_headers_ends_the_connection(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        try:
            raise LookupError("too late")
        except LookupError:
            start_response("500 Oh No", [], sys.exc_info())
        yield b"two"

    with served(application, threads) as connect:
        client = connect()
        client.sendall(GET)
        answer = receive_all(client)
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n"), "no last chunk: nobody takes it for the whole"
    assert "LookupError: too late" in capsys.readouterr().err


def test_exc_info_before_the_headers_replaces_them(threads: int) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-A", "1")])
        try:
            raise LookupError
        except LookupError:
            start_response("503 Later", [("X-B", "2")], sys.exc_info())
        return [b"sorry"]

    with served(application, threads) as connect:
        client = connect()
        client.sendall(GET)
        head, body = receive_response(client)
    assert head.startswith(b"HTTP/1.1 503 Later\r\nX-B: 2\r\n")
    assert (b"X-A" in head, body) == (False, b"sorry")
