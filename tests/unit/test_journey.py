"""The journey of a start, without a process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol.journey import TRANSITIONS, Journey, Stage, Step


def travelled(*steps: tuple[Step, float]) -> Journey:
    journey = Journey.begin(0.0)
    for step, at in steps:
        journey = journey.enter(step, at)
    return journey


def test_every_step_is_in_the_table_and_leads_to_the_end_or_is_it() -> None:
    assert set(TRANSITIONS) == set(Step)
    assert [step for step, following in TRANSITIONS.items() if not following] == [Step.READY]
    assert set().union(*TRANSITIONS.values()) == set(Step) - {Step.PREPARE}


def test_each_step_lasts_until_the_next() -> None:
    journey = travelled((Step.EXEC, 1.0), (Step.HANDSHAKE, 3.0), (Step.LOAD, 3.5), (Step.READY, 10.0))
    assert journey.stages() == (
        Stage(Step.PREPARE, 1.0),
        Stage(Step.EXEC, 2.0),
        Stage(Step.HANDSHAKE, 0.5),
        Stage(Step.LOAD, 6.5),
    )
    assert journey.seconds == 10.0


def test_a_journey_that_fails_ends_in_its_step() -> None:
    journey = travelled((Step.EXEC, 1.0)).end(4.0)
    assert journey.step is Step.EXEC
    assert journey.stages()[-1] == Stage(Step.EXEC, 3.0)
    assert journey.end(9.0) == journey
    with pytest.raises(ValueError, match="'handshake' cannot follow 'exec'"):
        journey.enter(Step.HANDSHAKE, 5.0)


def test_a_step_that_cannot_follow_is_refused() -> None:
    with pytest.raises(ValueError, match="'listen' cannot follow 'prepare'"):
        Journey.begin(0.0).enter(Step.LISTEN, 1.0)


def test_a_step_that_is_told_late_takes_no_negative_time() -> None:
    journey = travelled((Step.EXEC, 5.0), (Step.HANDSHAKE, 4.0))
    assert journey.stages()[1] == Stage(Step.EXEC, 0.0)


def test_the_process_knows_better_when_it_began() -> None:
    journey = travelled((Step.EXEC, 1.0), (Step.HANDSHAKE, 2.0), (Step.LOAD, 9.0), (Step.READY, 9.1))
    better = journey.correct(Step.LOAD, 3.0)
    assert better.stages()[2] == Stage(Step.HANDSHAKE, 1.0)
    assert better.stages()[3].seconds == pytest.approx(6.1)
    assert journey.correct(Step.LOAD, 0.0).stages()[2] == Stage(Step.HANDSHAKE, 0.0)
    assert journey.correct(Step.LOAD, 99.0).stages()[3] == Stage(Step.LOAD, 0.0)
    with pytest.raises(ValueError, match="'listen' was not taken"):
        journey.correct(Step.LISTEN, 3.0)


@given(st.lists(st.tuples(st.sampled_from(Step), st.floats(0, 1000))), st.floats(0, 2000))
def test_the_times_of_the_steps_add_up(told: list[tuple[Step, float]], end: float) -> None:
    journey = Journey.begin(0.0)
    for step, at in told:
        try:
            journey = journey.enter(step, at)
        except ValueError:
            continue
    journey = journey.end(end)
    assert sum(stage.seconds for stage in journey.stages()) == pytest.approx(journey.seconds)
    assert all(stage.seconds >= 0 for stage in journey.stages())
