from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.config.model import Bounds
from coachman.policy.body_pace import BODY_RATE
from coachman.worker.wsgi.timeouts import (
    LINGER_TIMEOUT,
    Agenda,
    Phase,
    Wait,
    deadline,
    overdue,
    shortest,
)

BOUNDS = Bounds(header_timeout=20, body_timeout=60, keep_alive_timeout=75, write_timeout=30)
UNBOUNDED = Bounds(header_timeout=0, body_timeout=0, keep_alive_timeout=0, write_timeout=0)


@pytest.mark.parametrize(
    ("wait", "moment"),
    [
        (Wait(Phase.IDLE, 100), 175),
        (Wait(Phase.HEAD, 100, progress=119), 120),
        (Wait(Phase.BODY, 100, progress=100), 160),
        (Wait(Phase.BODY, 100, progress=130, received=10), 160 + 10 / BODY_RATE),
        (Wait(Phase.BODY, 100, progress=130, received=1_000_000), 190),
        (Wait(Phase.RESPONSE, 100, progress=150), 180),
        (Wait(Phase.LINGER, 100, progress=105), 100 + LINGER_TIMEOUT),
    ],
)
def test_each_phase_has_its_deadline(wait: Wait, moment: float) -> None:
    assert deadline(wait, BOUNDS) == moment


@pytest.mark.parametrize("phase", set(Phase) - {Phase.LINGER})
def test_a_timeout_of_zero_is_none(phase: Phase) -> None:
    assert deadline(Wait(phase, 100), UNBOUNDED) == inf


@pytest.mark.parametrize("phase", Phase)
def test_there_are_words_for_every_phase(phase: Phase) -> None:
    assert "seconds" in overdue(phase, BOUNDS)


def test_a_byte_now_and_then_is_no_progress_for_ever() -> None:
    now, received = 0.0, 0
    while now < deadline(Wait(Phase.BODY, 0.0, now, received), BOUNDS):
        now += 5
        received += 1
    assert now == 65


def test_looks_are_as_frequent_as_the_shortest_timeout() -> None:
    assert shortest(BOUNDS) == LINGER_TIMEOUT
    assert shortest(Bounds(header_timeout=3)) == 3
    assert shortest(UNBOUNDED) == LINGER_TIMEOUT


def test_keys_come_up_in_their_step() -> None:
    agenda = Agenda(1.0)
    agenda.add(1, 10.2)
    agenda.add(2, 10.7)
    agenda.add(3, 12.0)
    assert agenda.next == 11
    assert agenda.due(10.9, at_most=10) == []
    assert sorted(agenda.due(11, at_most=10)) == [1, 2]
    assert agenda.next == 13
    assert agenda.due(20, at_most=10) == [3]
    assert agenda.next == inf


def test_what_is_discarded_does_not_come_up() -> None:
    agenda = Agenda(1.0)
    agenda.add(1, 10)
    agenda.discard(1)
    agenda.discard(1)
    assert agenda.due(20, at_most=10) == []
    agenda.add(1, 30)
    assert agenda.due(31, at_most=10) == [1]


@given(st.dictionaries(st.integers(0, 50), st.floats(0, 100)), st.lists(st.floats(0, 200)))
def test_nothing_comes_early_or_more_than_a_step_late(keys: dict[int, float], looks: list[float]) -> None:
    agenda = Agenda(0.5)
    for key, moment in keys.items():
        agenda.add(key, moment)
    left = dict(keys)
    for now in sorted(looks):
        for key in agenda.due(now, at_most=100):
            assert left.pop(key) <= now
        assert all(now < moment + 0.5 for moment in left.values())
        assert agenda.next <= min((moment + 0.5 for moment in left.values()), default=inf)


def test_what_is_due_is_taken_a_part_at_a_time() -> None:
    agenda = Agenda(1.0)
    for key in range(25):
        agenda.add(key, 10.0 if key < 20 else 12.0)
    taken = [agenda.due(11, at_most=8) for _ in range(3)]
    assert [len(part) for part in taken] == [8, 8, 4]
    assert sorted(key for part in taken for key in part) == list(range(20))
    assert agenda.due(11, at_most=8) == []
    assert agenda.next > 11
    assert sorted(agenda.due(14, at_most=8)) == list(range(20, 25))
    assert agenda.next == inf
