"""What a client may ask of an ASGI worker, and what it is answered beyond that."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from coachman.config.model import Bounds, WorkerConfig

from .asgi_serving import (
    TIMEOUT,
    Receive,
    Scope,
    Send,
    answer,
    echo,
    read_body,
    receive_all,
    receive_response,
    served,
)

SHORT = 0.05
"""Seconds of a time-out that a test waits for."""


@pytest.mark.parametrize(
    ("bounds", "request_", "status"),
    [
        (Bounds(request_line=50), b"GET /" + b"x" * 50 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (Bounds(request_line=50), b"GET /" + b"x" * 500, b"414"),
        (Bounds(header_count=3), b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4 + b"\r\n", b"431"),
        (Bounds(header_size=100), b"GET / HTTP/1.1\r\nA: " + b"b" * 100 + b"\r\n\r\n", b"431"),
        (Bounds(body_size=10), b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", b"413"),
        (
            Bounds(body_size=10),
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11,
            b"413",
        ),
    ],
)
def test_too_much_is_refused_with_its_status(
    bounds: Bounds, request_: bytes, status: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(echo, bounds) as serving:
        client = serving.connect()
        client.sendall(request_)
        received = receive_all(client)
        assert received.startswith(b"HTTP/1.1 " + status + b" ")
        assert b"Connection: close" in received
    logged = capsys.readouterr().err
    assert f"refused a request from 127.0.0.1: {status.decode()} " in logged


def test_headers_that_come_bit_by_bit_are_counted_together() -> None:
    with served(echo, Bounds(header_size=10_000, header_count=0)) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(20):
            client.sendall(b"A: " + b"b" * 1000 + b"\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 431 ")


def test_what_is_within_the_bounds_is_served() -> None:
    bounds = Bounds(request_line=20, header_count=2, header_size=60, body_size=10)
    with served(echo, bounds) as serving:
        client = serving.connect()
        for _ in range(3):
            client.sendall(b"POST /12345 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" + b"y" * 10)
            assert receive_response(client)[1] == b"/12345 " + b"y" * 10


@pytest.mark.parametrize(
    "beginning",
    [b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"],
    ids=["head", "body"],
)
def test_what_does_not_come_is_not_waited_for(beginning: bytes) -> None:
    with served(echo, Bounds(header_timeout=SHORT, body_timeout=SHORT)) as serving:
        client = serving.connect()
        client.sendall(beginning)
        assert receive_all(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("requests", [0, 1])
def test_a_silent_connection_is_closed(requests: int) -> None:
    with served(echo, Bounds(header_timeout=SHORT, keep_alive_timeout=SHORT)) as serving:
        client = serving.connect()
        for _ in range(requests):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            receive_response(client)
        assert receive_all(client) == b""


def test_an_application_that_does_not_read_is_not_the_clients_fault() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(5 * SHORT)  # longer than the client may take
        await answer(send, b"%d" % len(await read_body(receive)))

    with served(application, Bounds(body_timeout=SHORT)) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
        assert receive_response(client)[1] == b"200000"


def test_a_client_that_takes_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        writing = asyncio.create_task(write(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        writing.cancel()
        ended.set()

    async def write(send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    with served(application, Bounds(write_timeout=SHORT)) as serving:
        client = serving.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ended.wait(TIMEOUT)
    assert "takes nothing of its response" in capsys.readouterr().err


def test_a_connection_ends_after_its_requests() -> None:
    with served(echo, Bounds(requests_per_connection=2)) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert b"connection: close" not in receive_response(client)[0]
        assert b"connection: close" in receive_response(client)[0]
        assert receive_all(client) == b""


def test_connections_over_the_bound_wait_until_there_is_room() -> None:
    with served(echo, Bounds(connections=2)) as serving:
        first, second, third = (serving.connect() for _ in range(3))
        for client in (first, second, third):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(first)
        receive_response(second)
        third.setblocking(False)
        with pytest.raises(BlockingIOError):
            third.recv(1)
        first.close()
        third.settimeout(TIMEOUT)
        assert receive_response(third)[1] == b"/ "


def test_who_is_refused_can_read_why_while_still_sending() -> None:
    with served(echo, Bounds(body_size=10)) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(10):
            client.sendall(b"x" * 100_000)
        assert receive_all(client).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("beginning", [b"\r\n", b"PROXY TCP4 "], ids=["empty line", "PROXY header"])
def test_what_is_no_request_yet_does_not_stop_the_clock(beginning: bytes) -> None:
    proxied = beginning.startswith(b"PROXY")
    config = WorkerConfig(bounds=Bounds(header_timeout=SHORT), proxy_protocol=proxied)
    with served(echo, config) as serving:
        client = serving.connect()
        client.sendall(beginning)
        assert receive_all(client) == b""


def test_a_body_that_outlasts_its_response_leads_to_the_next_request_in_time() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)

    with served(hasty, Bounds(keep_alive_timeout=SHORT)) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert receive_response(client)[1] == b"ok"
        client.sendall(b"bc")
        assert receive_all(client) == b""
