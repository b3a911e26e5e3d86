"""Metrics and health checks of a running server."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .metrics_client import MetricsClient
from .raw_client import RawClient

METRICS = ("--metrics", "127.0.0.1:0")
GATED = """
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/gate":
        wait_at_gate()
    start_response(path.rpartition("/")[2] + " Status", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def test_the_processes_are_there_with_their_memory(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, "--bind", "127.0.0.1:0", "--processes", "2", *METRICS) as server:
        server.ready_workers(2)
        metrics = MetricsClient(server)
        assert metrics.value("coachman_workers", application=tmp_path.name, state="ready") == 2
        assert metrics.value("coachman_generation", application=tmp_path.name) == 1
        for number in ("1", "2"):
            assert metrics.value("coachman_worker_memory_bytes", worker=number) > 1e6
        assert metrics.value("coachman_application_memory_bytes") > 2e6
        assert metrics.value("coachman_supervisor_memory_bytes") > 1e6
        assert metrics.value("coachman_supervisor_cpu_seconds_total") > 0
        assert metrics.value("coachman_log_lines_total") >= 4
        assert metrics.value("coachman_start_time_seconds") == pytest.approx(time.time(), abs=60)


def test_health_follows_the_life_of_the_server(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, "wait_at_gate()\n" + GATED)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *METRICS, environment=gate.environment) as server:
        gate.wait_for_arrival()
        metrics = MetricsClient(server)
        assert metrics.get("/healthz").status_code == 200
        starting = metrics.get("/readyz")
        assert starting.status_code == 503
        assert "no worker that is ready" in starting.text
        gate.open()
        server.ready_workers(1)
        assert metrics.get("/readyz").text == "ready\n"
        assert metrics.get(f"/readyz/{tmp_path.name}").status_code == 200
        assert metrics.get("/readyz/other").status_code == 404


def test_it_is_not_ready_from_the_moment_that_it_stops(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    own = ("--metrics", "127.53.0.2:0")  # an address where nobody else listens in the end
    with CoachmanServe(tmp_path, *ONE_PROCESS, *own, environment=gate.environment) as server:
        server.ready_workers(1)
        metrics = MetricsClient(server)
        with RawClient(server.url) as client:
            client.get("/gate")
            gate.wait_for_arrival()
            server.send_signal(signal.SIGTERM)
            server.wait_for_output("SIGTERM: stopping")
            stopping = metrics.get("/readyz")
            assert (stopping.status_code, stopping.text) == (503, "the supervisor is stopping\n")
            assert metrics.get("/healthz").status_code == 200
            assert metrics.value("coachman_workers", state="draining") == 1
            gate.open()
            assert client.read_to_end()
        assert server.outcome()[0] == 0
        with pytest.raises(httpx.ConnectError):
            metrics.get("/healthz")


def test_only_what_there_is_can_be_asked_for(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *METRICS) as server:
        metrics = MetricsClient(server)
        assert metrics.get("/").status_code == 404
        assert "/metrics" in metrics.get("/").text
        posted = httpx.post(f"{metrics.url}/metrics", content=b"x", timeout=30, trust_env=False)
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
        head = httpx.head(f"{metrics.url}/metrics", timeout=30, trust_env=False)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 1000


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *METRICS) as first:
        taken = MetricsClient(first).url.removeprefix("http://")
        with CoachmanServe(tmp_path, *ONE_PROCESS, "--metrics", taken) as second:
            status, output = second.outcome()
    assert status == 1
    assert f"cannot listen on {taken}: the address is in use" in output


def test_replacements_and_starts_are_counted(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *METRICS) as server:
        [pid] = server.ready_workers(1)
        metrics = MetricsClient(server)
        os.kill(pid, signal.SIGKILL)
        server.wait_for_output(rf"worker 1 \(pid (?!{pid})\d+\) is ready")
        assert metrics.value("coachman_worker_start_seconds_count") == 2
        assert metrics.value("coachman_worker_start_seconds_sum") > 0
        assert metrics.value("coachman_worker_replacements_total", reason="died") == 1
        server.send_signal(signal.SIGHUP)
        server.wait_for_output("the restart is done: generation 2 serves")
        assert metrics.value("coachman_worker_replacements_total", reason="restart") == 1
        assert metrics.value("coachman_generation") == 2
        assert metrics.value("coachman_last_restart_succeeded") == 1
        assert metrics.value("coachman_last_restart_time_seconds") == pytest.approx(time.time(), abs=60)
        assert metrics.get("/readyz").status_code == 200


def end_worker(server: CoachmanServe, pid: int) -> None:
    """Have a worker finish; return once it has ended, with all its counts written, and another is ready."""
    so_far = len(server.output())
    os.kill(pid, signal.SIGTERM)
    server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0", after=so_far)
    server.wait_for_output(r"worker \d+ \(pid \d+\) is ready", after=so_far)


def test_counts_survive_the_workers(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *METRICS, environment=gate.environment) as server:
        metrics = MetricsClient(server)
        for statuses in ((201, 302, 404, 500), ()):
            with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
                for status in statuses:
                    client.get(f"/{status}")
                pid = int(client.get("/200").text)
            end_worker(server, pid)

        def counted(status: str) -> float:
            return metrics.value("coachman_requests_total", status=status)

        assert [counted(status) for status in ("2xx", "3xx", "4xx", "5xx")] == [3, 1, 1, 1]
        assert metrics.value("coachman_request_duration_seconds_count") == 6
        assert metrics.value("coachman_connections_accepted_total") == 2
        assert metrics.value("coachman_worker_start_seconds_count") == 3
        assert metrics.total("coachman_worker_replacements_total") == 2
