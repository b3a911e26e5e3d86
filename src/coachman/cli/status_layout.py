"""How `coachman status` fits a terminal: what is left out where there is no room for all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from coachman.cli.status_view import COLUMNS, Row

GAP: Final = 2
DISPENSABLE: Final = ("conns", "waiting", "CPU", "gen", "in flight", "age", "requests")
"""Columns that are left out of a narrow terminal, the first ones first. No cell but a request is cut off."""
LEAST_OF_REQUEST: Final = 12
"""Characters that there are to be for a request, if there is one."""


class Column(NamedTuple):
    """A column that is shown."""

    place: int
    """In `COLUMNS`."""
    width: int


def columns(rows: Sequence[Row], width: int) -> list[Column]:
    """Return those for which `width` characters are enough, of the same width for all `rows`."""
    widths = [max(map(len, cells)) for cells in zip(COLUMNS, *(row.cells for row in rows), strict=True)]
    widths[-1] = min(widths[-1], LEAST_OF_REQUEST)
    shown = list(range(len(COLUMNS)))
    for name in DISPENSABLE:
        if _total(widths, shown) <= width:
            break
        shown.remove(COLUMNS.index(name))
    widths[-1] += max(0, width - _total(widths, shown))
    return [Column(index, widths[index]) for index in shown]


def lines(title: str, facts: Sequence[str], width: int) -> Iterator[str]:
    """Yield `title` and what follows it, in lines that break between two facts where that is possible."""
    line = title
    for fact in facts:
        if len(line) + 2 + len(fact) > width:
            yield line
            line = ""
        line += f"  {fact}"
    yield line


def chosen(rows: Sequence[Row], room: int) -> list[Row]:
    """Return as many rows as there is room for, in order: those that are not at rest, then the first ones."""
    telling = sorted(rows, key=lambda row: row.at_rest)[: max(0, room)]
    return [row for row in rows if row in telling]


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """Divide `room` among those who want so much each: equally, but for what somebody does not want."""
    given = [0] * len(wanted)
    left = room
    for rank, index in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        given[index] = min(wanted[index], max(0, left) // (len(wanted) - rank))
        left -= given[index]
    return given


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + GAP * (len(shown) - 1)
