"""How often Python looks for garbage while an application is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

WHILE_LOADING: Final = 50_000
"""Objects that are allocated and not freed before it is looked through them, in place of Python's 700."""


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Let Python look for garbage seldom, unless the application itself says how often.

    Nearly all that is allocated while modules are imported is there to stay, and to look through it again and
    again takes a tenth of the time, or more (measured with the guestbook). Not never: an application may load
    data.
    """
    usual = gc.get_threshold()
    ours = (WHILE_LOADING, *usual[1:])
    gc.set_threshold(*ours)
    try:
        yield
    finally:
        if gc.get_threshold() == ours:
            gc.set_threshold(*usual)
