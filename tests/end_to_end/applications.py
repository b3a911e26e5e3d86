"""Tiny applications, which the tests write into a folder of their own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Final

ONE_PROCESS: Final = ("--bind", "127.0.0.1:0", "--processes", "1")

HELLO: Final = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def write_application(folder: Path, *parts: str, name: str = "wsgi.py") -> Path:
    """Write the parts, which may be indented, one after the other into a file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("\n".join(dedent(part) for part in parts))
    return file
