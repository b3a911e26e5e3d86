"""What becomes of a request of an ASGI application that has taken too long, and of its worker."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from coachman.config.model import WorkerConfig
from coachman.protocol.scoreboard import view_of
from coachman.worker.services import Services, make_services
from coachman.worker.watchdog import Watchdog, Watched

from .asgi_serving import TIMEOUT, Receive, Scope, Send, answer, receive_all, receive_response, served

ENDLESS = 1000.0
"""Seconds of a drain that no test would outlast: it is over when nothing is in hand."""


class Late:
    """Services with a watchdog whose time is up when it is told so, and an application that gets stuck."""

    def __init__(self) -> None:
        self.watchdog = Watchdog(1000.0, self._on_timed_out)
        services = make_services(WorkerConfig(), self.watchdog, lambda fd: None)
        assert services is not None
        self.services: Services = services
        self.watchdog.start()
        self.answered = threading.Event()
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.cancelled = 0
        self.deaf = False
        """Whether the application goes on when it is cancelled."""

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            self.watchdog._timeout = 0.0
            self.watchdog._wake.set()
            await self.get_stuck()
        elif scope["path"] == "/waits":
            self.entered.set()
            await asyncio.to_thread(self.let_go.wait, TIMEOUT)
        await answer(send)

    async def get_stuck(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self.deaf or self.cancelled == 2:  # the second time, the loop itself ends
                    raise

    def ask(self, client: socket.socket) -> None:
        """Have a request answered late."""
        client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 504 ")
        assert self.answered.wait(TIMEOUT)

    def _on_timed_out(self, request: Watched, since: float, thread: int) -> Callable[[], None]:
        self.watchdog._timeout = 1000.0
        assert request.answer_late()
        return self.answered.set


@pytest.fixture
def late() -> Iterator[Late]:
    late = Late()
    yield late
    late.watchdog.close()


@pytest.mark.parametrize("deaf", [False, True], ids=["that can be cancelled", "that is deaf"])
def test_a_call_that_was_answered_late_does_not_hold_the_end_up(
    late: Late, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coachman.worker.asgi.engine.CLEANING_SECONDS", 0.05)
    late.deaf = deaf
    with served(late.application) as serving:
        serving.engine.use_services(late.services)
        client, other = serving.connect(), serving.connect()
        late.ask(client)
        other.sendall(b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n")
        assert late.entered.wait(TIMEOUT)
        serving.drain(ENDLESS)
        assert late.cancelled == 0, "there is something else to wait for"
        late.let_go.set()
        assert receive_response(other)[1] == b"ok"
        assert serving.wait() is False, "something was given up"
        assert late.cancelled == 1


def test_a_call_that_is_answered_late_in_a_drain_does_not_hold_the_end_up(late: Late) -> None:
    with served(late.application) as serving:
        serving.engine.use_services(late.services)
        client = serving.connect()

        def ask_and_drain() -> None:
            client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            serving.engine.drain(ENDLESS)

        waiting = serving.connect()
        waiting.sendall(b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n")
        assert late.entered.wait(TIMEOUT)
        late.let_go.set()
        receive_response(waiting)  # by now both are accepted
        serving.engine.call_soon(ask_and_drain)
        assert receive_all(client).startswith(b"HTTP/1.1 504 ")
        assert serving.wait() is False


@pytest.mark.parametrize("end", ["answers", "fails"])
def test_a_call_that_has_held_the_loop_up_ends_without_another_answer(
    late: Late, end: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coachman.worker.asgi.late_answer.LOOP_SECONDS", 0.02)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        late.watchdog._timeout = 0.0
        late.watchdog._wake.set()
        assert late.let_go.wait(TIMEOUT)  # and nothing else happens in the loop
        if end == "fails":
            raise LookupError("as it should")
        await answer(send)

    with served(application) as serving:
        serving.engine.use_services(late.services)
        client = serving.connect()
        late.ask(client)
        late.let_go.set()
        serving.drain(ENDLESS)  # which waits for no client, open as the connection is on its side
        serving.wait()
        seen = view_of(serving.engine.cells.tolist())
        assert seen.counters.statuses == (0, 0, 0, 0, 1)
    log = capsys.readouterr().err
    assert "without" not in log
    assert ("as it should" in log) == (end == "fails")


def test_a_call_that_ends_by_itself_after_it_was_answered_late_is_not_given_up() -> None:
    late = Late()
    leave: list[asyncio.Event] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        leave.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        late.watchdog._timeout = 0.0
        late.watchdog._wake.set()
        await leave[0].wait()

    try:
        with served(application) as serving:
            serving.engine.use_services(late.services)
            client = serving.connect()
            late.ask(client)
            seen = view_of(serving.engine.cells.tolist())
            assert seen.counters.statuses == (0, 0, 0, 0, 1)
            loops[0].call_soon_threadsafe(leave[0].set)
            serving.drain(ENDLESS)
            assert serving.wait() is True
    finally:
        late.watchdog.close()
