"""How a worker that is to end divides its time."""

from __future__ import annotations

import pytest

from coachman.policy.draining import drain_plan


def test_nearly_all_of_a_long_drain_belongs_to_the_requests_in_hand() -> None:
    plan = drain_plan(100.0, 10.0)
    assert plan == (108.0, 109.5, 110.0)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 3600.0])
def test_the_moments_come_in_order_and_none_after_the_deadline(seconds: float) -> None:
    plan = drain_plan(5.0, seconds)
    assert 5.0 <= plan.farewell_at <= plan.give_up_at <= plan.deadline == 5.0 + seconds
