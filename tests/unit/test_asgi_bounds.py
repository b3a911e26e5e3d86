"""What a client may ask of an ASGI worker, and what it is answered beyond that."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from coachman.config.model import Bounds, WorkerConfig
from coachman.worker.asgi.http_connection import HttpConnection
from coachman.worker.asgi.patience import Flow

from .asgi_serving import (
    TIMEOUT,
    Receive,
    Scope,
    Send,
    Served,
    answer,
    echo,
    read_body,
    receive_all,
    receive_exactly,
    receive_response,
    receive_through,
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
        client = serving.connect(beginning)
        assert receive_all(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("requests", [0, 1])
def test_a_silent_connection_is_closed(requests: int) -> None:
    with served(echo, Bounds(header_timeout=SHORT, keep_alive_timeout=SHORT)) as serving:
        client = serving.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
        for _ in range(requests):
            receive_response(client)
        assert receive_all(client) == b""


@pytest.mark.parametrize("proxied", [False, True])
def test_the_time_for_a_head_begins_with_its_first_byte(proxied: bool) -> None:
    config = WorkerConfig(bounds=Bounds(header_timeout=SHORT, keep_alive_timeout=0), proxy_protocol=proxied)
    introduction = b"PROXY TCP4 203.0.113.9 198.51.100.7 4711 80\r\n" if proxied else b""
    with served(echo, config) as serving:
        silent = serving.connect(introduction)
        later = serving.connect(introduction + b"GET / HT")  # accepted, and read, after it
        assert receive_all(later).startswith(b"HTTP/1.1 408 ")
        silent.sendall(b"GET /12345 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(silent)[1].startswith(b"/12345")


def test_what_extends_small_chunks_is_bounded_as_a_head_is() -> None:
    with served(echo, Bounds(header_size=10_000)) as serving:
        begin = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        plain = serving.connect()
        plain.sendall(begin)
        for _ in range(30):
            plain.sendall(b"1\r\nx\r\n" * 1000)
        plain.sendall(b"0\r\n\r\n")
        assert receive_response(plain)[1].endswith(b"x" * 30_000)
        extended = serving.connect()
        extended.sendall(begin)
        with suppress(ConnectionError):
            for _ in range(30):
                extended.sendall((b"1;" + b"e" * 50 + b"\r\nx\r\n") * 100)
        assert receive_all(extended).startswith(b"HTTP/1.1 431 ")


def test_an_application_that_does_not_read_is_not_the_clients_fault() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(5 * SHORT)  # longer than the client may take
        await answer(send, b"%d" % len(await read_body(receive)))

    with served(application, Bounds(body_timeout=SHORT)) as serving:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        client = serving.connect(head + b"x" * 200_000)
        assert receive_response(client)[1] == b"200000"


def test_an_application_that_does_not_ask_for_the_body_is_not_the_clients_fault() -> None:
    begin = asyncio.Event()
    entered, looked = threading.Event(), threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await begin.wait()
        await answer(send, await read_body(receive))

    with served(application, Bounds(body_timeout=TIMEOUT)) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert entered.wait(TIMEOUT)

        def let_time_pass_and_read() -> None:
            (connection,) = connections(serving)
            connection._body_since -= 1000
            connection._body_progress -= 1000
            begin.set()

        def look() -> None:
            connections(serving)[0].on_late_body()
            looked.set()

        serving.engine.call_soon(let_time_pass_and_read)
        assert receive_through(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        serving.engine.call_soon(look)
        assert looked.wait(TIMEOUT)
        client.sendall(b"x")
        assert receive_response(client)[1] == b"x"


def test_a_byte_now_and_then_is_no_progress_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with served(echo, Bounds(body_timeout=4 * SHORT)) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        sent = 0
        while not select.select([client], [], [], SHORT / 10)[0]:  # one byte, and no answer yet
            client.sendall(b"x")
            sent += 1
            assert sent < 999, "it would never end"
        assert receive_all(client).startswith(b"HTTP/1.1 408 ")
    assert "or less than 1024 bytes a second" in capsys.readouterr().err


PAUSES = HIGH_WATER_LIMIT + 1
"""Bytes of a body after which no more is taken in until the application reads."""
HALF = 100_000


@pytest.mark.parametrize("more", [b"", b"x"], ids=["nothing more comes", "more comes"])
def test_a_time_that_has_passed_while_the_application_did_not_read_is_not_the_clients(
    monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    begin = asyncio.Event()
    paused, seen, looked = threading.Event(), threading.Event(), threading.Event()

    def pause_reading(flow: Flow) -> None:
        FlowControl.pause_reading(flow)
        paused.set()

    monkeypatch.setattr(Flow, "pause_reading", pause_reading)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await begin.wait()
        received = 0
        while received < PAUSES + len(more):
            received += len((await receive())["body"])
        seen.set()
        await answer(send, b"%d" % (received + len(await read_body(receive))))

    with served(application, Bounds(body_timeout=TIMEOUT)) as serving:
        client = serving.connect()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (PAUSES + 2)
        client.sendall(head + b"x" * PAUSES)
        assert paused.wait(TIMEOUT)

        def let_time_pass_and_read() -> None:
            (connection,) = connections(serving)
            connection._body_since -= 1000
            connection._body_progress -= 1000
            begin.set()

        serving.engine.call_soon(let_time_pass_and_read)
        client.sendall(more)
        assert seen.wait(TIMEOUT)

        def look() -> None:
            connections(serving)[0].on_late_body()
            looked.set()

        serving.engine.call_soon(look)
        assert looked.wait(TIMEOUT)
        client.sendall(b"x" * (2 - len(more)))
        assert receive_response(client)[1] == b"%d" % (PAUSES + 2)


@pytest.mark.parametrize(("ago", "answered"), [(100, b"HTTP/1.1 200 "), (1000, b"HTTP/1.1 408 ")])
def test_a_long_body_may_take_as_long_as_its_pace_allows(ago: float, answered: bytes) -> None:
    """At 1 KiB a second, what has come allows for 97 seconds, and the time-out for some more."""
    entered = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        received = 0
        while received < HALF:
            received += len((await receive())["body"])
        entered.set()
        await answer(send, await read_body(receive))

    with served(application, Bounds(body_timeout=TIMEOUT)) as serving:
        client = serving.connect()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        client.sendall(head % (HALF + 1) + b"x" * HALF)
        assert entered.wait(TIMEOUT)

        def let_time_pass() -> None:
            (connection,) = connections(serving)
            connection._body_since -= ago
            # Where it was paused in between, it began anew.
            connection.flow.resumed_at, connection._body_before = 0.0, 0
            connection.on_late_body()
            client.sendall(b"x")

        serving.engine.call_soon(let_time_pass)
        assert receive_all(client).startswith(answered)


def connections(serving: Served) -> list[HttpConnection]:
    """Return those that the engine has, in its thread."""
    clients = list(serving.engine._context.clients)
    assert all(isinstance(client, HttpConnection) for client in clients)
    return clients  # type: ignore[return-value]  # as was just seen


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


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_client_that_does_not_take_the_last_of_a_response_is_left(kind: str) -> None:
    """What is still to be sent is too little for the transport to tell the application to wait."""
    written, closed = threading.Event(), threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if kind == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            part = {"type": "http.response.body", "body": b"x" * 10_000, "more_body": True}
        else:
            await send({"type": "websocket.accept"})
            part = {"type": "websocket.send", "bytes": os.urandom(10_000)}
        transport = receive.__self__.transport  # type: ignore[attr-defined]
        while not transport.get_write_buffer_size():
            await send(part)
        written.set()
        if kind == "http":
            raise LookupError("as it should")

    with served(application, Bounds(write_timeout=SHORT)) as serving:
        context = serving.engine._context
        note_change = context.on_change

        def on_change() -> None:
            note_change()
            if written.is_set() and not context.clients:
                closed.set()

        context.on_change = on_change
        client = serving.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            if kind == "http"
            else b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert closed.wait(TIMEOUT)  # which the client, that reads nothing, cannot see


def test_a_connection_ends_after_its_requests() -> None:
    with served(echo, Bounds(requests_per_connection=2)) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert b"connection: close" not in receive_response(client)[0]
        assert b"connection: close" in receive_response(client)[0]
        assert receive_all(client) == b""


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LATE: dict[str, tuple[bytes, bytes, Callable[[HttpConnection], None]]] = {
    "nothing": (b"", HEAD, HttpConnection.on_late_request),
    "an empty line": (b"\r\n", HEAD, HttpConnection.on_late_head),
    "a part of a head": (HEAD[:10], HEAD[10:], HttpConnection.on_late_head),
    "a request": (HEAD, HEAD, HttpConnection.on_late_request),
    "a head": (HEAD[:-2] + b"Content-Length: 1\r\n\r\n", b"x", HttpConnection.on_late_body),
}
"""What has come, what comes while the loop is held up, and what the loop would do before it reads that."""


@pytest.mark.parametrize("come", LATE)
def test_a_client_that_was_in_time_is_not_late_because_the_loop_is(come: str) -> None:
    before, then, expire = LATE[come]
    with served(echo, Bounds(body_timeout=TIMEOUT)) as serving:
        client, other = serving.connect(), serving.connect()
        client.sendall(before)
        other.sendall(HEAD)  # accepted after it: when this is answered, that has been read
        assert receive_response(other)[1] == b"/ "
        if before == HEAD:
            assert receive_response(client)[1] == b"/ "

        def hold_up() -> None:
            (connection,) = [each for each in connections(serving) if each.client == client.getsockname()]
            connection._body_since -= 1000
            connection._body_progress -= 1000
            client.sendall(then)
            expire(connection)

        serving.engine.call_soon(hold_up)
        assert receive_response(client)[1].startswith(b"/ ")


def test_a_reader_that_was_in_time_is_not_late_because_the_loop_is() -> None:
    paused, looked, size = threading.Event(), threading.Event(), 20_000_000

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_soon(paused.set)  # behind all that the loop can write at once
        await answer(send, b"x" * size)

    with served(application) as serving:
        client = serving.connect()
        client.sendall(HEAD)
        assert paused.wait(TIMEOUT)
        taken = bytearray()

        def hold_up() -> None:
            (connection,) = connections(serving)
            connection._unsent = connection.transport.get_write_buffer_size()
            assert connection._unsent > 0
            client.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    taken.extend(client.recv(1 << 20))
            client.settimeout(TIMEOUT)
            connection.on_late_reader()
            looked.set()

        serving.engine.call_soon(hold_up)
        assert looked.wait(TIMEOUT)
        length = taken.index(b"\r\n\r\n") + 4 + size
        assert len(taken) + len(receive_exactly(client, length - len(taken))) == length


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


def test_who_is_refused_in_the_middle_of_a_body_can_read_why_while_still_sending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coachman.worker.asgi.context.LINGER_SECONDS", TIMEOUT)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()  # it does not read: more than 64 KiB of a body pause the connection

    with served(application, Bounds(body_size=70_000)) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n")
        for _ in range(100):
            client.sendall(b"x" * 100_000)
        assert receive_all(client).startswith(b"HTTP/1.1 413 ")
        serving.drain(1.0)


@pytest.mark.parametrize("fails", [False, True])
def test_who_is_answered_for_good_in_the_middle_of_a_body_can_read_the_answer(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coachman.worker.asgi.context.LINGER_SECONDS", TIMEOUT)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if fails:
            raise LookupError("as it should")
        await answer(send, b"no", 403)

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(100):
            client.sendall(b"x" * 100_000)
        assert receive_all(client).startswith(b"HTTP/1.1 500 " if fails else b"HTTP/1.1 403 ")


@pytest.mark.parametrize("beginning", [b"\r\n", b"PROXY TCP4 "], ids=["empty line", "PROXY header"])
def test_what_is_no_request_yet_does_not_stop_the_clock(beginning: bytes) -> None:
    proxied = beginning.startswith(b"PROXY")
    config = WorkerConfig(bounds=Bounds(header_timeout=SHORT), proxy_protocol=proxied)
    with served(echo, config) as serving:
        client = serving.connect(beginning)
        assert receive_all(client) == b""


def test_a_body_that_outlasts_its_response_leads_to_the_next_request_in_time() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)

    with served(hasty, Bounds(keep_alive_timeout=SHORT)) as serving:
        client = serving.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert receive_response(client)[1] == b"ok"
        client.sendall(b"bc")
        assert receive_all(client) == b""
