"""The state of everything, as `coachman status` shows it and as metrics are made from it.

Times are seconds; what happened at a moment is said in seconds of the Unix epoch.
"""

from __future__ import annotations

import msgspec


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker."""

    slot: int
    pid: int
    generation: int
    state: str
    """"spawning", "ready", "draining" or "gone": a `State` of `coachman.policy.lifecycle`."""
    age: float
    """Seconds since it was ready; since it was started, where it is not."""
    requests: int = 0
    in_flight: int = 0
    waiting: int = 0
    connections: int = 0
    oldest_request: float | None = None
    """Seconds that the oldest request in the application has been there."""
    request_line: str = ""
    """Of a request in the application."""
    memory: int | None = None
    """Bytes of proportional set size; None where it is not known."""
    cpu_seconds: float | None = None
    """Processor time since its start."""


class RestartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rolling restart."""

    generation: int
    """The one that it brings up."""
    cause: str
    """Who or what asked for it."""
    asked_at: float
    outcome: str = "under way"
    """"under way", "done", "failed" or "superseded"."""
    reason: str = ""
    """Why it failed."""
    took: float | None = None
    instead_of: int | None = None
    """The generation that was waited for, where this later one has superseded it."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an application is: what can be said without looking at a process or at the scoreboard."""

    name: str
    ready: int
    """Workers that take requests."""
    processes: str
    generation: int
    last_restart: RestartStatus | None = None
    problem: str = ""
    """As that of `ApplicationStatus`."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all workers that there have ever been."""

    requests: int = 0
    accepted: int = 0
    handed_over: int = 0
    statuses: tuple[int, ...] = (0,) * 5
    duration_sum: float = 0.0
    durations: tuple[int, ...] = ()
    """Requests by duration, in the buckets of `coachman.protocol.scoreboard.DURATION_BOUNDS`."""
    shed: int = 0
    """Connections that the supervisor turned away with 503."""
    replacements: dict[str, int] = {}
    """Workers that were replaced, by reason."""
    spawns: int = 0
    spawn_seconds: float = 0.0
    """How long all successful starts took together."""
    failed_spawns: int = 0


class ApplicationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One application."""

    name: str
    location: str
    addresses: tuple[str, ...]
    processes: str
    """How many it may have: "4" or "2-8"."""
    threads: int
    generation: int
    """The one that serves."""
    preloaders: dict[int, int] = {}
    """Pid of the preloader, by generation."""
    workers: tuple[WorkerStatus, ...] = ()
    queue: int | None = None
    """Connections that wait to be accepted; None where the kernel does not tell."""
    handoff_queue: int = 0
    """Connections that one worker has left to the others, and that none has taken yet."""
    last_restart: RestartStatus | None = None
    problem: str = ""
    """Why it does not serve as it should, for people; "" where it does."""
    memory: int | None = None
    """Bytes of proportional set size of its workers and preloaders together; None where it is not known."""
    totals: Totals = Totals()

    @property
    def ready(self) -> int:
        """Workers that take requests."""
        return sum(worker.state == "ready" for worker in self.workers)


class SupervisorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor with all of its applications."""

    pid: int
    version: str
    started_at: float
    state: str
    """"starting", "serving" or "stopping"."""
    applications: tuple[ApplicationStatus, ...]
    log_lines: int = 0
    """Lines of the log since the start."""
    lost_log_lines: int = 0
    memory: int | None = None
    """Of the supervisor alone, as `WorkerStatus` has it."""
    cpu_seconds: float | None = None
