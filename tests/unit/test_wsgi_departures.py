"""When connections leave a worker that has others to leave them to, and when it has not."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from math import inf

import pytest

from coachman.policy.handing_over import hopes_until
from coachman.worker.handoff import Handoff
from coachman.worker.wsgi import departures

from .worker_group import Environ, Group, Start, Worker, answer, ask, fill, make_busy, wait_until


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def calls_are_brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: where they are long, the queue is of use to a lone worker, too."""
    monkeypatch.setattr(departures, "WORTHWHILE_SECONDS", inf)


def wait_until_nothing_is_planned(worker: Worker) -> None:
    """Return once a connection waits for a thread of `worker`, whose loop has nothing to do about it."""
    planned: list[float] = [0.0]

    def look() -> None:
        pool = worker.engine.pool
        assert pool is not None
        planned[0] = worker.engine._saturation.next_look(pool) if pool.has_unread() else 0.0

    def nothing_is_planned() -> bool:
        worker.do(look)
        return planned[0] == inf

    wait_until(nothing_is_planned, worker)


def test_a_lone_worker_hears_of_a_sibling_and_does_not_look_for_one(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []
    is_alone = Handoff.is_alone

    def noted(handoff: Handoff) -> bool:
        looks.append(is_alone(handoff))
        return looks[-1]

    monkeypatch.setattr(Handoff, "is_alone", noted)
    busy = group.worker(2)
    client = group.connect()
    ask(client)
    assert answer(client) == busy.name
    fill(group, busy)
    ask(client)
    wait_until_nothing_is_planned(busy)
    for _ in range(10):  # turns of the loop, for other reasons
        busy.do(lambda: None)
    assert looks == [True]
    sibling = group.worker(2, listens=False)
    assert answer(client) == sibling.name


def test_a_worker_whose_sibling_has_gone_hears_of_the_next_one(group: Group) -> None:
    busy = group.worker(2)
    client = group.connect()
    ask(client)
    assert answer(client) == busy.name
    fill(group, busy)
    for _ in range(2):
        gone = group.worker(2, listens=False)
        gone.drain(hand_over=True)
        gone.wait_for_end()
    busy.do(lambda: busy.handoff.is_alone())  # or the last look would count for a moment
    ask(client)
    wait_until_nothing_is_planned(busy)
    sibling = group.worker(2, listens=False)
    assert answer(client) == sibling.name


def test_a_lone_worker_uses_the_queue_as_soon_as_it_knows_of_long_calls(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = group.worker(2)
    long, brief = group.connect(), group.connect()
    for client in (long, brief):
        ask(client)
        assert answer(client) == alone.name
    fill(group, alone)
    ask(long, b"/gate")
    wait_until_nothing_is_planned(alone)
    assert alone.handed_over == 0
    expectation = alone.engine.tally.expectation
    assert expectation is not None
    expectation.note(b"GET /gate", 1.0)
    expectation.note(b"GET /", 0.001)
    monkeypatch.setattr(departures, "WORTHWHILE_SECONDS", 0.0)
    ask(brief)
    wait_until(lambda: alone.handed_over == 2, alone)
    group.gate.let_through(1)
    assert answer(brief) == alone.name
    group.gate.wait_for_arrival()


def test_a_lone_worker_keeps_those_that_wait_behind_a_long_call_in_its_loop(group: Group) -> None:
    alone = group.worker(1)
    original, pause = alone.application, threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            pause.wait(0.01)
        return original(environ, start_response)

    alone.engine.application = application
    clients = [group.connect() for _ in range(5)]
    for client in clients:
        ask(client)
        assert answer(client) == alone.name
    (busy,) = make_busy(group, 1)
    for client in clients:  # all of these are found in one turn, when the loop goes on
        ask(client, b"/slow")
    group.gate.open()
    assert [answer(client) for client in (busy, *clients)] == [alone.name] * 6
    assert alone.view().counters.handed_over == 0


def test_half_of_a_drain_is_hoped_for_room() -> None:
    assert hopes_until(100.0, 110.0) == 105.0
    assert hopes_until(100.0, 100.0) == 100.0
