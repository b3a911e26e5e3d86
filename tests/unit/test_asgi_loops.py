"""What depends on the event loop, with asyncio's own: where there is no uvloop, that is what serves."""

from __future__ import annotations

import asyncio

import pytest

from coachman.worker.asgi import engine

from .asgi_serving import TIMEOUT, Receive, Scope, Send, Siblings, answer, echo, receive_response, served


@pytest.fixture(autouse=True)
def _without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "make_event_loop", asyncio.SelectorEventLoop)


def test_requests_are_served_and_connections_kept() -> None:
    with served(echo) as serving:
        client = serving.connect()
        for _ in range(3):
            client.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert receive_response(client)[1] == b"/a abc"
        serving.drain()
        assert client.recv(1) == b""
        assert serving.wait() is True


def test_a_connection_moves_with_its_unread_bytes() -> None:
    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"second")

    siblings = Siblings()
    with served(echo, handoff=siblings.handoff()) as serving, served(second, handoff=siblings.handoff()):
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(client)[1] == b"/ "

        def send_and_drain() -> None:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            serving.engine.drain(TIMEOUT, hand_over=True)

        serving.engine.call_soon(send_and_drain)
        assert receive_response(client)[1] == b"second"
    siblings.close()


def test_a_slow_reader_gets_all_of_a_response_before_the_end() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"x" * 5_000_000)

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1) == b"H"
        serving.drain()
        assert receive_response(client)[1] == b"x" * 5_000_000
        assert serving.wait() is True
