"""What a worker with threads says of its requests on the scoreboard, and when."""

from __future__ import annotations

from time import monotonic_ns

import pytest

from coachman.protocol.scoreboard import CONNECTIONS, SlotView, view_of
from coachman.unix.scoreboard import private_cells
from coachman.worker.wsgi.shared_tally import SharedTally
from coachman.worker.wsgi.tally import NOTABLE, Tally


def shared() -> SharedTally:
    return SharedTally(Tally(private_cells(), lambda _took: None))


def view(tally: Tally) -> SlotView:
    return view_of(tally.cells.tolist())


def test_the_oldest_request_is_the_one_that_is_shown() -> None:
    tally = shared()
    first, second = object(), object()
    start = tally.begin(first, b"GET /first")
    tally.begin(second, b"GET /second")
    shown = view(tally)
    assert (shown.in_flight, shown.request_line) == (2, b"GET /first")
    assert shown.oldest_start == start / 1e9


def test_a_request_that_follows_an_ended_one_is_shown_in_its_place() -> None:
    tally = shared()
    ended, stays, follows = object(), object(), object()
    start = tally.begin(ended, b"GET /ended")
    tally.begin(stays, b"GET /stays")
    tally.end(ended, start, "200 OK")
    tally.begin(follows, b"GET /follows")
    shown = view(tally)
    assert (shown.in_flight, shown.request_line) == (2, b"GET /stays")


def test_a_thread_that_goes_to_wait_leaves_nothing_unwritten() -> None:
    tally = shared()
    key = object()
    tally.end(key, tally.begin(key, b"GET /"), "404 Not Found")
    assert tally.unwritten
    tally.write()
    shown = view(tally)
    assert (shown.in_flight, shown.oldest_start) == (0, None)
    assert (shown.counters.requests, shown.counters.statuses) == (1, (0, 0, 0, 1, 0))


def test_a_request_that_ends_with_its_connection_is_written_with_it() -> None:
    tally = shared()
    key = object()
    tally.end(key, tally.begin(key, b"GET /"), "200 OK")
    tally.show(CONNECTIONS, lambda: 0)
    assert view(tally).counters.requests == 1


def test_totals_hold_what_is_not_written_yet() -> None:
    tally = shared()
    key = object()
    tally.end(key, tally.begin(key, b"GET /"), "200 OK")
    assert tally.totals()[0] == 1
    assert view(tally).counters.requests == 0


@pytest.mark.parametrize("kind", ["of the loop", "of threads"])
def test_a_request_that_was_answered_late_is_counted_while_it_goes_on(kind: str) -> None:
    tally = shared() if kind == "of threads" else Tally(private_cells(), lambda _took: None)
    before, late = object(), object()
    tally.end(before, tally.begin(before, b"GET /before"), "200 OK")
    tally.count_late(tally.begin(late, b"GET /late"), "504 Gateway Timeout")
    shown = view(tally)
    assert (shown.counters.requests, shown.counters.statuses) == (2, (0, 1, 0, 0, 1))
    assert (shown.in_flight, shown.request_line) == (1, b"GET /late")
    tally.leave(late)
    shown = view(tally)
    assert (shown.counters.requests, shown.counters.statuses) == (2, (0, 1, 0, 0, 1))
    assert (shown.in_flight, shown.oldest_start) == (0, None)


def test_who_comes_back_late_is_said_to_have_held_up_the_loop() -> None:
    took: list[int] = []
    tally = Tally(private_cells(), took.append)
    tally.now = monotonic_ns() - 2 * NOTABLE
    key = object()
    tally.count_late(tally.begin(key, b"GET /late"), "504 Gateway Timeout")
    assert took == []
    tally.leave(key)
    assert took[0] > 2 * NOTABLE
