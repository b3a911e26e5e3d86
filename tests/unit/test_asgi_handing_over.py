"""Connections that move from one ASGI worker to another, between two requests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from coachman.config.model import Bounds, WorkerConfig
from coachman.protocol.handoff import Passport
from coachman.protocol.scoreboard import CONNECTIONS
from coachman.worker.handoff import Handoff

from .asgi_serving import TIMEOUT, Receive, Scope, Send, Siblings, answer, receive_response, served

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def siblings() -> Iterator[Siblings]:
    siblings = Siblings()
    yield siblings
    siblings.close()


def named(name: str) -> Any:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, name.encode())

    return application


def ask(client: socket.socket) -> bytes:
    client.sendall(REQUEST)
    return receive_response(client)[1]


def test_an_idle_connection_goes_on_at_another_worker(siblings: Siblings) -> None:
    with (
        served(named("first"), handoff=siblings.handoff()) as first,
        served(named("second"), handoff=siblings.handoff()) as second,
    ):
        silent, idle = first.connect(), first.connect()  # accepted in this order
        assert ask(idle) == b"first"
        first.drain(hand_over=True)
        assert first.wait() is True
        assert (ask(idle), ask(silent)) == (b"second", b"second")
        second.drain()
        assert second.wait() is True


def test_every_connection_that_comes_is_told_once_it_is_on_the_scoreboard(siblings: Siblings) -> None:
    told: list[int] = []
    with (
        served(named("first"), handoff=siblings.handoff()) as first,
        served(named("second"), handoff=siblings.handoff()) as second,
    ):
        second.engine.on_connection = lambda: told.append(second.engine.cells[CONNECTIONS])
        client = first.connect()
        assert ask(client) == b"first"
        first.drain(hand_over=True)
        assert first.wait() is True
        assert ask(client) == b"second"
        assert ask(second.connect()) == b"second"
    assert told == [1, 2]


def test_it_waits_in_the_queue_while_there_is_nobody(siblings: Siblings) -> None:
    with served(named("first"), handoff=siblings.handoff()) as first:
        client = first.connect()
        assert ask(client) == b"first"
        first.drain(hand_over=True)
        assert first.wait() is True
        client.sendall(REQUEST)
        with served(named("second"), handoff=siblings.handoff()):
            assert receive_response(client)[1] == b"second"


def test_unread_bytes_go_along(siblings: Siblings) -> None:
    with (
        served(named("first"), handoff=siblings.handoff()) as first,
        served(named("second"), handoff=siblings.handoff()),
    ):
        client = first.connect()
        assert ask(client) == b"first"

        def send_and_drain() -> None:
            client.sendall(REQUEST)  # into the kernel: the loop is here
            first.engine.drain(TIMEOUT, hand_over=True)

        first.engine.call_soon(send_and_drain)
        assert receive_response(client)[1] == b"second"


def test_a_busy_connection_moves_after_its_response_and_stays_open(siblings: Siblings) -> None:
    entered, leave = threading.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await answer(send, b"first" * 1_000_000)

    with (
        served(slow, handoff=siblings.handoff()) as first,
        served(named("second"), handoff=siblings.handoff()),
    ):
        client = first.connect()
        client.sendall(REQUEST)
        assert entered.wait(TIMEOUT)
        first.drain(hand_over=True)
        first.engine.call_soon(leave.set)
        head, body = receive_response(client)
        assert b"connection: close" not in head
        assert body == b"first" * 1_000_000
        assert first.wait() is True
        assert ask(client) == b"second"


def test_requests_are_counted_across_workers(siblings: Siblings) -> None:
    bounds = Bounds(requests_per_connection=2)
    with (
        served(named("first"), bounds, handoff=siblings.handoff()) as first,
        served(named("second"), bounds, handoff=siblings.handoff()),
    ):
        client = first.connect()
        client.sendall(REQUEST)
        assert b"connection: close" not in receive_response(client)[0]
        first.drain(hand_over=True)
        assert first.wait() is True
        client.sendall(REQUEST)
        assert b"connection: close" in receive_response(client)[0]


TLS_CLIENT = bytes.fromhex(
    "0d0a0d0a000d0a515549540a 21 11 0014"  # PROXY protocol, version 2: 20 bytes about TCP over IPv4
    "c0000201 c0000202 04d2 01bb"  # from 192.0.2.1 to 192.0.2.2, ports 1234 and 443
    "20 0005 01 00000000"  # the client speaks TLS
)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n", b"('192.0.2.1', 1234) ('192.0.2.2', 443) http"),
        (TLS_CLIENT, b"('192.0.2.1', 1234) ('192.0.2.2', 443) https"),
        (b"PROXY UNKNOWN\r\n", b"('127.0.0.1', "),
    ],
    ids=["version 1", "TLS", "nothing told"],
)
def test_what_a_proxy_has_said_goes_along(siblings: Siblings, header: bytes, wanted: bytes) -> None:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, f"{scope['client']} {scope['server']} {scope['scheme']}".encode())

    config = WorkerConfig(proxy_protocol=True)
    with (
        served(told, config, handoff=siblings.handoff()) as first,
        served(told, config, handoff=siblings.handoff()),
    ):
        fresh, introduced = first.connect(), first.connect()
        introduced.sendall(header)
        before = ask(introduced)
        assert before.startswith(wanted)
        first.drain(hand_over=True)
        assert first.wait() is True
        assert ask(introduced) == before
        fresh.sendall(header)
        assert ask(fresh).startswith(wanted)


class FullAtFirst(Handoff):
    """A queue that has no room for the first connection."""

    refusals = 1

    def put(self, sock: socket.socket, passport: Passport, *, express: bool = False) -> bool:
        if self.refusals:
            self.refusals -= 1
            return False
        return super().put(sock, passport, express=express)


def test_a_connection_waits_for_room_in_the_queue(siblings: Siblings) -> None:
    with (
        served(named("first"), handoff=siblings.handoff(FullAtFirst)) as first,
        served(named("second"), handoff=siblings.handoff()),
    ):
        client = first.connect()
        assert ask(client) == b"first"
        first.drain(hand_over=True)
        assert first.wait() is True
        assert ask(client) == b"second"


def test_without_anybody_to_come_connections_are_closed_those_in_the_queue_as_well(
    siblings: Siblings,
) -> None:
    last = siblings.handoff()
    with served(named("first"), handoff=siblings.handoff()) as first:
        idle, asking = first.connect(), first.connect()
        assert ask(idle) == ask(asking) == b"first"
        first.drain(hand_over=True)
        assert first.wait() is True
        asking.sendall(REQUEST)
        with served(named("last"), handoff=last) as serving:
            serving.drain()
            assert serving.wait() is True
            assert receive_response(asking)[1] == b"last"
            assert idle.recv(1) == b""
