"""Numbers of things, in every line that a person reads."""

from __future__ import annotations

import pytest

from coachman.counted import counted
from coachman.policy.limits import Excess, Limits, WorkerUse, excess
from coachman.protocol.unwritten import Unwritten


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "worker", "0 workers"),
        (1, "worker", "1 worker"),
        (2, "worker", "2 workers"),
        ("1", "process", "1 process"),
        ("1-4", "process", "1-4 processes"),
        (1.0, "second", "1 second"),
        (0.5, "second", "0.5 seconds"),
        (1234567, "byte", "1234567 bytes"),
    ],
)
def test_one_is_no_plural(number: float | str, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_a_single_line_that_is_missing_is_spoken_of_as_one() -> None:
    unwritten = Unwritten()
    unwritten.keep(b"a\n", 0)
    assert (str(unwritten), unwritten.are) == ("1 line (2 bytes)", "is")
    unwritten.keep(b"b\n", 0)
    assert (str(unwritten), unwritten.are) == ("2 lines (4 bytes)", "are")


def test_a_worker_that_may_answer_a_single_request_is_replaced_for_that() -> None:
    assert excess(WorkerUse(requests=1), Limits(requests=1)) == Excess(
        "max-requests", "it has answered 1 request"
    )
