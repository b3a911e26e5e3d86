"""When an application is too slow to be called in the loop."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

SLOW_SECONDS: Final = 0.005
"""A call that takes longer holds up everybody else for too long."""

SLOW_CALLS: Final = 3
AMONG: Final = 1000
"""So many slow calls among so many are more than a first request, which imports half of a framework."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a thread has used between two moments."""

    seconds: float
    """Of the processor."""
    waits: int
    """Times that it has waited for something by itself."""


class Verdict(Enum):
    """What a slow call means."""

    NOTHING = auto()
    WATCH = auto()
    """Watch what the next calls use: either they are slow, or others keep the processor from us."""
    MOVE_OFF = auto()


class SlowCalls:
    """Counts slow calls. It is told of nothing else, so fast calls cost nothing."""

    def __init__(self) -> None:
        self._suspects: deque[int] = deque(maxlen=SLOW_CALLS)
        self._proven: deque[int] = deque(maxlen=SLOW_CALLS)

    def note(self, number: int, used: Usage | None) -> Verdict:
        """Judge a slow call, by its number, and by what it has `used`: None where nobody watched."""
        if used is None:
            return Verdict.WATCH if _too_many(self._suspects, number) else Verdict.NOTHING
        # Otherwise it was ready to run all the time, and others did: what it has used would not be too long.
        its_own_doing = used.waits > 0 or used.seconds > SLOW_SECONDS
        if its_own_doing and _too_many(self._proven, number):
            return Verdict.MOVE_OFF
        return Verdict.NOTHING


def _too_many(numbers: deque[int], number: int) -> bool:
    numbers.append(number)
    return len(numbers) == SLOW_CALLS and number - numbers[0] < AMONG
