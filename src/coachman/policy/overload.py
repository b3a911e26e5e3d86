"""How many of the connections that wait are turned away."""

from __future__ import annotations

from collections.abc import Sequence


def surplus(queues: Sequence[int | None], most: int) -> int:
    """Return by how many the connections in `queues` are more than `most`; 0: any number may wait.

    A queue of which the length is not known (None) counts as empty: nobody is turned away on a guess.
    """
    return max(0, sum(length or 0 for length in queues) - most) if most else 0
