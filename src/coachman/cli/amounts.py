"""Amounts as they stand in a narrow column."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Return a time in its largest unit, rounded down: "42 s", "7 min", "3 h", "12 d"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def memory(size: int | None) -> str:
    """Return bytes in MiB, "" where they are not known."""
    return "" if size is None else f"{size / 2**20:.0f} MiB"


def rate(value: float | None) -> str:
    """Return a rate with as many digits as mean something, "" where it is not known."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
