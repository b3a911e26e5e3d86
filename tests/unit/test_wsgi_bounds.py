"""What an engine does to clients that ask for too much or take too long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from coachman.config.model import Bounds, WorkerConfig

from .served import TIMEOUT, receive_all, receive_response, served

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/large":
        return [b"x" * 50_000_000]
    return [environ["wsgi.input"].read() or b"nothing"]


def bounded(**bounds: Any) -> WorkerConfig:
    return WorkerConfig(bounds=Bounds(**bounds))


@pytest.mark.parametrize(
    ("bounds", "sent", "status"),
    [
        ({"request_line": 20}, b"GET /123456789 HTTP/1.1\r\n", 414),
        ({"header_size": 20}, b"GET / HTTP/1.1\r\nHost: x\r\nA: 3456789\r\n\r\n", 431),
        ({"header_count": 2}, b"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\n\r\n", 431),
        ({"body_size": 5}, POST % 6, 413),
        (
            {"body_size": 5},
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef",
            413,
        ),
        (
            {"body_size": 5},
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n",
            413,
        ),
        ({"header_timeout": 0.1}, b"G", 408),
        ({"header_timeout": 0.1}, b"GET / HTTP/1.1\r\nHost: x\r\n", 408),
        ({"body_timeout": 0.1}, POST % 3 + b"ab", 408),
        ({"body_timeout": 0.1}, POST % 3, 408),
    ],
)
def test_too_much_and_too_slow_have_their_status_and_a_line_in_the_log(
    threads: int, bounds: dict[str, Any], sent: bytes, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(application, threads, bounded(**bounds)) as connect:
        client = connect()
        client.sendall(sent)
        answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in answer
    assert f"refused a request from 127.0.0.1: {status} " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bounds", "sent"),
    [
        ({"request_line": 18}, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ({"header_size": 20}, b"GET / HTTP/1.1\r\nHost: x\r\nA: 3456\r\n\r\n"),
        ({"header_count": 2}, b"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n\r\n"),
        ({"body_size": 5}, POST % 5 + b"abcde"),
        ({"request_line": 0, "header_size": 0, "header_count": 0}, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (
            {"header_timeout": 0, "body_timeout": 0, "keep_alive_timeout": 0, "write_timeout": 0},
            POST % 5 + b"abcde",
        ),
    ],
)
def test_what_is_just_within_bounds_is_served(threads: int, bounds: dict[str, Any], sent: bytes) -> None:
    with served(application, threads, bounded(**bounds)) as connect:
        client = connect()
        client.sendall(sent)
        assert receive_response(client)[0].startswith(b"HTTP/1.1 200 OK")


def test_an_idle_connection_is_closed_without_a_word(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(application, threads, bounded(keep_alive_timeout=0.1)) as connect:
        silent, used = connect(), connect(GET)
        receive_response(used)
        assert silent.recv(1) == b""
        assert used.recv(1) == b""
    assert capsys.readouterr().err == ""


def test_a_client_whose_request_waited_for_another_is_not_late() -> None:
    all_sent, never = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            assert all_sent.wait(TIMEOUT)
            never.wait(0.7)  # so long is the loop held up behind that: longer than anybody may be idle
        start_response("200 OK", [])
        return [b"served"]

    with served(slow, 1, bounded(keep_alive_timeout=0.5, header_timeout=0.5)) as connect:
        waiting, begun = connect(), connect(GET[:20])
        holding = connect(GET.replace(b"/ ", b"/slow "))
        waiting.sendall(GET)
        begun.sendall(GET[20:])
        all_sent.set()
        for client in (holding, waiting, begun):
            assert receive_response(client)[1] == b"served"


def test_a_client_that_takes_nothing_of_its_response_is_given_up(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(application, threads, bounded(write_timeout=0.1)) as connect:
        client = connect()
        client.sendall(GET.replace(b"/ ", b"/large "))
        assert client.recv(1) == b"H"
        other = connect()
        # The log is all there is to wait for: to read would be progress.
        while "gave up on 127.0.0.1" not in (text := capsys.readouterr().err):
            assert text == ""
            other.sendall(GET)
            assert receive_response(other)[1] == b"nothing"
        rest = 0
        with suppress(ConnectionResetError):
            while block := client.recv(1 << 20):
                rest += len(block)
        assert rest < 50_000_000


def test_a_connection_carries_so_many_requests(threads: int) -> None:
    with served(application, threads, bounded(requests_per_connection=2)) as connect:
        client = connect()
        client.sendall(GET * 3)
        first, second = receive_response(client)[0], receive_response(client)[0]
        assert b"Connection: close" not in first
        assert b"Connection: close" in second
        assert client.recv(1) == b""


def test_a_client_that_still_sends_gets_to_read_why_it_is_refused(threads: int) -> None:
    size = 10_000_000
    with served(application, threads, bounded(body_size=1000)) as connect:
        client = connect()
        client.sendall(POST % size)
        client.sendall(b"x" * size)  # with a reset in between, this would fail
        assert receive_all(client).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_never_stops_sending_is_cut_off(threads: int) -> None:
    with served(application, threads, bounded(body_size=1000)) as connect:
        client = connect()
        client.sendall(POST % 60_000_000)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(b"x" * 60_000_000)


def test_hundreds_of_slow_clients_disturb_nobody_and_are_closed_in_time(
    threads: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 300
    with served(application, threads, bounded(header_timeout=1.0)) as connect, ExitStack() as clients:
        slow = [clients.enter_context(connect()) for _ in range(count)]
        for client in slow:
            client.sendall(b"GET / HT")
        quick = connect()
        for _ in range(50):
            quick.sendall(GET)
            assert receive_response(quick)[1] == b"nothing"
        for client in slow:
            assert receive_all(client).startswith(b"HTTP/1.1 408 ")
    assert capsys.readouterr().err.count("408 Request Timeout: no complete headers in 1 second") == count


def test_lingering_connections_do_not_hold_up_the_end(threads: int) -> None:
    with served(application, threads) as connect:
        client = connect()
        client.sendall(b"nonsense\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")
        kept = socket.socket(fileno=client.detach())
    with kept:  # it was open when the engine had to end
        assert kept.recv(1) == b""
