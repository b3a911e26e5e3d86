"""The text of the metrics, read back by Prometheus' own parser."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from coachman.protocol.exposition import Family, Kind, Sample, exposition, histogram
from coachman.protocol.metrics import OF_APPLICATIONS, OF_SUPERVISOR, families
from coachman.protocol.scoreboard import DURATION_BOUNDS
from coachman.protocol.status import (
    ApplicationStatus,
    RestartStatus,
    SupervisorStatus,
    Totals,
    WorkerStatus,
)

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def read(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(of: SupervisorStatus, name: str, /, **labels: str) -> float:
    return read(exposition(families(of)))[name, frozenset(labels.items())]


def worker(slot: int, **values: object) -> WorkerStatus:
    usual = {"pid": 4700 + slot, "generation": 2, "state": "ready", "age": 1.0}
    return WorkerStatus(slot=slot, **{**usual, **values})  # type: ignore[arg-type]  # each its own


SITE = ApplicationStatus(
    name="site",
    location="/srv/site",
    addresses=("http://127.0.0.1:8000",),
    processes="2-4",
    threads=4,
    generation=2,
    workers=(
        worker(1, in_flight=2, waiting=1, connections=7, memory=1000, cpu_seconds=1.5, oldest_request=3.5),
        worker(2, in_flight=1, connections=3, memory=500),
        worker(3, state="draining"),
    ),
    queue=9,
    handoff_queue=4,
    memory=2500,
    last_restart=RestartStatus(generation=2, cause="SIGHUP", asked_at=1e9, outcome="failed", reason="x"),
    totals=Totals(
        requests=10,
        accepted=8,
        handed_over=3,
        statuses=(0, 7, 1, 1, 1),
        duration_sum=1.25,
        durations=(5, 3, *(0,) * (len(DURATION_BOUNDS) - 2), 2),
        shed=6,
        replacements={"died": 2, "memory": 1},
        spawns=4,
        spawn_seconds=0.75,
        failed_spawns=1,
    ),
)
STATUS = SupervisorStatus(
    pid=4700,
    version="1.2",
    started_at=1e9,
    state="serving",
    applications=(SITE,),
    log_lines=100,
    lost_log_lines=3,
    memory=9000,
    cpu_seconds=0.5,
)
BARE = ApplicationStatus(
    name="blog", location="/srv/blog", addresses=(), processes="1", threads=1, generation=1
)


def test_every_value_arrives_under_its_name() -> None:
    site = {"application": "site"}
    assert value(STATUS, "coachman_info", version="1.2") == 1
    assert value(STATUS, "coachman_requests_total", status="2xx", **site) == 7
    assert value(STATUS, "coachman_request_duration_seconds_count", **site) == 10
    assert value(STATUS, "coachman_request_duration_seconds_sum", **site) == 1.25
    assert value(STATUS, "coachman_request_duration_seconds_bucket", le="0.0025", **site) == 8
    assert value(STATUS, "coachman_request_duration_seconds_bucket", le="30.0", **site) == 8
    assert value(STATUS, "coachman_request_duration_seconds_bucket", le="+Inf", **site) == 10
    assert value(STATUS, "coachman_requests_in_flight", **site) == 3
    assert value(STATUS, "coachman_requests_waiting", **site) == 1
    assert value(STATUS, "coachman_oldest_request_seconds", **site) == 3.5
    assert value(STATUS, "coachman_accept_queue", **site) == 9
    assert value(STATUS, "coachman_handoff_queue", **site) == 4
    assert value(STATUS, "coachman_connections", **site) == 10
    assert value(STATUS, "coachman_connections_shed_total", **site) == 6
    assert value(STATUS, "coachman_workers", state="ready", **site) == 2
    assert value(STATUS, "coachman_workers", state="spawning", **site) == 0
    assert value(STATUS, "coachman_worker_memory_bytes", worker="2", **site) == 500
    assert value(STATUS, "coachman_application_memory_bytes", **site) == 2500
    assert value(STATUS, "coachman_worker_start_seconds_count", **site) == 4
    assert value(STATUS, "coachman_worker_start_seconds_sum", **site) == 0.75
    assert value(STATUS, "coachman_worker_replacements_total", reason="died", **site) == 2
    assert value(STATUS, "coachman_last_restart_succeeded", **site) == 0
    assert value(STATUS, "coachman_log_lines_lost_total") == 3


def test_what_is_not_known_is_left_out() -> None:
    bare = SupervisorStatus(pid=1, version="1", started_at=0, state="starting", applications=(BARE,))
    names = {name for name, _ in read(exposition(families(bare)))}
    assert "coachman_requests_total" in names
    assert not {"coachman_accept_queue", "coachman_supervisor_memory_bytes"} & names
    assert not any(name.startswith(("coachman_last_restart", "coachman_worker_memory")) for name in names)
    assert value(bare, "coachman_request_duration_seconds_count", application="blog") == 0


def test_a_family_of_several_applications_stands_together() -> None:
    both = SupervisorStatus(pid=1, version="1", started_at=0, state="serving", applications=(SITE, BARE))
    text = exposition(families(both)).decode()
    assert text.count("# TYPE coachman_requests_total counter\n") == 1
    assert value(both, "coachman_generation", application="blog") == 1
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


@given(st.text(), st.floats() | st.integers(-(2**60), 2**60))
def test_any_label_and_any_value_can_be_read_back(text: str, number: float) -> None:
    name = text.encode(errors="backslashreplace").decode()
    # The parser takes these for ends of lines, which the format does not.
    name = re.sub(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]", "", name)
    family = Family("x", Kind.GAUGE, name, [Sample(number, {"application": name})])
    [(found, back)] = read(exposition([family])).items()
    assert found == ("x", frozenset({("application", name)}))
    assert back == number or (math.isnan(back) and math.isnan(number))


def test_the_buckets_of_a_histogram_have_one_more_count_than_bounds() -> None:
    with pytest.raises(ValueError, match="zip"):
        histogram({}, (1.0, 2.0), (1, 2), 3.0)


def test_names_and_kinds_follow_the_conventions() -> None:
    for metric in (*OF_SUPERVISOR, *OF_APPLICATIONS):
        assert re.fullmatch("coachman_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.help.endswith(".")


def test_the_page_has_the_table_that_is_served() -> None:
    rows = re.findall(r"^\| `(coachman_\w+)` \| (\w+) \| [^|]*\| ([^|]+) \|$", PAGE, re.MULTILINE)
    served = [(metric.name, metric.kind.value, metric.help) for metric in (*OF_SUPERVISOR, *OF_APPLICATIONS)]
    assert rows == served
