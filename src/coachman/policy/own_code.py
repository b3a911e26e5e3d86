"""Which frame of a stack to look at first: the innermost that is the application's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_INSTALLED: Final = re.compile(r"/(?:site|dist)-packages/")
_STANDARD: Final = re.compile(r"/lib(?:64)?/python3\.\d+t?/(?!(?:site|dist)-packages/)|^<frozen ")


def first_to_look_at(files: Sequence[str]) -> int | None:
    """Return the position of the frame, `files` being those of all frames, the innermost first.

    Where none is the application's own, which may be installed like any package, it is the innermost of what
    is installed, before Python's own library. None where there are no frames.
    """
    foreign = [2 if _STANDARD.search(file) else 1 if _INSTALLED.search(file) else 0 for file in files]
    return foreign.index(min(foreign)) if foreign else None
