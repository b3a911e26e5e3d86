from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.policy.overload import surplus
from coachman.policy.scaling import GROW_AFTER, Bounds, Demand, Scaling, affordable, scaled_to

BOUNDS: Final = Bounds(least=2, most=8, threads=1, idle_time=60.0)
MIB: Final = 2**20


def looked(
    scaling: Scaling, *moments: tuple[float, int, int], bounds: Bounds = BOUNDS, ready: int | None = None
) -> Scaling:
    """Return what is wanted after looks, each at a time with so many requests in flight and waiting."""
    for at, in_flight, waiting in moments:
        there = scaling.wanted if ready is None else ready
        scaling = scaled_to(scaling, Demand(at, there, in_flight, waiting), bounds)
    return scaling


def test_a_sudden_crowd_is_served_by_all_within_a_few_looks() -> None:
    crowd = [(look * 0.1, 2, 60) for look in range(4)]
    assert [looked(Scaling(2), *crowd[: n + 1]).wanted for n in range(4)] == [2, 8, 8, 8]


def test_a_huge_crowd_is_met_in_steps() -> None:
    bounds = Bounds(least=2, most=100, threads=1, idle_time=60.0)
    crowd = [(look * 0.1, 2, 600) for look in range(5)]
    assert [looked(Scaling(2), *crowd[: n + 1], bounds=bounds).wanted for n in range(5)] == [
        2,
        8,
        32,
        100,
        100,
    ]


def test_a_moments_crowd_is_no_demand() -> None:
    assert looked(Scaling(2), (0.0, 2, 60), (0.1, 2, 0), (0.2, 2, 60)).wanted == 2


def test_what_is_being_started_is_waited_for() -> None:
    assert looked(Scaling(4), (0.0, 2, 60), (5.0, 2, 60), ready=3).wanted == 4


def test_no_more_are_wanted_than_there_are_requests() -> None:
    assert looked(Scaling(2), (0.0, 2, 1), (GROW_AFTER, 2, 1)).wanted == 3


def test_a_worker_with_threads_takes_as_many() -> None:
    bounds = Bounds(least=1, most=8, threads=10, idle_time=60.0)
    assert looked(Scaling(1), (0.0, 10, 5), (0.1, 10, 5), bounds=bounds).wanted == 2


def test_workers_go_when_they_were_not_needed_for_long_enough() -> None:
    grown = Scaling(5, (0.0, 0.0, 0.0))
    busy = looked(grown, (59.0, 3, 0))
    assert busy.wanted == 5
    assert looked(busy, (60.0, 0, 0)).wanted == 3
    assert looked(busy, (60.0, 0, 0), (118.9, 0, 0)).wanted == 3
    assert looked(busy, (60.0, 0, 0), (119.0, 0, 0)).wanted == 2


def test_other_bounds_hold_from_the_next_look_on() -> None:
    assert looked(Scaling(2), (0.0, 0, 0), bounds=Bounds(4, 8, 1, 60.0)).wanted == 4
    assert looked(Scaling(8, (0.0,) * 6), (0.0, 0, 0), bounds=Bounds(1, 3, 1, 60.0)).wanted == 3


looks = st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 50), st.integers(0, 50)), max_size=40)


@given(looks=looks, least=st.integers(1, 4), more=st.integers(0, 6), threads=st.integers(0, 3))
def test_whatever_comes_the_bounds_hold_and_calm_brings_the_least(
    looks: list[tuple[float, int, int]], least: int, more: int, threads: int
) -> None:
    bounds = Bounds(least, least + more, threads, 60.0)
    scaling, now = Scaling(least), 0.0
    for passed, in_flight, waiting in looks:
        now += passed
        scaling = looked(scaling, (now, in_flight, waiting), bounds=bounds)
        assert least <= scaling.wanted <= least + more
        assert len(scaling.needed_at) == scaling.wanted - least
    assert looked(scaling, (now + 61.0, 0, 0), bounds=bounds).wanted == least


@pytest.mark.parametrize(
    ("wanted", "workers", "memory", "budget", "allowed"),
    [
        (8, 2, 100 * MIB, 0, 8),
        (8, 2, 100 * MIB, 400 * MIB, 8),
        (8, 2, 100 * MIB, 260 * MIB, 5),
        (8, 2, 100 * MIB, 110 * MIB, 2),
        (8, 4, 500 * MIB, 400 * MIB, 3),
        (8, 4, 500 * MIB, 100 * MIB, 2),
        (8, 0, 0, 400 * MIB, 8),
    ],
)
def test_the_memory_bounds_the_number(
    wanted: int, workers: int, memory: int, budget: int, allowed: int
) -> None:
    assert affordable(wanted, least=2, workers=workers, memory=memory, budget=budget) == allowed


@pytest.mark.parametrize(
    ("queues", "elsewhere", "most", "count"),
    [
        ([5], 0, 0, 0),
        ([5], 0, 5, 0),
        ([7], 0, 5, 2),
        ([4, 4], 0, 5, 3),
        ([None, 7], 0, 5, 2),
        ([], 0, 5, 0),
        ([5], 2, 5, 2),
        ([2], 9, 5, 2),
        ([2], 9, 0, 0),
    ],
)
def test_what_is_over_the_bound_is_turned_away(
    queues: list[int | None], elsewhere: int, most: int, count: int
) -> None:
    assert surplus(queues, most, elsewhere=elsewhere) == count
