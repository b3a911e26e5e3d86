"""Numbers of things, as a person writes them."""

from __future__ import annotations


def counted(number: float | str, noun: str) -> str:
    """Return "1 worker", "3 workers", "2-8 workers", "1 process", "2 processes", "1.5 seconds"."""
    text = f"{number:g}" if isinstance(number, float) else str(number)
    several = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{text} {noun if text == '1' else several}"
