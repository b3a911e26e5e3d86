"""A connection that moves from one ASGI worker to another, between two requests."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from coachman.config.model import Bounds, WorkerConfig
from coachman.worker.asgi.context import Arrival

from .asgi_serving import TIMEOUT, Receive, Scope, Send, Served, answer, receive_response, served


def named(name: str) -> object:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, name.encode())

    return application


@contextmanager
def handing_over(first: Served, second: Served) -> Iterator[list[int]]:
    """Have the first worker give its connections to the second; give a list of how many it has given."""
    given: list[int] = []

    def hand_over(sock: socket.socket, arrival: Arrival) -> bool:
        duplicate = socket.socket(fileno=os.dup(sock.fileno()))
        second.engine.call_soon(lambda: second.engine.adopt(duplicate, arrival))
        given.append(arrival.served)
        return True

    first.engine.hand_over_with(hand_over)
    yield given


def test_an_idle_connection_goes_on_at_another_worker() -> None:
    with served(named("first")) as first, served(named("second")) as second:
        with handing_over(first, second) as given:
            silent, idle = first.connect(), first.connect()  # accepted in this order
            idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive_response(idle)[1] == b"first"
            first.drain()
            assert first.wait() is True
        assert sorted(given) == [0, 1]
        for client in (idle, silent):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive_response(client)[1] == b"second"


def test_unread_bytes_go_along() -> None:
    with served(named("first")) as first, served(named("second")) as second, handing_over(first, second):
        client = first.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(client)

        def send_and_drain() -> None:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # in the kernel, as the loop is here
            first.engine.drain(TIMEOUT)

        first.engine.call_soon(send_and_drain)
        assert receive_response(client)[1] == b"second"


def test_a_busy_connection_moves_after_its_response_and_stays_open() -> None:
    entered, leave = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        entered.set()
        await leave.wait()
        await answer(send, b"first" * 1_000_000)

    with served(slow) as first, served(named("second")) as second, handing_over(first, second) as given:
        client = first.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.wait(TIMEOUT)
        first.drain()
        loops[0].call_soon_threadsafe(leave.set)
        head, body = receive_response(client)
        assert b"connection: close" not in head
        assert body == b"first" * 1_000_000
        assert first.wait() is True
        assert given == [1]
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(client)[1] == b"second"


def test_requests_are_counted_across_workers() -> None:
    bounds = Bounds(requests_per_connection=2)
    with served(named("first"), bounds) as first, served(named("second"), bounds) as second:
        with handing_over(first, second):
            client = first.connect()
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"connection: close" not in receive_response(client)[0]
            first.drain()
            first.wait()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" in receive_response(client)[0]


def test_where_nobody_can_take_it_it_is_closed() -> None:
    with served(named("first")) as first:
        first.engine.hand_over_with(lambda sock, arrival: False)
        client = first.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(client)
        first.drain()
        assert client.recv(1) == b""


def test_what_a_proxy_has_said_goes_along() -> None:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, str(scope["client"]).encode())

    config = WorkerConfig(proxy_protocol=True)
    with served(told, config) as first, served(told, config) as second, handing_over(first, second):
        fresh, introduced = first.connect(), first.connect()
        header, request = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        introduced.sendall(header + request)
        assert receive_response(introduced)[1] == b"('192.0.2.1', 1234)"
        first.drain()
        introduced.sendall(request)
        fresh.sendall(header + request)
        for client in (introduced, fresh):
            assert receive_response(client)[1] == b"('192.0.2.1', 1234)"
