import pytest

from coachman.policy.backoff import (
    HEALTHY_AFTER,
    LONGEST_DELAY,
    failures_after_death,
    restart_delay,
)
from coachman.policy.lifecycle import TRANSITIONS, Event, State, next_state


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(State)


def test_a_worker_lives_from_spawning_to_gone() -> None:
    state = State.SPAWNING
    for event in (Event.READY, Event.DRAIN, Event.EXIT):
        state = next_state(state, event)
    assert state is State.GONE


@pytest.mark.parametrize(
    ("state", "event"),
    [(s, e) for s in State for e in Event if e not in TRANSITIONS[s]],
)
def test_an_event_that_cannot_happen_is_an_error(state: State, event: Event) -> None:
    with pytest.raises(ValueError, match=f"{state.name} cannot see {event.name}"):
        next_state(state, event)


def test_a_single_death_is_answered_at_once() -> None:
    assert restart_delay(failures_after_death(0, served_for=0.0)) == 0.0


def test_repeated_deaths_wait_longer_up_to_a_bound() -> None:
    assert [restart_delay(n) for n in range(1, 6)] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert restart_delay(12) == LONGEST_DELAY
    assert restart_delay(10_000) == LONGEST_DELAY


def test_health_makes_earlier_deaths_forgotten() -> None:
    assert failures_after_death(7, served_for=HEALTHY_AFTER) == 0
    assert failures_after_death(7, served_for=HEALTHY_AFTER - 1) == 8
