"""When an application is too slow to be called in the loop."""

from __future__ import annotations

from collections import deque
from typing import Final

SLOW_SECONDS: Final = 0.005
"""A call that takes longer holds up everybody else for too long."""

SLOW_CALLS: Final = 3
AMONG: Final = 1000
"""So many slow calls among so many in a row are more than a first request, which imports half of a framework."""


class SlowCalls:
    """Counts the slow calls. Nothing is called for the fast ones."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque(maxlen=SLOW_CALLS)

    def note(self, number: int) -> bool:
        """Note that the call with this number was slow; return whether that makes too many."""
        self._numbers.append(number)
        return len(self._numbers) == SLOW_CALLS and number - self._numbers[0] < AMONG
