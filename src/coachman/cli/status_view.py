"""What `coachman status` shows, from one snapshot or two, as plain text in rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coachman.cli.amounts import memory, rate, span
from coachman.protocol.status import ApplicationStatus, RestartStatus, SupervisorStatus, WorkerStatus
from coachman.protocol.text import safe

COLUMNS: Final = (
    *(
        "no.",
        "pid",
        "gen",
        "state",
        "age",
        "requests",
        "req/s",
        "in flight",
        "waiting",
        "conns",
        "memory",
        "CPU",
    ),
    "request",
)
LEFT: Final = frozenset({"state", "request"})
"""Columns of words; the others are of numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """One worker."""

    cells: tuple[str, ...]
    at_rest: bool
    """Whether it is ready and has nothing in hand."""


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """One application."""

    title: str
    facts: tuple[str, ...]
    problem: str
    rows: tuple[Row, ...]
    """By the number of the worker."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state, and when it was taken, in seconds of any clock that does not jump."""

    status: SupervisorStatus
    at: float


def is_well(status: SupervisorStatus) -> bool:
    """Return whether everything serves as it should."""
    return status.state == "serving" and all(
        application.ready and not application.problem for application in status.applications
    )


def heading(status: SupervisorStatus, now: float) -> str:
    """Return the line above everything; `now` in seconds since the epoch."""
    age = span(max(0.0, now - status.started_at))
    return f"supervisor {status.pid}  {status.state}  for {age}  coachman {status.version}"


def views(snapshot: Snapshot, before: Snapshot | None, now: float) -> Iterator[ApplicationView]:
    """Return what to show of each application.

    Rates are those since the snapshot `before`; without one, those of each worker's life.
    """
    earlier = {} if before is None else _workers(before.status)
    elapsed = 0.0 if before is None else snapshot.at - before.at
    for application in snapshot.status.applications:
        yield ApplicationView(
            title=safe(application.name),
            facts=tuple(map(safe, _facts(application, now))),
            problem=safe(application.problem),
            rows=tuple(
                Row(
                    _cells(worker, earlier.get(worker.pid), elapsed),
                    at_rest=worker.state == "ready" and not (worker.in_flight or worker.waiting),
                )
                for worker in sorted(application.workers, key=lambda worker: worker.slot)
            ),
        )


def _facts(application: ApplicationStatus, now: float) -> Iterator[str]:
    yield f"{application.ready} of {application.processes} workers ready"
    if application.threads > 1:
        yield f"{application.threads} threads each"
    yield f"generation {application.generation}"
    yield " ".join(application.addresses)
    if waiting := (application.queue or 0) + application.handoff_queue:
        yield f"{waiting} connections wait"
    if application.totals.shed:
        yield f"{application.totals.shed} connections were turned away"
    if application.preloaders:
        yield "preloader " + ", ".join(f"{pid}" for pid in application.preloaders.values())
    if application.last_restart is not None:
        yield _restart(application.last_restart, now, problem=application.problem)


def _restart(restart: RestartStatus, now: float, *, problem: str) -> str:
    ago = span(max(0.0, now - restart.asked_at))
    took = "" if restart.took is None else f" in {restart.took:.2f} s"
    # What is wrong has a line of its own.
    reason = f": {restart.reason}" if restart.reason and restart.reason not in problem else ""
    return f"last restart {ago} ago by {restart.cause}: {restart.outcome}{took}{reason}"


def _workers(status: SupervisorStatus) -> dict[int, WorkerStatus]:
    return {worker.pid: worker for application in status.applications for worker in application.workers}


def _cells(worker: WorkerStatus, before: WorkerStatus | None, elapsed: float) -> tuple[str, ...]:
    requests: float = worker.requests
    cpu = worker.cpu_seconds
    seconds = worker.age
    if before is not None and elapsed > 0:
        requests, seconds = worker.requests - before.requests, elapsed
        if cpu is not None and before.cpu_seconds is not None:
            cpu -= before.cpu_seconds
    known = seconds > 0
    oldest = "" if worker.oldest_request is None else f"{span(worker.oldest_request)} "
    return (
        str(worker.slot),
        str(worker.pid),
        str(worker.generation),
        worker.state,
        span(worker.age),
        str(worker.requests),
        rate(requests / seconds if known else None),
        str(worker.in_flight),
        str(worker.waiting),
        str(worker.connections),
        memory(worker.memory),
        f"{100 * cpu / seconds:.0f} %" if known and cpu is not None else "",
        f"{oldest}{safe(worker.request_line)}",
    )
