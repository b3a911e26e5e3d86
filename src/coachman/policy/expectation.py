"""What a call of the application is expected to take, by what was asked for, and who may overtake for it."""

from __future__ import annotations

from typing import Final

REMEMBERED: Final = 1000
"""Kinds of requests of which it is known how long they take."""

WEIGHT: Final = 0.25
"""Of the newest call in what is expected of the next one."""

SHARE: Final = 0.25
"""Of what a thread is typically held by: who takes no more than this need not wait for the others."""

LATELY_SECONDS: Final = 10.0
"""Of calls, after which what was before counts half."""


class Expectation:
    """How long calls have taken lately, by method and path.

    Any thread may ask while another one, at a time, notes.
    """

    def __init__(self) -> None:
        self._seconds: dict[bytes, float] = {}
        self._sum = 0.0
        self._sum_of_squares = 0.0
        self._brief = 0.0
        """Seconds that a call may take to count as brief."""

    def note(self, line: bytes, seconds: float) -> None:
        """Learn from a call: `line` is the method and the target of its request."""
        kind = line.partition(b"?")[0]
        known = self._seconds
        before = known.get(kind)
        if before is None:
            if len(known) >= REMEMBERED:
                del known[next(iter(known))]
            known[kind] = seconds
        else:
            known[kind] = before + WEIGHT * (seconds - before)
        if self._sum > LATELY_SECONDS:
            self._sum /= 2
            self._sum_of_squares /= 2
        self._sum += seconds
        self._sum_of_squares += seconds * seconds
        # At a random moment a thread is in a call of this length on average: a long one takes more moments.
        self._brief = SHARE * self._sum_of_squares / self._sum

    @property
    def knows_long_calls(self) -> bool:
        """Whether anybody may overtake at all."""
        return self._brief > 0

    def may_overtake(self, line: bytes) -> bool:
        """Return whether a request is known to take a small part of what threads are typically held by.

        Who overtakes makes the others wait a little longer; they make him wait much longer where he does not.
        """
        expected = self._seconds.get(line.partition(b"?")[0])
        return expected is not None and expected <= self._brief
