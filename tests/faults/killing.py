"""The supervisor is killed: what its processes were at that moment, and which of them are left."""

from __future__ import annotations

from ..end_to_end.coachman_serve import CoachmanServe
from .pidfds import Pidfds


def assert_nothing_outlives(server: CoachmanServe, *, within: float, at_least: int) -> None:
    """Kill the supervisor and see every process of it end within so many seconds, `at_least` so many."""
    processes = server.processes()
    assert len(processes) >= at_least, (processes, server.output())
    with Pidfds(processes) as pidfds:
        server.kill()
        left = pidfds.living_after(within)
        assert not left, f"{left} of {processes} still run\n{server.output()}"
    assert not server.processes()
