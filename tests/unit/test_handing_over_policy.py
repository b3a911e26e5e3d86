"""When connections go into the handoff queue, decided from numbers alone."""

from __future__ import annotations

import pytest

from coachman.policy.handing_over import (
    AVERAGED_REQUESTS,
    MOVING_SECONDS,
    MOVING_SHARE,
    PATIENCE_SECONDS,
    AverageCall,
    moving_from_a_late_loop,
    worth_handing_over,
)

LONG, BRIEF = 0.01, 0.0001


def test_connections_move_where_calls_are_long_or_somebody_is_idle() -> None:
    assert worth_handing_over(average_call=0.001, idle_siblings=0)
    assert worth_handing_over(average_call=0.00002, idle_siblings=1)
    assert not worth_handing_over(average_call=0.00002, idle_siblings=0)


@pytest.mark.parametrize(
    ("late", "average_call", "siblings", "idle_siblings", "moved"),
    [
        (0.1, LONG, 1, 1, 50),
        (0.1, LONG, 1, 0, 50),
        (0.1, BRIEF, 1, 1, 50),
        (0.1, BRIEF, 1, 0, 0),
        (0.1, LONG, 0, 0, 0),
        (PATIENCE_SECONDS, LONG, 1, 1, 1),
        (PATIENCE_SECONDS * 0.9, LONG, 1, 1, 0),
    ],
)
def test_a_late_loop_gives_connections_away(
    late: float, average_call: float, siblings: int, idle_siblings: int, moved: int
) -> None:
    assert moved == moving_from_a_late_loop(
        late=late, average_call=average_call, siblings=siblings, idle_siblings=idle_siblings
    )


@pytest.mark.parametrize("late", [0.01, 0.1, 1.0])
def test_moving_takes_a_small_share_of_the_time_that_was_lost(late: float) -> None:
    moved = moving_from_a_late_loop(late=late, average_call=LONG, siblings=1, idle_siblings=1)
    assert moved * MOVING_SECONDS <= late * MOVING_SHARE * 1.001


def test_the_average_is_that_of_late() -> None:
    average = AverageCall()
    assert average.seconds(0, 0) == 0.0
    assert average.seconds(10, 10_000_000) == pytest.approx(0.001)
    assert average.seconds(11, 900_000_000) == pytest.approx(0.001), "too few to say otherwise"
    after = 10 + AVERAGED_REQUESTS
    assert average.seconds(after, 10_000_000 + AVERAGED_REQUESTS * 5_000_000) == pytest.approx(0.005)
