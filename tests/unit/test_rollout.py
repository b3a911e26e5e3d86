"""The decisions about workers: examples, then whatever may happen in a simulated world."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.policy.generation import (
    GENERATION_TRANSITIONS,
    GenerationEvent,
    GenerationState,
    next_generation_state,
)
from coachman.policy.lifecycle import State
from coachman.policy.rollout import CallOff, Drain, PoolView, Start, WorkerView, next_steps

SPAWNING, READY, DRAINING, GONE = State.SPAWNING, State.READY, State.DRAINING, State.GONE


def pool(*workers: tuple[int, State], wanted: int = 2, surge: int = 1, **more: object) -> PoolView:
    """Return a pool whose workers are given by generation and state, with slots from 1 on."""
    views = tuple(WorkerView(slot, *worker) for slot, worker in enumerate(workers, 1))
    view = PoolView(workers=views, wanted=wanted, surge=surge, serving=1)
    return replace(view, **more)  # type: ignore[arg-type]  # whatever the test names


def expire(view: PoolView, *slots: int) -> PoolView:
    return replace(
        view, workers=tuple(replace(worker, expired=worker.slot in slots) for worker in view.workers)
    )


def test_the_first_worker_of_all_goes_alone() -> None:
    assert next_steps(pool(serving=None, coming=1, wanted=8)) == [Start(1, 1)]
    assert next_steps(pool((1, SPAWNING), serving=None, coming=1, wanted=8)) == []


def test_then_the_others_come_some_at_a_time() -> None:
    first = pool((1, READY), wanted=8, starts_at_once=3)
    assert next_steps(first) == [Start(2, 1), Start(3, 1), Start(4, 1)]


def test_a_dead_worker_is_replaced_in_its_slot() -> None:
    without_the_first = PoolView(workers=(WorkerView(2, 1, READY),), wanted=2, surge=1, serving=1)
    assert next_steps(without_the_first) == [Start(1, 1)]


def test_a_worker_that_is_gone_keeps_its_slot_until_it_is_known_how_it_has_ended() -> None:
    assert next_steps(pool((1, GONE), (1, READY))) == []
    assert next_steps(pool((1, GONE), (1, READY), wanted=3)) == [Start(3, 1)]


def test_a_worker_that_drains_by_itself_is_replaced_before_it_has_ended() -> None:
    assert next_steps(pool((1, READY), (1, DRAINING))) == [Start(3, 1)]
    assert next_steps(pool((1, READY), (1, DRAINING), (1, SPAWNING))) == []
    assert next_steps(pool((1, DRAINING), (1, DRAINING))) == [Start(3, 1)], "surge bounds this as well"


def test_a_slot_that_rests_is_neither_filled_nor_made_up_for() -> None:
    assert next_steps(pool((1, READY), resting=(2,))) == []


def test_a_generation_that_comes_is_tried_beside_the_one_that_serves() -> None:
    both = pool((1, READY), (1, READY), coming=2)
    assert next_steps(both) == [Start(3, 2)]
    assert next_steps(pool((1, READY), (1, READY), (2, SPAWNING), coming=2)) == []
    assert next_steps(replace(both, coming_waits=True)) == []


def test_a_generation_that_comes_does_not_wait_for_starts_that_hang() -> None:
    hanging = pool(*[(1, SPAWNING)] * 4, wanted=4, coming=2)
    assert next_steps(hanging) == [Start(5, 2)]
    assert next_steps(replace(hanging, wanted=8)) == [Start(5, 2)]


def test_a_start_that_would_only_replace_a_worker_makes_room_for_the_generation_that_comes() -> None:
    half_way = pool((1, READY), (2, READY), (2, SPAWNING), serving=2, coming=3)
    assert next_steps(half_way) == [CallOff(3)]
    limit = expire(pool((1, READY), (1, READY), (1, SPAWNING), coming=2), 1)
    assert next_steps(limit) == [CallOff(3)]
    several = pool(*[(1, READY)] * 2, *[(1, SPAWNING)] * 2, surge=2, coming=2)
    assert next_steps(several) == [CallOff(4)], "one is enough"


def test_a_start_that_is_needed_or_not_in_the_way_is_not_called_off() -> None:
    assert next_steps(pool((1, READY), (1, DRAINING), (1, SPAWNING), coming=2)) == []
    assert next_steps(pool((1, READY), (1, READY), (1, SPAWNING))) == []
    assert next_steps(pool((1, READY), (1, READY), (1, SPAWNING), coming=2, coming_waits=True)) == []
    assert next_steps(pool((1, READY), (1, READY), (1, SPAWNING), surge=2, coming=2)) == [Start(4, 2)]
    assert next_steps(pool((1, READY), (1, READY), (1, SPAWNING), (2, SPAWNING), surge=2, coming=2)) == []


def test_a_generation_that_serves_replaces_the_others_one_for_one() -> None:
    old, fresh = (1, READY), (2, READY)
    assert next_steps(pool(old, old, fresh, serving=2)) == [Drain(1)]
    assert next_steps(pool((1, DRAINING), old, fresh, serving=2)) == []
    gone = PoolView(workers=(WorkerView(2, 1, READY), WorkerView(3, 2, READY)), wanted=2, surge=1, serving=2)
    assert next_steps(gone) == [Start(1, 2)]


def test_more_surge_replaces_more_at_a_time() -> None:
    workers = [(1, READY)] * 4 + [(2, READY)]
    assert next_steps(pool(*workers, wanted=4, surge=3, serving=2)) == [Start(6, 2), Start(7, 2), Drain(1)]


def test_what_an_earlier_generation_was_starting_is_called_off() -> None:
    assert next_steps(pool((1, READY), (1, SPAWNING), (2, READY), serving=2)) == [CallOff(2)]


def test_limits_are_acted_upon_one_worker_at_a_time() -> None:
    both = expire(pool((1, READY), (1, READY)), 1, 2)
    assert next_steps(both) == [Start(3, 1)]
    replaced = expire(pool((1, READY), (1, READY), (1, READY)), 1, 2)
    assert next_steps(replaced) == [Drain(1)]
    draining = expire(pool((1, DRAINING), (1, READY), (1, READY), surge=2), 1, 2)
    assert next_steps(draining) == []


def test_shrinking_takes_the_highest_slots() -> None:
    assert next_steps(pool(*[(1, READY)] * 4)) == [Drain(4), Drain(3)]


def test_every_state_of_a_generation_has_its_row() -> None:
    assert set(GENERATION_TRANSITIONS) == set(GenerationState)


def test_a_generation_that_serves_cannot_fail() -> None:
    with pytest.raises(ValueError, match="SERVING cannot see FAILED"):
        next_generation_state(GenerationState.SERVING, GenerationEvent.FAILED)


# The simulated world.


@dataclass
class World:
    """What the supervisor does with the decisions, without processes; every event is a method."""

    wanted: int
    surge: int
    workers: dict[int, WorkerView] = field(default_factory=dict)
    resting: set[int] = field(default_factory=set)
    serving: int | None = None
    coming: int | None = 1
    coming_waits: bool = False
    newest: int = 1
    most_wanted: int = 0
    """The largest `wanted` since the pool was last within its bounds."""

    def settle(self) -> None:
        """Act until nothing is left to decide; check what must hold on the way."""
        rounds = 0
        while steps := next_steps(self.view()):
            rounds += 1
            assert rounds < 100, f"no end of steps: {steps}"
            for step in steps:
                self.act(step)
        self.most_wanted = max(self.most_wanted, self.wanted)
        assert len(self.workers) <= self.most_wanted + self.surge
        if len(self.workers) <= self.wanted + self.surge:
            self.most_wanted = self.wanted

    def view(self) -> PoolView:
        return PoolView(
            workers=tuple(self.workers.values()),
            wanted=self.wanted,
            surge=self.surge,
            serving=self.serving,
            coming=self.coming,
            coming_waits=self.coming_waits,
            resting=tuple(self.resting),
        )

    def act(self, step: object) -> None:
        match step:
            case Start(slot, generation):
                assert slot not in self.workers
                assert slot not in self.resting
                assert generation in (self.serving, self.coming)
                self.workers[slot] = WorkerView(slot, generation, SPAWNING)
            case Drain(slot):
                worker = self.workers[slot]
                assert worker.state is READY
                self.workers[slot] = replace(worker, state=DRAINING)
                assert self.ready() >= self.wanted, "drained before there was another"
            case CallOff(slot):
                assert self.workers[slot].state is SPAWNING
                assert self.workers[slot].generation != self.newest
                del self.workers[slot]

    def ready(self) -> int:
        return sum(worker.state is READY for worker in self.workers.values())

    def pick(self, state: State, choice: int) -> WorkerView | None:
        found = [worker for worker in self.workers.values() if worker.state is state]
        return found[choice % len(found)] if found else None

    # Events. `choice` says which worker it happens to, where there are several.

    def becomes_ready(self, choice: int) -> None:
        if worker := self.pick(SPAWNING, choice):
            self.workers[worker.slot] = replace(worker, state=READY)
            if worker.generation == self.coming:
                self.serving, self.coming = self.coming, None
                self.resting.clear()

    def fails_to_start(self, choice: int) -> None:
        if worker := self.pick(SPAWNING, choice):
            del self.workers[worker.slot]
            if worker.generation != self.coming:
                self.resting.add(worker.slot)
            elif self.serving is None:
                self.coming_waits = True
            else:
                self.coming = None

    def dies(self, choice: int) -> None:
        if worker := self.pick(READY, choice):
            self.workers[worker.slot] = replace(worker, state=GONE)

    def drains_by_itself(self, choice: int) -> None:
        if worker := self.pick(READY, choice):
            self.workers[worker.slot] = replace(worker, state=DRAINING)

    def ends(self, choice: int) -> None:
        if worker := self.pick(DRAINING, choice):
            self.workers[worker.slot] = replace(worker, state=GONE)

    def is_explained(self, choice: int) -> None:
        if worker := self.pick(GONE, choice):
            del self.workers[worker.slot]
            if choice % 2:
                self.resting.add(worker.slot)

    def reaches_a_limit(self, choice: int) -> None:
        if worker := self.pick(READY, choice):
            self.workers[worker.slot] = replace(worker, expired=True)

    def restarts(self, _choice: int) -> None:
        self.newest += 1
        self.coming, self.coming_waits = self.newest, False

    def scales(self, choice: int) -> None:
        self.wanted = 1 + choice % 6

    def time_passes(self, _choice: int) -> None:
        self.resting.clear()
        self.coming_waits = False


EVENTS = (
    "becomes_ready",
    "fails_to_start",
    "dies",
    "drains_by_itself",
    "ends",
    "is_explained",
    "reaches_a_limit",
    "restarts",
    "scales",
    "time_passes",
)
happenings = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 11)), max_size=60)


@given(wanted=st.integers(1, 6), surge=st.integers(1, 3), happenings=happenings)
def test_whatever_happens_the_bounds_hold_and_calm_brings_the_newest_code(
    wanted: int, surge: int, happenings: list[tuple[str, int]]
) -> None:
    world = World(wanted, surge)
    world.settle()
    for name, choice in happenings:
        getattr(world, name)(choice)
        world.settle()

    tried = world.coming or world.serving
    for _ in range(200):
        for event in ("becomes_ready", "ends", "is_explained", "time_passes"):
            getattr(world, event)(0)
            world.settle()
    assert [worker.state for worker in world.workers.values()] == [READY] * world.wanted
    assert {worker.generation for worker in world.workers.values()} == {tried}
    assert not any(worker.expired for worker in world.workers.values())
