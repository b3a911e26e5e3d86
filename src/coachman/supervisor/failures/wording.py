"""How a start is put into lines of text, whether it failed or not."""

from __future__ import annotations

from collections.abc import Iterable

from coachman.protocol.journey import Journey
from coachman.supervisor.durations import duration
from coachman.supervisor.failures.printed import PrintedLine


def journey_lines(journey: Journey, *, failed: bool) -> list[str]:
    """Return a line for every step with its time; of a failed start, the last one is marked."""
    stages = journey.stages()
    lines = [f"{stage.step.value:<18}{duration(stage.seconds):>10}" for stage in stages]
    if failed and lines:
        lines[-1] += "  failed here"
    return lines


def attributed(line: PrintedLine) -> str:
    """Return a printed line with the stream it came from."""
    return f"{line.stream}: {line.text}" if line.stream else line.text


def indented(lines: Iterable[str]) -> str:
    """Return the lines as one text, set in from the left."""
    return "\n".join(f"    {line}".rstrip() for line in lines)
