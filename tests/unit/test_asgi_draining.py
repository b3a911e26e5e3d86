"""How an ASGI worker ends: what is idle, what is in hand, and what takes too long."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from typing import Any

import pytest

from .asgi_serving import (
    TIMEOUT,
    Receive,
    Scope,
    Send,
    answer,
    echo,
    receive_all,
    receive_response,
    receive_through,
    served,
)

ENDLESS = 1000.0
"""Seconds of a drain that no test would outlast: it is over when nothing is in hand."""


class Slow:
    """Answers "/slow" once it is let go, everything else at once."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.disconnected = threading.Event()
        self.cancelled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
            self.entered.set()
            try:
                await self._leave.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if scope["path"] == "/events":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"event", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set()
            return
        await answer(send)

    def let_go(self) -> None:
        assert self._loop is not None
        assert self._leave is not None
        self._loop.call_soon_threadsafe(self._leave.set)


def test_idle_connections_end_and_requests_in_hand_are_finished() -> None:
    slow = Slow()
    with served(slow) as serving:
        silent, idle, busy = (serving.connect() for _ in range(3))
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(idle)
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.entered.wait(TIMEOUT)
        serving.drain()
        assert idle.recv(1) == b""
        assert silent.recv(1) == b""
        slow.let_go()
        head, body = receive_response(busy)
        assert body == b"ok"
        assert b"connection: close" in head
        assert busy.recv(1) == b""
        assert serving.wait() is True


def test_a_request_that_came_before_the_drain_is_served() -> None:
    with served(Slow()) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHo")
        other = serving.connect()  # accepted after it, so what `client` has sent is read by then
        other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(other)
        serving.drain()
        assert other.recv(1) == b""
        client.sendall(b"st: x\r\n\r\n")
        assert b"connection: close" in receive_response(client)[0]
        assert serving.wait() is True


def test_what_turns_out_to_be_no_request_does_not_hold_the_end_up() -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(client)

        def drain() -> None:
            client.sendall(b"\r\n")  # in the loop's thread: it has not read that
            serving.engine.drain(ENDLESS)

        serving.engine.call_soon(drain)
        assert receive_all(client) == b""
        assert serving.wait() is True


def test_requests_that_take_too_long_are_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    slow = Slow()
    with served(slow) as serving:
        client, events = serving.connect(), serving.connect()
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        events.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.entered.wait(TIMEOUT)
        receive_through(events, b"event\r\n")
        serving.drain(0.1)
        assert serving.wait() is False
        assert slow.cancelled.is_set()
        assert slow.disconnected.is_set(), "it hears of the end before it would be cancelled"
        assert receive_all(client) == b""
    assert re.search(
        r"the time to finish is up, in GET /(slow|events).* and 1 more\n", capsys.readouterr().err
    )


def test_what_an_application_does_behind_its_response_is_finished() -> None:
    slow = Slow()
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)

        async def drop(message: Any) -> None: ...

        await slow({**scope, "path": "/slow"}, receive, drop)
        done.set()

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(client)
        assert slow.entered.wait(TIMEOUT)
        serving.drain()
        assert client.recv(1) == b""
        assert not serving.outcome
        slow.let_go()
        assert serving.wait() is True
        assert done.is_set()


def test_a_second_drain_can_only_bring_the_end_nearer() -> None:
    slow = Slow()
    with served(slow) as serving:
        client = serving.connect()
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.entered.wait(TIMEOUT)
        serving.drain(0.1)
        serving.drain(1000)
        assert serving.wait() is False


def test_a_client_that_is_slow_to_read_still_gets_its_response_whole() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"x" * 5_000_000)

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1) == b"H"
        serving.drain()
        assert receive_response(client)[1] == b"x" * 5_000_000
        assert client.recv(1) == b""
        assert serving.wait() is True


@pytest.mark.parametrize("gone", [False, True], ids=["open", "closed by its client"])
def test_a_connection_that_comes_at_the_last_moment_does_not_hold_the_end_up(gone: bool) -> None:
    with served(echo) as serving:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:

            def adopt_and_drain() -> None:
                if gone:
                    theirs.close()
                serving.engine.arrivals.adopt(ours)
                serving.engine.drain(ENDLESS)

            serving.engine.call_soon(adopt_and_drain)
            assert serving.wait() is True


@pytest.mark.parametrize("draining", [False, True], ids=["before", "afterwards"])
def test_who_was_refused_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch, draining: bool) -> None:
    monkeypatch.setattr("coachman.worker.asgi.context.LINGER_SECONDS", ENDLESS)
    with served(echo) as serving:
        client, other = serving.connect(), serving.connect()
        client.sendall(b"GET /")
        other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(other)  # by now, what the first one has sent is read
        if draining:
            serving.drain(ENDLESS)
            assert other.recv(1) == b""
        client.sendall(b" HTTP/1.1\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")
        if not draining:
            serving.drain(ENDLESS)
        assert serving.wait() is True
