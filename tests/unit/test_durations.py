import pytest

from coachman.supervisor.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 ms"), (0.00416, "4.2 ms"), (0.31, "310 ms"), (1.534, "1.53 s"), (90, "90.00 s")],
)
def test_a_duration_has_a_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text
