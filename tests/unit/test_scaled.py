from __future__ import annotations

import pytest

from coachman.config.model import ProcessCount
from coachman.config.values import scaled
from coachman.errors import ConfigurationError


@pytest.mark.parametrize(
    ("count", "change", "result"),
    [
        (ProcessCount(2, 2), "4", "4"),
        (ProcessCount(2, 2), "2-8", "2-8"),
        (ProcessCount(2, 8), "+1", "3-9"),
        (ProcessCount(2, 8), "-1", "1-7"),
        (ProcessCount(3, 3), "-2", "1"),
    ],
)
def test_a_number_of_workers_is_changed(count: ProcessCount, change: str, result: str) -> None:
    assert str(scaled(count, change)) == result


@pytest.mark.parametrize("change", ["", "-1", "+", "+0", "many", "0", "+5000"])
def test_none_and_nonsense_are_refused(change: str) -> None:
    with pytest.raises(ConfigurationError):
        scaled(ProcessCount(1, 1), change)
