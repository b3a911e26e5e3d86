"""Clients of an ASGI worker whose event loop is held up, while its sibling has nothing to do."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .raw_client import RawClient

APPLICATION = """
import asyncio, os, time

async def application(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/block":
        time.sleep(0.1)
    elif scope["path"] == "/block-in-a-task":  # as a framework's middleware may do: the response comes later
        await asyncio.create_task(block())
        await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

async def block():
    time.sleep(0.1)
"""
MOVED = 100
"""Answers within which every client has been moved, by far."""


class Blocker:
    """A client that keeps the worker that it is connected to from doing anything else."""

    def __init__(self, client: RawClient, path: str) -> None:
        self._client = client
        self._path = path
        self._stop = threading.Event()
        self._begun = threading.Event()
        self.held_up = 0
        """The worker that has answered last."""
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Blocker:
        self._thread.start()
        assert self._begun.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._client.get(self._path)
            self.held_up = int(self._client.answer().body)
            self._begun.set()


@pytest.mark.parametrize("path", ["/block", "/block-in-a-task"])
def test_clients_of_a_loop_that_is_held_up_go_to_an_idle_sibling(tmp_path: Path, path: str) -> None:
    write_application(tmp_path, APPLICATION)
    with CoachmanServe(*ONE_PROCESS, folder=tmp_path) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(5)]
        for client in clients:
            client.get()
            client.answer()
        server.send_signal(signal.SIGTTIN)
        server.ready_workers(2)
        blocking, *others = clients
        with Blocker(blocking, path) as blocker:
            # On a busy machine it may be the blocking one that has waited for longest, and leaves the others.
            apart = False
            for _ in range(MOVED):
                for client in others:
                    client.get()
                answered_by = {int(client.answer().body) for client in others}
                if apart := blocker.held_up not in answered_by:
                    break
            assert apart, "some still wait for the one that is held up"
        assert server.stop() == 0, server.output()
