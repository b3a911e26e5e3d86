"""Whether something that happens again and again is worth another line of the log."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

QUIET_SECONDS: Final = 60.0
"""How long the same thing is not said again."""


class Repetition:
    """Lets the first of a row pass, and then one a minute, with a count of those that were not said."""

    def __init__(self) -> None:
        self._what: Hashable = None
        self._said_at: float | None = None
        self._kept_quiet = 0

    def kept_quiet(self, what: Hashable, now: float) -> int | None:
        """Return how often `what` has happened since it was last said; None: it is not to be said now.

        Anything else is said at once. `now` is in monotonic seconds.
        """
        same = self._said_at is not None and what == self._what
        if same and self._said_at is not None and now - self._said_at < QUIET_SECONDS:
            self._kept_quiet += 1
            return None
        count, self._kept_quiet = (self._kept_quiet if same else 0), 0
        self._what, self._said_at = what, now
        return count

    def over(self) -> int:
        """Note that it has come to an end: what comes next is said. Return how often it went unsaid."""
        count, self._kept_quiet = self._kept_quiet, 0
        self._said_at = None
        return count


def times_more(count: int) -> str:
    """Return the end of a line that was kept back `count` times; "" where it was not."""
    return f" ({count} more since this was last said)" if count else ""
