"""What a worker with threads does about having no free one, without threads and without a clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from coachman.config.model import WorkerConfig
from coachman.policy.handing_over import AVERAGED_REQUESTS
from coachman.worker.wsgi import shared_tally
from coachman.worker.wsgi.engine import Engine
from coachman.worker.wsgi.saturation import READING_AHEAD, WRITE_INTERVAL, Saturation

BRIEF, LONG = 20_000, 2_000_000
"""Nanoseconds of a call."""


class Turns:
    """The loop's turns of an engine with two threads, at moments that the test decides."""

    def __init__(self, engine: Engine) -> None:
        self.now = 1_000 * WRITE_INTERVAL
        self._engine = engine
        self._pool = engine.begin_pool()
        self._saturation: Saturation = engine._saturation

    def begin_call(self) -> tuple[object, int]:
        """Have a call of the application begin."""
        key = object()
        return key, self._engine.tally.begin(key, b"GET /")

    def calls(self, count: int, duration: int) -> None:
        """Have so many calls of the application begin and end, each `duration` nanoseconds long."""
        for _ in range(count):
            key, start = self.begin_call()
            self.now += duration
            self._engine.tally.end(key, start, "200 OK")

    def end(self) -> None:
        """End a turn, long after the one before."""
        self.now += 2 * WRITE_INTERVAL
        self._engine.turn_began = self.now
        self._saturation.look(self._pool)

    def may_read_ahead(self) -> bool:
        """Begin a turn."""
        self._engine.turn_began = self.now
        return self._saturation.may_read_ahead()


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise AssertionError("nothing calls it")

    engine = Engine(application, WorkerConfig(threads=2))
    turns = Turns(engine)
    monkeypatch.setattr(shared_tally, "monotonic_ns", lambda: turns.now)
    yield turns
    engine.close()


def test_nothing_is_read_ahead_before_calls_have_proven_to_be_brief(turns: Turns) -> None:
    turns.calls(AVERAGED_REQUESTS - 1, BRIEF)
    turns.end()
    assert not turns.may_read_ahead()
    turns.calls(AVERAGED_REQUESTS, BRIEF)
    assert not turns.may_read_ahead(), "what calls take is looked at once in a while"
    turns.end()
    assert turns.may_read_ahead()


def test_nothing_is_read_ahead_for_calls_that_are_long(turns: Turns) -> None:
    turns.calls(2 * AVERAGED_REQUESTS, LONG)
    turns.end()
    assert not turns.may_read_ahead()


def test_what_is_read_ahead_ends_with_the_calls_being_brief(turns: Turns) -> None:
    turns.calls(AVERAGED_REQUESTS, BRIEF)
    turns.end()
    assert turns.may_read_ahead()
    turns.calls(AVERAGED_REQUESTS, LONG)
    turns.end()
    assert not turns.may_read_ahead()


def test_nothing_is_read_ahead_while_a_call_turns_out_to_be_long_after_all(turns: Turns) -> None:
    turns.calls(AVERAGED_REQUESTS, BRIEF)
    turns.end()
    turns.begin_call()
    turns.now += READING_AHEAD - 1
    assert turns.may_read_ahead()
    turns.begin_call()
    turns.now += 1
    assert not turns.may_read_ahead(), "the oldest call is what counts"
