"""A worker is killed with connections in hand that it has just taken from the handoff queue."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coachman.config.model import Bounds, WorkerConfig

from ..end_to_end.gate import Gate
from ..end_to_end.raw_client import RawClient
from ..process.neighbours import GATE_IN_FOLDER, WSGI, Neighbours, neighbours

ASGI = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/gate":
        wait_at_gate()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def in_queue(group: Neighbours, path: str) -> RawClient:
    """Return a client whose connection is in the queue, with its request unread."""
    client = group.connect()
    client.get(path)
    group.put_into_queue(client)
    return client


def read_to_end(client: RawClient) -> bytes:
    try:
        return client.read_to_end()
    except ConnectionResetError:  # what was read is lost with the process, and what was not resets
        return b""


@pytest.mark.parametrize(
    ("application", "taker", "taken"),
    [
        # How many connections each has in hand before it takes no more.
        pytest.param(WSGI, WorkerConfig(), 1, id="wsgi, 1 thread"),
        pytest.param(WSGI, WorkerConfig(threads=2), 2, id="wsgi, 2 threads"),
        pytest.param(ASGI, WorkerConfig(bounds=Bounds(connections=1)), 1, id="asgi"),
    ],
)
def test_a_killed_worker_takes_along_the_requests_it_had_taken_from_the_queue_and_no_other(
    tmp_path: Path, gate: Gate, application: str, taker: WorkerConfig, taken: int
) -> None:
    async def main() -> None:
        async with neighbours(tmp_path, GATE_IN_FOLDER + application) as group:
            lost = [in_queue(group, "/gate") for _ in range(taken)]
            waiting = [in_queue(group, "/") for _ in range(10)]
            killed = await group.start(taker)
            for _ in lost:
                gate.wait_for_arrival()
                assert gate.last_pid == killed.process.pid
            await killed.kill()
            assert [read_to_end(client) for client in lost] == [b""] * taken
            sibling = await group.start(WorkerConfig())
            for client in waiting:
                assert int(client.answer().body) == sibling.process.pid
                client.get()  # the connection lives on
                assert int(client.answer().body) == sibling.process.pid

    asyncio.run(main())
