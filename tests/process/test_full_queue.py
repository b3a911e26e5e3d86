"""A worker drains while the handoff queue has no room, and nobody takes anything from it."""

from __future__ import annotations

import asyncio
import select
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from coachman.config.model import WorkerConfig
from coachman.protocol.handoff import MAX_SIZE

from ..end_to_end.gate import Gate
from ..end_to_end.raw_client import RawClient
from ..unit.test_handoff_queue import make_small
from .neighbours import GATE_IN_FOLDER, WSGI, Neighbour, Neighbours, neighbours

HOPELESS = """
from coachman.policy import handing_over

handing_over.HOPE_SHARE = 0.0  # the time is up at once for which a full queue is believed to have room soon
"""
SHORT_OF_TIME = """
from coachman.policy import draining

draining.FAREWELL_SHARE, draining.FAREWELL_SECONDS = 1.0, 1e9  # the deadline is near from the beginning
"""
ASGI = """
import asyncio

async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/gate":
        await asyncio.to_thread(wait_at_gate)
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
CLIENTS: Final = 20


@dataclass
class Kind:
    application: str
    threads: int

    def config(self) -> WorkerConfig:
        return WorkerConfig(threads=self.threads, drain_timeout=600)


KINDS: Final = {"wsgi, 1 thread": Kind(WSGI, 1), "wsgi, 2 threads": Kind(WSGI, 2), "asgi": Kind(ASGI, 1)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=["wsgi, 2 threads", "asgi"])
def concurrent(request: pytest.FixtureRequest) -> Kind:
    """Return one whose worker goes on while a request is in the application."""
    return KINDS[request.param]


def who(client: RawClient) -> int:
    """Return the pid of the worker that answers."""
    client.get()
    return int(client.answer().body)


def at_gate(group: Neighbours, gate: Gate) -> RawClient:
    """Return a client whose request is in the application."""
    client = group.connect()
    client.get("/gate")
    gate.wait_for_arrival()
    return client


def first_answered(clients: Sequence[RawClient]) -> RawClient:
    """Return one of those that have an answer, once there is one."""
    readable, _, _ = select.select([client.sock for client in clients], [], [], 30)
    return next(client for client in clients if client.sock in readable)


def take_from_queue(group: Neighbours) -> None:
    """Take a connection from the queue, once there is one, and end it."""
    select.select(group.queue.take_fds, [], [], 30)
    taken = group.queue.take(MAX_SIZE)
    assert taken is not None
    taken[0].close()


def more_than_the_queue_has_room_for(group: Neighbours, old: Neighbour) -> list[RawClient]:
    """Return the clients of the only worker, for which the queue has not enough room."""
    make_small(group.queue)
    clients = [group.connect() for _ in range(CLIENTS)]
    for client in clients:
        assert who(client) == old.process.pid
    return clients


async def clients_of_a_draining_worker(group: Neighbours, old: Neighbour) -> list[RawClient]:
    """Have the only worker drain; return its clients, some of which had to stay, and all of which ask."""
    clients = more_than_the_queue_has_room_for(group, old)
    await old.begin_drain()
    for client in clients:
        client.get()
    return clients


def test_connections_are_kept_while_the_queue_may_have_room_before_the_deadline(
    tmp_path: Path, kind: Kind
) -> None:
    async def main() -> None:
        async with neighbours(tmp_path, GATE_IN_FOLDER + kind.application) as group:
            old = await group.start(kind.config())
            clients = await clients_of_a_draining_worker(group, old)
            stayed = first_answered(clients)
            successor = await group.start(kind.config())
            answers = {client: client.answer() for client in clients}
            assert int(answers[stayed].body) == old.process.pid
            assert not any("connection" in answer.headers for answer in answers.values())
            await old.wait_for_end()
            assert {who(client) for client in clients} == {successor.process.pid}

    asyncio.run(main())


def test_connections_that_can_hardly_move_are_told_so_with_their_last_answer(
    tmp_path: Path, kind: Kind
) -> None:
    async def main() -> None:
        async with neighbours(tmp_path, GATE_IN_FOLDER + HOPELESS + kind.application) as group:
            old = await group.start(kind.config())
            clients = await clients_of_a_draining_worker(group, old)
            await old.wait_for_end()  # whoever stayed got the answer, and the connection ended
            successor = await group.start(kind.config())
            served = Counter[int]()
            for client in clients:
                answer = client.answer()
                served[pid := int(answer.body)] += 1
                if pid == old.process.pid:
                    assert answer.headers["connection"] == "close"
                    assert client.read_to_end() == b""
                else:
                    assert "connection" not in answer.headers
            assert set(served) == {old.process.pid, successor.process.pid}

    asyncio.run(main())


def test_idle_connections_that_cannot_move_are_closed_before_the_deadline(tmp_path: Path, kind: Kind) -> None:
    async def main() -> None:
        async with neighbours(
            tmp_path, GATE_IN_FOLDER + HOPELESS + SHORT_OF_TIME + kind.application
        ) as group:
            old = await group.start(kind.config())
            clients = more_than_the_queue_has_room_for(group, old)
            await old.begin_drain()
            await old.wait_for_end()
            stayed, _, _ = select.select([client.sock for client in clients], [], [], 0)
            assert stayed
            assert all(sock.recv(1) == b"" for sock in stayed), "ended between two requests"
            successor = await group.start(kind.config())
            moved = [client for client in clients if client.sock not in stayed]
            assert {who(client) for client in moved} == {successor.process.pid}

    asyncio.run(main())
    assert "gave up" not in (tmp_path / "log").read_text(), "there were no requests"


def test_requests_in_hand_are_told_so_as_long_as_there_is_no_room(
    tmp_path: Path, gate: Gate, concurrent: Kind
) -> None:
    async def main() -> None:
        async with neighbours(tmp_path, GATE_IN_FOLDER + HOPELESS + concurrent.application) as group:
            old = await group.start(concurrent.config())
            client = at_gate(group, gate)
            clients = await clients_of_a_draining_worker(group, old)
            stayed = first_answered(clients)
            assert stayed.answer().headers["connection"] == "close"
            gate.open()
            assert client.answer().headers["connection"] == "close"
            await old.wait_for_end()

    asyncio.run(main())


def test_requests_in_hand_are_told_nothing_once_there_is_room(tmp_path: Path, gate: Gate) -> None:
    # By WSGI: an ASGI worker has told its requests in hand to be the last ones, which is not taken back.
    async def main() -> None:
        async with neighbours(tmp_path, GATE_IN_FOLDER + HOPELESS + WSGI) as group:
            old = await group.start(Kind(WSGI, 2).config())
            client = at_gate(group, gate)
            clients = more_than_the_queue_has_room_for(group, old)
            await old.begin_drain()
            for _ in clients:  # those that have to stay come as soon as there is room
                take_from_queue(group)
            gate.open()
            answer = client.answer()
            assert int(answer.body) == old.process.pid
            assert "connection" not in answer.headers
            await old.wait_for_end()
            take_from_queue(group)  # which it has gone into

    asyncio.run(main())


def test_nobody_is_told_to_go_while_the_queue_has_room(tmp_path: Path, gate: Gate, concurrent: Kind) -> None:
    async def main() -> None:
        async with neighbours(tmp_path, GATE_IN_FOLDER + HOPELESS + concurrent.application) as group:
            old = await group.start(concurrent.config())
            client = at_gate(group, gate)
            await old.begin_drain()
            gate.open()
            answer = client.answer()
            assert int(answer.body) == old.process.pid
            assert "connection" not in answer.headers
            successor = await group.start(concurrent.config())
            assert who(client) == successor.process.pid

    asyncio.run(main())
