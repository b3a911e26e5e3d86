"""The vocabulary of the control socket."""

import pytest

from coachman.protocol.control_socket import ARGUMENTS, LONGEST_TEXT, LogLines, complaint_about


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_request_has_as_many_arguments_as_the_table_says(name: str) -> None:
    assert complaint_about([name, *[""] * ARGUMENTS[name]]) == ""
    assert "arguments, not" in complaint_about([name, *[""] * (ARGUMENTS[name] + 1)])


def test_an_unknown_request_is_named_but_not_all_of_it() -> None:
    assert complaint_about(["x" * 1000]).startswith(f"there is no request '{'x' * 40}'; there are status, ")


def test_an_answer_has_the_last_lines_that_there_is_room_for() -> None:
    line = "x" * 99 + "\n"
    found = LogLines.last_of(line * (LONGEST_TEXT // 100) + line, 7)
    assert found.text == line * (LONGEST_TEXT // 100)
    assert found.skipped == 8
    assert LogLines.last_of(line, 7) == LogLines(line, 7)


def test_a_line_that_there_is_no_room_for_is_left_out() -> None:
    assert LogLines.last_of("first\n" + "x" * LONGEST_TEXT + "\n") == LogLines("", 2)
    assert LogLines.last_of("x" * (LONGEST_TEXT - 1) + "\n").skipped == 0
