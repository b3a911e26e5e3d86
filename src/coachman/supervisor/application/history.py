"""What outlives the workers: sums over all that there have been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from coachman.protocol.scoreboard import Counters
from coachman.protocol.status import Totals
from coachman.supervisor.failures.failure import StartFailure


class History:
    """Sums over all workers of an application, gone ones included."""

    def __init__(self) -> None:
        self.shed = 0
        """Connections that the supervisor turned away."""
        self.last_failure: StartFailure | None = None
        """Why the last start failed, of code that serves or is the first; None where it did not."""
        self._counters = Counters()
        self._replacements: Counter[str] = Counter()
        self._spawns = 0
        self._spawn_seconds = 0.0
        self._failed_spawns = 0

    def add(self, counters: Counters) -> None:
        """Keep what a worker that is gone had counted."""
        self._counters += counters

    def note_start(self, seconds: float) -> None:
        """Count a start that has taken so long."""
        self._spawns += 1
        self._spawn_seconds += seconds
        self.last_failure = None

    def note_failed_start(self, failure: StartFailure | None) -> None:
        """Count a start that has failed; `failure` is why, None: that is of no matter to those that serve."""
        self._failed_spawns += 1
        if failure is not None:
            self.last_failure = failure

    def note_replacement(self, reason: str) -> None:
        """Count a worker that was, or is to be, replaced."""
        self._replacements[reason] += 1

    def totals(self, living: Iterable[Counters]) -> Totals:
        """Return the sums, with what the living workers have counted."""
        counters = self._counters
        for more in living:
            counters += more
        return Totals(
            requests=counters.requests,
            accepted=counters.accepted,
            handed_over=counters.handed_over,
            statuses=counters.statuses,
            duration_sum=counters.duration_sum,
            durations=counters.durations,
            shed=self.shed,
            replacements=dict(self._replacements),
            spawns=self._spawns,
            spawn_seconds=self._spawn_seconds,
            failed_spawns=self._failed_spawns,
        )
