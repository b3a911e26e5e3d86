"""The application's `sys.stdout` and `sys.stderr`, which may be anything by now."""

from __future__ import annotations

import sys


def flush_streams() -> None:
    """Write out what is buffered; nothing is raised where the application has closed or replaced a stream."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # the application may have put anything in its place: its own code runs here
            pass
