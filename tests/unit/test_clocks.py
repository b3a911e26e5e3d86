"""The clock on the wall may jump: nothing is timed by it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import coachman

SOURCE: Final = Path(coachman.__file__).parent
WALL_CLOCKS: Final = {"time", "time_ns", "now", "utcnow", "today", "CLOCK_REALTIME"}
"""What reads the time of day, of the modules `time` and `datetime`."""
SHOWN: Final = {
    "cli/listing.py": "the age of a supervisor, in a list",
    "cli/status_table.py": "ages, in a table",
    "supervisor/application/generation.py": "when a restart was asked for, in the status",
    "supervisor/log/log.py": "when a line was printed, in the log",
    "supervisor/overview.py": "when the supervisor was started, in the status",
    "worker/access_log.py": "when a request was answered, in its log",
    "worker/asgi/state.py": "the field Date",
    "worker/date_line.py": "the field Date",
    "worker/static/files.py": "the dates of files, compared with those of clients",
}
"""The files that may read it, and what for."""


def clocks_in(tree: ast.AST) -> Iterator[str]:
    """Yield every way in which the time of day is read."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="time" | "datetime" | "date"), attr=name):
                if name in WALL_CLOCKS:
                    yield name
            case ast.ImportFrom(module="time" | "datetime", names=names):
                yield from (alias.name for alias in names if alias.name in WALL_CLOCKS)


def test_the_time_of_day_is_read_only_where_it_is_shown() -> None:
    found = {
        str(file.relative_to(SOURCE)): clocks
        for file in SOURCE.rglob("*.py")
        if (clocks := list(clocks_in(ast.parse(file.read_text()))))
    }
    assert found.keys() == SHOWN.keys(), found


def test_every_way_to_read_it_is_found() -> None:
    ways = """
import time
from time import time as now, monotonic
from datetime import datetime
deadline = time.time() + 5
today = datetime.now()
fine = time.monotonic()
clock = time.clock_gettime(time.CLOCK_REALTIME)
"""
    assert sorted(clocks_in(ast.parse(ways))) == ["CLOCK_REALTIME", "now", "time", "time"]
