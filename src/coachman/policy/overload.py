"""How many of the connections that wait are turned away."""

from __future__ import annotations

from collections.abc import Sequence


def surplus(queues: Sequence[int | None], most: int, *, elsewhere: int = 0) -> int:
    """Return how many of the connections in `queues` are turned away; 0 as `most`: any number may wait.

    They are those by which all that wait, `elsewhere` as well, are more than `most`. A queue of which the
    length is not known (None) counts as empty: nobody is turned away on a guess.
    """
    queued = sum(length or 0 for length in queues)
    return min(queued, max(0, queued + elsewhere - most)) if most else 0
