"""How many connections a worker takes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from select import EPOLLIN
from typing import Any

import pytest

from coachman.config.model import Bounds, WorkerConfig
from coachman.worker.handoff import Passport
from coachman.worker.wsgi.engine import Engine
from coachman.worker.wsgi.intake import Rest

from .asgi_serving import Siblings


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise NotImplementedError


def test_two_threads_that_end_connections_at_the_same_moment_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(application, WorkerConfig(threads=2, bounds=Bounds(connections=2)))
    engine.begin_pool()
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, _ in pairs:
        ours.setblocking(False)
        engine._arrivals.on_accepted(ours, Passport())
    first, second = engine.connections.values()
    assert Rest.BOUND in engine._intake._rests

    show = engine.tally.show

    def end_the_other_first(cell: int, value: Callable[[], int]) -> None:
        monkeypatch.undo()
        second.close()  # as another thread does while this one is at it
        show(cell, value)

    monkeypatch.setattr(engine.tally, "show", end_the_other_first)
    first.close()
    engine.call_soon(lambda: None)
    engine._run_soon()
    assert Rest.BOUND not in engine._intake._rests
    engine.close()
    for _, theirs in pairs:
        theirs.close()


def test_nothing_is_taken_from_the_queue_by_an_event_that_the_drain_has_overtaken() -> None:
    """Both may come in one turn; who drains has closed descriptors whose events are still in hand."""
    siblings = Siblings()
    engine = Engine(application, WorkerConfig())
    handoff = siblings.handoff()
    engine.join_handoff(handoff)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert handoff.put(ours, Passport())
        engine.drain(1000.0, hand_over=True)
        engine._on_takeable(EPOLLIN)
        taken = handoff.take()
        assert taken is not None
        taken[0].close()
    engine.close()
    handoff.close()
    siblings.close()
