"""What `coachman status` makes of a state."""

from __future__ import annotations

from typing import Any

import pytest

from coachman.cli.amounts import memory, rate, span
from coachman.cli.status_view import COLUMNS, Snapshot, heading, is_well, views
from coachman.protocol.status import (
    ApplicationStatus,
    RestartStatus,
    SupervisorStatus,
    Totals,
    WorkerStatus,
)


def worker(**changes: Any) -> WorkerStatus:
    fields = {"slot": 1, "pid": 70, "generation": 2, "state": "ready", "age": 100.0, "requests": 500}
    return WorkerStatus(**{**fields, **changes})


def status(*workers: WorkerStatus, state: str = "serving", **changes: Any) -> SupervisorStatus:
    fields: dict[str, Any] = {"name": "shop", "location": "x", "addresses": ("http://here",)}
    application = ApplicationStatus(
        **{**fields, "processes": "1", "threads": 1, "generation": 2, "workers": workers, **changes}
    )
    return SupervisorStatus(pid=7, version="1.0", started_at=1000.0, state=state, applications=(application,))


def row(now: SupervisorStatus, before: SupervisorStatus | None = None) -> dict[str, str]:
    """Return the only worker's row, two seconds after `before`."""
    earlier = None if before is None else Snapshot(before, 10.0)
    (view,) = views(Snapshot(now, 12.0), earlier, 1060.0)
    return dict(zip(COLUMNS, view.rows[0].cells, strict=True))


def test_what_an_application_says_does_not_command_the_terminal() -> None:
    restart = RestartStatus(generation=3, cause="x", asked_at=0, outcome="failed", reason="\x1b[2Jgone")
    broken = status(name="\x9bshop", problem="no \x1b]0;title\x07", last_restart=restart)
    (view,) = views(Snapshot(broken, 12.0), None, 1060.0)
    assert (view.title, view.problem) == ("\\x9bshop", "no \\x1b]0;title\\x07")
    assert view.facts[-1].endswith("failed: \\x1b[2Jgone")


def test_a_row_has_everything_about_a_worker() -> None:
    busy = worker(
        in_flight=2,
        waiting=3,
        connections=4,
        memory=50 * 2**20,
        cpu_seconds=25.0,
        oldest_request=61.0,
        request_line="GET /slow",
    )
    assert row(status(busy)) == {
        "no.": "1",
        "pid": "70",
        "gen": "2",
        "state": "ready",
        "age": "1 min",
        "requests": "500",
        "req/s": "5.0",
        "in flight": "2",
        "waiting": "3",
        "conns": "4",
        "memory": "50 MiB",
        "CPU": "25 %",
        "request": "1 min GET /slow",
    }


def test_rates_are_those_since_the_snapshot_before() -> None:
    shown = row(status(worker(requests=700, cpu_seconds=6.0)), status(worker(requests=500, cpu_seconds=5.0)))
    assert (shown["req/s"], shown["CPU"]) == ("100", "50 %")


def test_a_worker_that_was_not_there_before_has_the_rates_of_its_life() -> None:
    assert row(status(worker(requests=500)), status(worker(pid=71)))["req/s"] == "5.0"
    assert row(status(worker(age=0.0, requests=0)))["req/s"] == ""


def test_what_an_application_is_about_stands_above_its_workers() -> None:
    restart = RestartStatus(
        generation=2, cause="SIGHUP", asked_at=1000.0, outcome="failed", reason="no module", took=1.5
    )
    found = status(
        worker(),
        queue=3,
        handoff_queue=2,
        totals=Totals(shed=4),
        preloaders={2: 60},
        last_restart=restart,
        threads=2,
    )
    (view,) = views(Snapshot(found, 0.0), None, 1060.0)
    assert view.facts == (
        "1 of 1 workers ready",
        "2 threads each",
        "generation 2",
        "http://here",
        "5 connections wait",
        "4 connections were turned away",
        "preloader 60",
        "last restart 1 min ago by SIGHUP: failed in 1.50 s: no module",
    )
    assert heading(found, 1060.0) == "supervisor 7  serving  for 1 min  coachman 1.0"


def test_all_is_well_where_every_application_serves_without_a_problem() -> None:
    assert is_well(status(worker()))
    assert not is_well(status(worker(), state="stopping"))
    assert not is_well(status(worker(state="spawning")))
    assert not is_well(status(worker(), problem="generation 3 could not be started"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59.0, "59 s"), (60.0, "1 min"), (7199.0, "1 h"), (86400.0 * 12, "12 d")],
)
def test_a_time_is_shown_in_its_largest_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_amounts_that_are_not_known_are_left_out() -> None:
    assert (memory(None), rate(None)) == ("", "")
    assert (memory(1536 * 1024), rate(9.96), rate(12.6)) == ("2 MiB", "10.0", "13")
