"""What the worker itself has to say, on the application's stderr."""

from __future__ import annotations

import sys


def complain(text: str) -> None:
    """Print `text` to stderr; where the application has closed or broken that, nobody can be told."""
    try:
        print(text, file=sys.stderr, flush=True)
    except Exception:  # the application may have put anything in its place: its own code runs here
        pass
