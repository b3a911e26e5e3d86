"""The metrics: a table of what is made from the state of the supervisor, and how.

docs/metrics.md has the same table for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from coachman.protocol.exposition import Family, Kind, Sample
from coachman.protocol.metric_samples import (
    Labels,
    durations,
    last_restart_succeeded,
    last_restart_time,
    oldest_request,
    own_value_of,
    replacements,
    requests,
    starts,
    value_of,
    worker_cpu,
    worker_memory,
    workers,
)
from coachman.protocol.status import ApplicationStatus, SupervisorStatus


@dataclass(frozen=True, slots=True)
class Metric:
    """What every application has a value, or several, of."""

    name: str
    kind: Kind
    help: str
    samples: Callable[[ApplicationStatus, Labels], Iterable[Sample]]
    """From an application and the labels that tell it from others."""


@dataclass(frozen=True, slots=True)
class SupervisorMetric:
    """What there is one value of."""

    name: str
    kind: Kind
    help: str
    samples: Callable[[SupervisorStatus], Iterable[Sample]]


def families(status: SupervisorStatus) -> list[Family]:
    """Return everything that there is to say about `status`."""
    found = [Family(each.name, each.kind, each.help, list(each.samples(status))) for each in OF_SUPERVISOR]
    for metric in OF_APPLICATIONS:
        samples = [
            sample
            for application in status.applications
            for sample in metric.samples(application, {"application": application.name})
        ]
        found.append(Family(metric.name, metric.kind, metric.help, samples))
    return found


OF_SUPERVISOR: Final = (
    SupervisorMetric(
        "coachman_info",
        Kind.GAUGE,
        "1, with the version of coachman.",
        lambda status: [Sample(1, {"version": status.version})],
    ),
    SupervisorMetric(
        "coachman_start_time_seconds",
        Kind.GAUGE,
        "When the supervisor was started, in seconds of the Unix epoch.",
        own_value_of(lambda status: status.started_at),
    ),
    SupervisorMetric(
        "coachman_supervisor_memory_bytes",
        Kind.GAUGE,
        "Memory of the supervisor, by proportional set size.",
        own_value_of(lambda status: status.memory),
    ),
    SupervisorMetric(
        "coachman_supervisor_cpu_seconds_total",
        Kind.COUNTER,
        "Processor time of the supervisor.",
        own_value_of(lambda status: status.cpu_seconds),
    ),
    SupervisorMetric(
        "coachman_log_lines_total",
        Kind.COUNTER,
        "Lines of the log, of applications and of the supervisor.",
        own_value_of(lambda status: status.log_lines),
    ),
    SupervisorMetric(
        "coachman_log_lines_lost_total",
        Kind.COUNTER,
        "Lines that could not be written to the log.",
        own_value_of(lambda status: status.lost_log_lines),
    ),
)

OF_APPLICATIONS: Final = (
    Metric(
        "coachman_requests_total",
        Kind.COUNTER,
        "Requests answered by workers, by class of status.",
        requests,
    ),
    Metric(
        "coachman_request_duration_seconds",
        Kind.HISTOGRAM,
        "Time from a complete request to its complete response.",
        durations,
    ),
    Metric(
        "coachman_requests_in_flight",
        Kind.GAUGE,
        "Requests that are in the application.",
        value_of(lambda application: sum(worker.in_flight for worker in application.workers)),
    ),
    Metric(
        "coachman_requests_waiting",
        Kind.GAUGE,
        "Requests that wait in a worker for a thread.",
        value_of(lambda application: sum(worker.waiting for worker in application.workers)),
    ),
    Metric(
        "coachman_oldest_request_seconds",
        Kind.GAUGE,
        "How long the oldest request in the application has been there; 0: there is none.",
        value_of(oldest_request),
    ),
    Metric(
        "coachman_accept_queue",
        Kind.GAUGE,
        "Connections that no worker has accepted yet.",
        value_of(lambda application: application.queue),
    ),
    Metric(
        "coachman_handoff_queue",
        Kind.GAUGE,
        "Connections that a worker has left to the others, and that none has taken yet.",
        value_of(lambda application: application.handoff_queue),
    ),
    Metric(
        "coachman_connections",
        Kind.GAUGE,
        "Open connections of the workers.",
        value_of(lambda application: sum(worker.connections for worker in application.workers)),
    ),
    Metric(
        "coachman_connections_accepted_total",
        Kind.COUNTER,
        "Connections that workers have accepted.",
        value_of(lambda application: application.totals.accepted),
    ),
    Metric(
        "coachman_connections_handed_over_total",
        Kind.COUNTER,
        "Times that a worker gave a connection to another.",
        value_of(lambda application: application.totals.handed_over),
    ),
    Metric(
        "coachman_connections_shed_total",
        Kind.COUNTER,
        "Connections that the supervisor answered with 503, since no worker could take them.",
        value_of(lambda application: application.totals.shed),
    ),
    Metric("coachman_workers", Kind.GAUGE, "Workers, by state.", workers),
    Metric(
        "coachman_worker_threads",
        Kind.GAUGE,
        "Requests that one worker handles at the same time.",
        value_of(lambda application: application.threads),
    ),
    Metric(
        "coachman_worker_memory_bytes",
        Kind.GAUGE,
        "Memory of a worker, by proportional set size.",
        worker_memory,
    ),
    Metric(
        "coachman_worker_cpu_seconds_total",
        Kind.COUNTER,
        "Processor time of the worker that has this number now.",
        worker_cpu,
    ),
    Metric(
        "coachman_application_memory_bytes",
        Kind.GAUGE,
        "Memory of all workers and preloaders of an application, by proportional set size.",
        value_of(lambda application: application.memory),
    ),
    Metric(
        "coachman_worker_start_seconds",
        Kind.SUMMARY,
        "Time from the decision to start a worker until it was ready.",
        starts,
    ),
    Metric(
        "coachman_worker_start_failures_total",
        Kind.COUNTER,
        "Workers that could not be started.",
        value_of(lambda application: application.totals.failed_spawns),
    ),
    Metric(
        "coachman_worker_replacements_total",
        Kind.COUNTER,
        "Workers that were replaced, by reason.",
        replacements,
    ),
    Metric(
        "coachman_generation",
        Kind.GAUGE,
        "The generation that serves; each rolling restart makes one.",
        value_of(lambda application: application.generation),
    ),
    Metric(
        "coachman_last_restart_succeeded",
        Kind.GAUGE,
        "1 if the last rolling restart that has ended was completed, 0 if it failed.",
        value_of(last_restart_succeeded),
    ),
    Metric(
        "coachman_last_restart_time_seconds",
        Kind.GAUGE,
        "When the last rolling restart was asked for, in seconds of the Unix epoch.",
        value_of(last_restart_time),
    ),
)
