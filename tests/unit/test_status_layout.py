"""What `coachman status` shows on a terminal that is too small for all of it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group

from coachman.cli.status_layout import DISPENSABLE, chosen, columns, lines, shares
from coachman.cli.status_table import parts
from coachman.cli.status_view import COLUMNS, Row, Snapshot

from .test_status_view import status, worker


def row(number: int = 1, *, at_rest: bool = True, request: str = "") -> Row:
    cells = (str(number), "12345", "7", "ready", "59 min", "1234567", "1234", "12", "12", "123", "123 MiB")
    return Row((*cells, "100 %", request), at_rest)


def names(width: int, *rows: Row) -> list[str]:
    return [COLUMNS[place] for place, _ in columns(rows, width)]


def test_a_wide_terminal_has_every_column_and_a_request_has_all_that_is_left() -> None:
    found = columns([row(request="GET /" + "x" * 200)], 150)
    assert [COLUMNS[place] for place, _ in found] == list(COLUMNS)
    assert sum(width + 2 for _, width in found) == 150 + 2


def test_a_narrow_terminal_has_fewer_columns_and_none_of_them_cut_off() -> None:
    assert set(COLUMNS) - set(names(80, row(request="GET /"))) == {"conns", "waiting", "CPU"}
    for place, width in columns([row(request="GET /")], 80)[:-1]:
        assert width >= max(len(COLUMNS[place]), len(row().cells[place]))


@given(st.integers(1, 200))
def test_what_matters_most_is_there_on_any_terminal(width: int) -> None:
    assert set(names(width, row(request="GET /"))) >= set(COLUMNS) - set(DISPENSABLE)


def test_columns_are_there_without_a_worker() -> None:
    assert names(200) == list(COLUMNS)


def test_lines_break_between_two_facts() -> None:
    assert list(lines("shop", ["one", "two and three", "four"], 20)) == [
        "shop  one",
        "  two and three",
        "  four",
    ]
    assert list(lines("shop", ["x" * 30], 20)) == ["shop", "  " + "x" * 30]
    assert list(lines("shop", [], 20)) == ["shop"]


def test_workers_that_do_something_are_shown_first_and_in_their_order() -> None:
    rows = [row(1), row(2), row(3, at_rest=False), row(4)]
    assert chosen(rows, 2) == [rows[0], rows[2]]
    assert chosen(rows, 9) == rows
    assert chosen(rows, 0) == chosen(rows, -1) == []


@pytest.mark.parametrize(
    ("wanted", "room", "given"),
    [
        ([3, 3], 10, [3, 3]),
        ([12, 3], 9, [6, 3]),
        ([12, 12], 9, [5, 4]),
        ([1, 20, 2], 11, [1, 8, 2]),
        ([4], -3, [0]),
        ([], 5, []),
    ],
)
def test_the_room_is_shared_fairly(wanted: list[int], room: int, given: list[int]) -> None:
    found = shares(wanted, room)
    assert sorted(found) == sorted(given)
    assert all(has <= wants for has, wants in zip(found, wanted, strict=True))


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_cuts_off_nothing_but_a_request(width: int) -> None:
    now = Snapshot(
        status(*(worker(slot=n, pid=10_000 + n, request_line="GET /" + "x" * 300) for n in range(8))), 0
    )
    console = Console(file=io.StringIO(), width=width)
    console.print(Group(*parts(now, None, width)))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue().splitlines()
    assert max(map(len, drawn)) <= width
    for n in range(8):
        (line,) = [line for line in drawn if str(10_000 + n) in line]
        assert line.count("…") == 1
        assert line.rstrip().endswith("…")


@pytest.mark.parametrize("height", [10, 12, 24, 40])
def test_the_table_is_no_higher_than_the_terminal_and_says_what_is_left_out(height: int) -> None:
    now = Snapshot(status(*(worker(slot=n, pid=10_000 + n) for n in range(20))), 0)
    console = Console(file=io.StringIO(), width=100)
    console.print(Group(*parts(now, None, 100, height=height)))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue().splitlines()
    assert len(drawn) <= height
    shown = sum("ready " in line and " 100" in line for line in drawn)
    assert shown == 20 or f"... and {20 - shown} more; a higher terminal shows all of them" in drawn
