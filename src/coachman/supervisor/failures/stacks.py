"""The stacks of an application's threads, as faulthandler writes them, without our own frames."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

OWN_FOLDER: Final = str(Path(__file__).resolve().parents[2]) + os.sep
"""The folder of the package."""
_FRAME: Final = re.compile(r'  File "(.+)", line \d+ in .+')


def application_stacks(written: str, own_folder: str = OWN_FOLDER) -> str:
    """Return the stacks, innermost frames first, each cut where the wrapper had called the application.

    The import system's frames at the cut go as well. A thread that is the wrapper's alone keeps its frames.
    """
    return "\n".join(_cut(block, own_folder) for block in re.split(r"\n(?=\n)", written.strip("\n")))


def _cut(block: str, own_folder: str) -> str:
    lines = block.splitlines()
    files = [found[1] if (found := _FRAME.fullmatch(line)) else None for line in lines]
    end = next((n for n, file in enumerate(files) if file and file.startswith(own_folder)), len(lines))
    if end == len(lines):
        return block
    while end and _is_import_system(files[end - 1] or ""):
        end -= 1
    return "\n".join(lines[:end]) if any(files[:end]) else block


def _is_import_system(file: str) -> bool:
    return file.startswith("<frozen importlib") or file.endswith("/importlib/__init__.py")
