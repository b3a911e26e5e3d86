"""What fails in the same way again and again is not a line each time."""

from __future__ import annotations

import errno
import os

import pytest

from coachman.policy.exhaustion import obstacle
from coachman.policy.repetition import QUIET_SECONDS, Repetition, times_more


def test_the_first_is_said_and_then_one_a_minute_with_a_count() -> None:
    repetition = Repetition()
    said = [repetition.kept_quiet("full", now) for now in (0.0, 1.0, QUIET_SECONDS - 1, QUIET_SECONDS)]
    assert said == [0, None, None, 2]
    assert repetition.kept_quiet("full", QUIET_SECONDS + 1) is None


def test_something_else_is_said_at_once() -> None:
    repetition = Repetition()
    assert repetition.kept_quiet("full", 0.0) == 0
    assert repetition.kept_quiet("full", 1.0) is None
    assert repetition.kept_quiet("empty", 2.0) == 0, "what was not said of the other does not count for it"
    assert repetition.kept_quiet("full", 3.0) == 0


def test_when_it_is_over_the_next_is_a_first_again() -> None:
    repetition = Repetition()
    repetition.kept_quiet("full", 0.0)
    repetition.kept_quiet("full", 1.0)
    assert repetition.over() == 1
    assert repetition.kept_quiet("full", 2.0) == 0


def test_a_count_is_part_of_the_line_where_there_is_one() -> None:
    assert times_more(0) == ""
    assert times_more(3) == " (3 more since this was last said)"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_has_run_out_is_named_with_the_way_out(number: int) -> None:
    said = obstacle(OSError(number, os.strerror(number)))
    assert said.startswith(f"{os.strerror(number)}; ")


def test_any_other_error_is_left_as_it_is() -> None:
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/nowhere")
    assert obstacle(error) == str(error)
    assert obstacle(OSError("without a number")) == "without a number"
