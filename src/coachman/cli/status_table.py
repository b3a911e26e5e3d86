"""The table of `coachman status`, drawn by rich."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coachman.cli.status_layout import GAP, chosen, columns, lines, shares
from coachman.cli.status_view import COLUMNS, LEFT, ApplicationView, Snapshot, heading, views
from coachman.cli.supervisors import NoAnswer

STYLES = {"ready": "green", "draining": "yellow", "spawning": "cyan"}
WIDTH_WITHOUT_TERMINAL = 200
_PLAIN = Console(width=WIDTH_WITHOUT_TERMINAL)


def print_table(snapshot: Snapshot) -> None:
    """Print one snapshot."""
    console = _console()
    console.print(Group(*parts(snapshot, None, console.width)))


def watch_table(snapshot: Callable[[], Snapshot], interval: float) -> None:
    """Draw a snapshot every `interval` seconds, until the supervisor has ended or Ctrl-C.

    On a terminal they are drawn over each other, elsewhere one below the other. Where the terminal is too low
    for all workers, those that are ready and have nothing to do are left out first.
    """
    console = _console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    try:
        with live or nullcontext():
            before = None
            while True:
                now = snapshot()
                if live is None:
                    console.print(Group(*parts(now, before, console.width), Text()))
                else:
                    drawn = parts(now, before, console.width, height=console.height - 1)
                    live.update(Group(*drawn), refresh=True)
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


def parts(
    snapshot: Snapshot, before: Snapshot | None, width: int, *, height: int | None = None
) -> Iterator[RenderableType]:
    """Yield what to draw of a snapshot, for `width` characters and, unless that is None, `height` lines."""
    now = time.time()
    shown = list(views(snapshot, before, now))
    heads = [list(_head(view, width)) for view in shown]
    wanted = [len(view.rows) for view in shown]
    if height is not None:
        # Of each application there is its head, and the headings of its columns; and the last line of all.
        wanted = shares(wanted, height - 1 - sum(len(head) + 1 for head in heads))
    layout = columns([row for view in shown for row in view.rows], width)
    yield Text(heading(snapshot.status, now), style="bold")
    for view, head, room in zip(shown, heads, wanted, strict=True):
        yield from head
        # One line less, which says how many there are besides.
        rows = view.rows if room >= len(view.rows) else chosen(view.rows, room - 1)
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for place, cells in layout:
            name = COLUMNS[place]
            table.add_column(
                name,
                justify="left" if name in LEFT else "right",
                width=cells,
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in rows:
            cells_of_row = (row.cells[place] for place, _ in layout)
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells_of_row))
        yield table
        if left_out := len(view.rows) - len(rows):
            yield Text(f"... and {left_out} more; a higher terminal shows all of them", style="dim")


def _head(view: ApplicationView, width: int) -> Iterator[Text]:
    yield Text()
    for number, line in enumerate(lines(view.title, view.facts, width)):
        text = Text(line)
        if number == 0:
            text.stylize("bold", 0, len(view.title))
        yield from text.wrap(_PLAIN, width)
    if view.problem:
        yield from Text(view.problem, style="red").wrap(_PLAIN, width)
