"""The table of `coachman status`, drawn by rich."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coachman.cli.status_view import COLUMNS, LEFT, Snapshot, heading, views
from coachman.cli.supervisors import NoAnswer

STYLES = {"ready": "green", "draining": "yellow", "spawning": "cyan"}
WIDTH_WITHOUT_TERMINAL = 200


def print_table(snapshot: Snapshot) -> None:
    """Print one snapshot."""
    _console().print(Group(*_parts(snapshot, None)))


def watch_table(snapshot: Callable[[], Snapshot], interval: float) -> None:
    """Draw a snapshot every `interval` seconds, until the supervisor has ended or Ctrl-C.

    On a terminal they are drawn over each other, elsewhere one below the other.
    """
    console = _console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    try:
        with live or nullcontext():
            before = None
            while True:
                now = snapshot()
                drawing = Group(*_parts(now, before), Text())
                if live is None:
                    console.print(drawing)
                else:
                    live.update(drawing, refresh=True)
                before = now
                time.sleep(interval)  # a person looks at it: this is the beat, not a wait for something
    except NoAnswer as error:
        console.print(Text(str(error)))
    except KeyboardInterrupt:
        pass


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL  # nothing is cut off in a file
    return console


def _parts(snapshot: Snapshot, before: Snapshot | None) -> Iterator[RenderableType]:
    now = time.time()
    yield Text(heading(snapshot.status, now), style="bold")
    for view in views(snapshot, before, now):
        yield Text()
        yield Text(view.title, style="bold") + Text("  " + "  ".join(view.facts))
        if view.problem:
            yield Text(view.problem, style="red")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in COLUMNS:
            left = column in LEFT
            table.add_column(column, justify="left" if left else "right", no_wrap=True, overflow="ellipsis")
        for row in view.rows:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        yield table
