from __future__ import annotations

from typing import Final

import pytest

from coachman.policy.limits import (
    COUNT_PERIOD,
    MEMORY_PERIOD,
    SHORTEST_PERIOD,
    Limits,
    WorkerUse,
    check_period,
    excess,
    ping_period,
)

MIB: Final = 2**20


@pytest.mark.parametrize(
    ("limits", "within", "beyond", "key"),
    [
        (Limits(requests=10), WorkerUse(requests=9), WorkerUse(requests=10), "max-requests"),
        (Limits(memory=MIB), WorkerUse(memory=MIB), WorkerUse(memory=MIB + 1), "max-worker-memory"),
        (Limits(age=60), WorkerUse(age=59.9), WorkerUse(age=60), "max-worker-age"),
        (Limits(silence=60), WorkerUse(silent_for=59), WorkerUse(silent_for=60), "heartbeat-timeout"),
        (
            Limits(request_time=30),
            WorkerUse(idle_for=0, oldest_request=31.9, silent_for=31.9),
            WorkerUse(idle_for=0, oldest_request=32.1, silent_for=32.1),
            "request-timeout",
        ),
    ],
)
def test_a_limit_is_noticed(limits: Limits, within: WorkerUse, beyond: WorkerUse, key: str) -> None:
    assert excess(within, limits) is None
    found = excess(beyond, limits)
    assert found is not None
    assert found.key == key
    assert excess(beyond, Limits()) is None


def test_memory_that_was_not_looked_at_exceeds_nothing() -> None:
    assert excess(WorkerUse(memory=None), Limits(memory=1)) is None


def test_a_long_request_in_the_loop_is_no_silence() -> None:
    busy = WorkerUse(idle_for=0, oldest_request=3600, silent_for=3600)
    assert excess(busy, Limits(silence=60)) is None


def test_after_a_long_request_the_ping_that_has_waited_for_it_gets_its_time() -> None:
    limits = Limits(silence=60)
    assert excess(WorkerUse(silent_for=3600, idle_for=59), limits) is None
    assert excess(WorkerUse(silent_for=3660, idle_for=60), limits) is not None


def test_a_long_request_beside_a_loop_that_turns_is_left_to_the_workers_own_watchdog() -> None:
    streaming = WorkerUse(idle_for=0, oldest_request=3600, silent_for=0)
    assert excess(streaming, Limits(silence=60, request_time=30)) is None


def test_a_worker_that_a_signal_has_stopped_is_silent_whatever_it_has_in_hand() -> None:
    found = excess(WorkerUse(idle_for=0, silent_for=61, stopped=True), Limits(silence=60))
    assert found is not None
    assert found.stuck


def test_only_what_is_stuck_is_aborted() -> None:
    spent = excess(WorkerUse(requests=10), Limits(requests=10))
    assert spent is not None
    assert not spent.stuck


@pytest.mark.parametrize(
    ("limits", "ages", "period"),
    [
        (Limits(), [5.0], None),
        (Limits(requests=1), [5.0], COUNT_PERIOD),
        (Limits(memory=1), [5.0], MEMORY_PERIOD),
        (Limits(memory=1, requests=1), [5.0], COUNT_PERIOD),
        (Limits(age=60), [5.0, 20.0], 40.0),
        (Limits(age=60), [60.0], SHORTEST_PERIOD),
        (Limits(silence=60), [5.0], 30.0),
        (Limits(request_time=30), [5.0], 7.5),
    ],
)
def test_workers_are_looked_at_no_more_often_than_their_limits_need(
    limits: Limits, ages: list[float], period: float | None
) -> None:
    assert check_period(limits, ages) == period


def test_nobody_is_pinged_for_nothing() -> None:
    assert ping_period(Limits(requests=1, memory=1, age=1)) is None
