"""The supervisor's own HTTP server, over socket pairs and loopback connections."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from coachman.protocol.http_head import Request, Response, text_response
from coachman.supervisor import http_responder
from coachman.supervisor.http_responder import HttpResponder

GET = b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n"
SECONDS = 30

Talk: TypeAlias = Callable[[HttpResponder], Awaitable[None]]


async def hello(request: Request) -> Response:
    return text_response(200, f"hello {request.method} {request.path}")


def run(
    talk: Talk, *, most: int = 256, client_timeout: float = SECONDS, notes: list[str] | None = None
) -> None:
    async def with_a_responder() -> None:
        note = (notes if notes is not None else []).append
        responder = HttpResponder(hello, note, most=most, client_timeout=client_timeout)
        try:
            async with asyncio.timeout(SECONDS):
                await talk(responder)
        finally:
            await responder.close()

    asyncio.run(with_a_responder())


def connect(responder: HttpResponder) -> socket.socket:
    """Return the client's end of a connection that the responder has taken."""
    client, server = socket.socketpair()
    client.setblocking(False)
    responder.take(server)
    return client


async def received(client: socket.socket) -> bytes:
    """Return all that comes; the responder closes its end, or shuts it down."""
    data = b""
    while more := await asyncio.get_running_loop().sock_recv(client, 65536):
        data += more
    return data


async def send(client: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client, data)


def test_a_request_is_answered_and_its_connection_closed() -> None:
    async def talk(responder: HttpResponder) -> None:
        with connect(responder) as client:
            await send(client, GET)
            answer = await received(client)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nDate: " in answer
        assert answer.endswith(b"\r\n\r\nhello GET /path\n")

    run(talk)


def test_a_head_may_come_byte_by_byte() -> None:
    async def talk(responder: HttpResponder) -> None:
        with connect(responder) as client:
            for byte in GET:
                await send(client, bytes([byte]))
                await asyncio.sleep(0)
            assert (await received(client)).endswith(b"hello GET /path\n")

    run(talk)


def test_head_has_the_length_of_the_body_and_no_body() -> None:
    async def talk(responder: HttpResponder) -> None:
        with connect(responder) as client:
            await send(client, GET.replace(b"GET", b"HEAD"))
            answer = await received(client)
        assert b"\r\nContent-Length: 17\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")

    run(talk)


@pytest.mark.parametrize(
    ("head", "status"), [(b"hello\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\n" * 2000, b"431")]
)
def test_what_is_no_request_is_refused(head: bytes, status: bytes) -> None:
    async def talk(responder: HttpResponder) -> None:
        with connect(responder) as client:
            await send(client, head)
            assert (await received(client)).startswith(b"HTTP/1.1 " + status)

    run(talk)


def test_a_body_that_nobody_reads_does_not_cost_the_answer() -> None:
    async def talk(responder: HttpResponder) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            responder.listen(listener)
            with socket.socket() as client:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
                upload = asyncio.create_task(send(client, GET.replace(b"GET", b"POST") + bytes(3_000_000)))
                assert (await received(client)).endswith(b"hello POST /path\n")
                await upload
            responder.leave(listener)

    run(talk)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_a_client_that_stalls_is_closed(sent: bytes) -> None:
    async def talk(responder: HttpResponder) -> None:
        with connect(responder) as client:
            await send(client, sent)
            assert await received(client) == b""

    run(talk, client_timeout=0.01)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET])
def test_a_client_may_leave_at_any_time(sent: bytes) -> None:
    async def talk(responder: HttpResponder) -> None:
        connect(responder).close()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            responder.listen(listener)
            client = socket.create_connection(listener.getsockname())
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            with socket.create_connection(listener.getsockname()) as other:
                other.setblocking(False)
                await send(other, GET)
                assert (await received(other)).endswith(b"hello GET /path\n")
            responder.leave(listener)

    run(talk)


def test_those_that_stall_make_room_for_others_the_oldest_first() -> None:
    async def talk(responder: HttpResponder) -> None:
        stalled = [connect(responder) for _ in range(3)]
        assert responder.room == 0
        with connect(responder) as client:
            await send(client, GET)
            assert (await received(client)).endswith(b"hello GET /path\n")
        assert await received(stalled[0]) == b""
        for survivor in stalled[1:]:
            await send(survivor, GET)
            assert (await received(survivor)).endswith(b"hello GET /path\n")
        for client in stalled:
            client.close()

    run(talk, most=3)


def test_those_that_are_answered_make_room_first() -> None:
    async def talk(responder: HttpResponder) -> None:
        with connect(responder) as stalled, connect(responder) as answered:
            await send(answered, GET)
            assert await received(answered)  # its own end stays open, so the responder lingers
            with connect(responder) as client:
                await send(client, GET)
                assert (await received(client)).endswith(b"hello GET /path\n")
            await send(stalled, GET)
            assert (await received(stalled)).endswith(b"hello GET /path\n")

    run(talk, most=2)


def test_nobody_is_sent_away_while_he_is_answered() -> None:
    async def talk(responder: HttpResponder) -> None:
        arrived, go = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Response:
            arrived.set()
            await go.wait()
            return await hello(request)

        responder._answer = slow
        with connect(responder) as first:
            await send(first, GET)
            await arrived.wait()
            with connect(responder) as second:
                assert await received(second) == b""
            go.set()
            assert (await received(first)).endswith(b"hello GET /path\n")

    run(talk, most=1)


def test_an_error_is_answered_with_500_and_noted() -> None:
    notes: list[str] = []

    async def talk(responder: HttpResponder) -> None:
        async def failing(request: Request) -> Response:
            raise RuntimeError("a defect")

        responder._answer = failing
        with connect(responder) as client:
            await send(client, GET)
            assert (await received(client)).startswith(b"HTTP/1.1 500 ")

    run(talk, notes=notes)
    assert notes == ["no answer to GET /path: RuntimeError('a defect')"]


def test_a_shortage_of_descriptors_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_responder, "RETRY_SECONDS", 0.01)
    refusals = [OSError(errno.EMFILE, "too many"), OSError(errno.EMFILE, "too many")]

    class Scarce(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            if refusals:
                raise refusals.pop()
            return super().accept()

    async def talk(responder: HttpResponder) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)

            scarce = Scarce(fileno=os.dup(listener.fileno()))
            responder.listen(scarce)
            with socket.create_connection(listener.getsockname()) as client:
                client.setblocking(False)
                await send(client, GET)
                assert (await received(client)).endswith(b"hello GET /path\n")
            responder.leave(scarce)
            scarce.close()

    run(talk)
    assert refusals == []
