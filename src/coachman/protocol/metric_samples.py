"""What the metrics of an application are made from: functions from its state to samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from coachman.protocol.exposition import Sample, histogram
from coachman.protocol.scoreboard import DURATION_BOUNDS
from coachman.protocol.status import ApplicationStatus, SupervisorStatus

WORKER_STATES: Final = ("spawning", "ready", "draining")
STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
NO_DURATIONS: Final = (0,) * (len(DURATION_BOUNDS) + 1)

Labels: TypeAlias = dict[str, str]


def value_of(value: Callable[[ApplicationStatus], float | None]) -> Callable[..., Iterable[Sample]]:
    """Return what gives a single sample; None: there is none."""

    def samples(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
        found = value(application)
        return [] if found is None else [Sample(found, labels)]

    return samples


def own_value_of(value: Callable[[SupervisorStatus], float | None]) -> Callable[..., Iterable[Sample]]:
    """Return what gives the single sample of the supervisor; None: there is none."""

    def samples(status: SupervisorStatus) -> Iterable[Sample]:
        found = value(status)
        return [] if found is None else [Sample(found, {})]

    return samples


def requests(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return the answered requests by class of status."""
    return [
        Sample(count, {**labels, "status": status})
        for status, count in zip(STATUS_CLASSES, application.totals.statuses, strict=True)
    ]


def durations(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return the histogram of durations."""
    totals = application.totals
    return histogram(labels, DURATION_BOUNDS, totals.durations or NO_DURATIONS, totals.duration_sum)


def workers(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return the number of workers in each state."""
    states = [worker.state for worker in application.workers]
    return [Sample(states.count(state), {**labels, "state": state}) for state in WORKER_STATES]


def worker_memory(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return what each worker has, where it is known."""
    return [
        Sample(worker.memory, {**labels, "worker": str(worker.slot)})
        for worker in application.workers
        if worker.memory is not None
    ]


def worker_cpu(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return what each worker has taken, where it is known."""
    return [
        Sample(worker.cpu_seconds, {**labels, "worker": str(worker.slot)})
        for worker in application.workers
        if worker.cpu_seconds is not None
    ]


def starts(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return sum and number of the starts that have succeeded."""
    totals = application.totals
    return [Sample(totals.spawn_seconds, labels, "_sum"), Sample(totals.spawns, labels, "_count")]


def replacements(application: ApplicationStatus, labels: Labels) -> Iterable[Sample]:
    """Return the replacements by reason."""
    counts = application.totals.replacements
    return [Sample(count, {**labels, "reason": reason}) for reason, count in sorted(counts.items())]


def last_restart_succeeded(application: ApplicationStatus) -> float | None:
    """Return 1 or 0; None: no restart has ended, or it was superseded."""
    restart = application.last_restart
    if restart is None or restart.outcome not in ("done", "failed"):
        return None
    return 1 if restart.outcome == "done" else 0


def last_restart_time(application: ApplicationStatus) -> float | None:
    """Return when the last restart was asked for; None: there was none."""
    return None if application.last_restart is None else application.last_restart.asked_at


def oldest_request(application: ApplicationStatus) -> float:
    """Return the age of the oldest request; 0: there is none."""
    ages = (worker.oldest_request for worker in application.workers)
    return max((age for age in ages if age is not None), default=0.0)
