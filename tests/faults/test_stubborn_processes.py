"""Processes that do not end by themselves, and those that stay behind: the supervisor ends all the same."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from ..end_to_end.applications import HELLO, ONE_PROCESS, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient
from .pidfds import Pidfds

IN_THE_END = 10 + 2 + 20
"""Seconds: what a worker gets to finish, the grace after that, and what a busy machine may take."""

PATIENT = ("--drain-timeout", "90")
"""Longer than a test waits: what ends does so because it may, not because its time is up."""

CHILD = """
import subprocess, sys
subprocess.Popen(
    [sys.executable, "-c", "import signal; print('child runs', flush=True); signal.pause()"],
    start_new_session={session},
)
"""


def test_a_stopped_worker_is_killed_in_the_end(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        (pid,) = server.ready_workers(1)
        server.wait_for_output("listening")
        os.kill(pid, signal.SIGSTOP)
        server.send_signal(signal.SIGTERM)
        status, output = server.outcome(timeout=IN_THE_END)
    assert status == 0
    assert f"worker 1 (pid {pid}) did not end in time and is killed" in output


def test_a_stopped_worker_is_killed_at_once_where_that_is_asked_for(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *PATIENT) as server:
        (pid,) = server.ready_workers(1)
        server.wait_for_output("listening")
        os.kill(pid, signal.SIGSTOP)
        server.send_signal(signal.SIGTERM)
        server.wait_for_output("SIGTERM: stopping")
        server.send_signal(signal.SIGTERM)
        assert server.outcome()[0] == 0


@pytest.mark.parametrize(
    ("threads", "last_words"),
    [
        (
            "1",
            r"worker 1 \(pid \d+\) ended with SIGKILL after 0 .*, in GET /never.*: the server stops",
        ),
        ("4", r"worker 1 \(pid \d+\) gave up requests that took too long, in GET /never"),
    ],
)
def test_a_request_that_never_ends_is_given_up_in_the_end(
    tmp_path: Path, threads: str, last_words: str
) -> None:
    options = ("--threads", threads, "--drain-timeout", "1")
    write_application(tmp_path, WAIT_AT_GATE, "application = lambda environ, start_response: wait_at_gate()")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(tmp_path, *ONE_PROCESS, *options, environment=gate.environment) as server,
        RawClient(server.url) as client,
    ):
        client.get("/never")
        gate.wait_for_arrival()
        server.send_signal(signal.SIGTERM)
        status, output = server.outcome(timeout=IN_THE_END)
    assert status == 0
    assert re.search(last_words, output)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_child_of_the_application_ends_with_its_worker(tmp_path: Path, threads: str) -> None:
    write_application(tmp_path, CHILD.format(session=False), HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *PATIENT, "--threads", threads) as server:
        server.ready_workers(1)
        server.wait_for_output("child runs")
        server.send_signal(signal.SIGTERM)
        assert server.outcome()[0] == 0  # and that nothing is left


def test_a_child_of_a_killed_worker_ends_before_its_successor_starts(tmp_path: Path) -> None:
    write_application(tmp_path, CHILD.format(session=False), HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--spawn-method", "direct") as server:
        (pid,) = server.ready_workers(1)
        server.wait_for_output("child runs")
        (child,) = server.processes() - {server.pid, pid} - server.undertakers()
        with Pidfds([child]) as pidfds:
            os.kill(pid, signal.SIGKILL)
            server.wait_for_output(r"(?s)replacing it.*worker 1 \(pid \d+\) is ready")
            pidfds.wait(child)  # it is killed before; how soon it is gone is the scheduler's affair
        server.wait_for_output(r"(?s)stdout: child runs.*stdout: child runs")
        assert len(server.processes()) == 4, "the supervisor, its undertaker, the worker, its child"


def test_a_grandchild_in_a_session_of_its_own_that_holds_stdout_holds_up_nothing(tmp_path: Path) -> None:
    write_application(tmp_path, CHILD.format(session=True), HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *PATIENT) as server:
        (pid,) = server.ready_workers(1)
        server.wait_for_output("child runs")
        os.kill(pid, signal.SIGKILL)
        server.wait_for_output(r"(?s)replacing it.*worker 1 \(pid \d+\) is ready")
        assert server.stop(timeout=30) == 0, server.output()
        # It has left the group on purpose, to outlive its parent; the supervisor it does not outlive.
        assert not server.processes()


def test_a_broken_application_whose_daemon_holds_stdout_is_reported(tmp_path: Path) -> None:
    write_application(tmp_path, CHILD.format(session=True), "raise RuntimeError('broken')")
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        assert server.wait() == 1
        assert "RuntimeError: broken" in server.wait_for_output(r"(?s)coachman: .*broken\n$")[0]


def test_a_daemon_that_was_forked_and_holds_every_descriptor_holds_up_nothing(tmp_path: Path) -> None:
    daemon = """
    import os, signal
    if os.fork() == 0:
        os.setsid()
        print("daemon runs", flush=True)
        while True:
            signal.pause()
    """
    write_application(tmp_path, daemon, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *PATIENT) as server:
        (pid,) = server.ready_workers(1)
        server.wait_for_output("daemon runs")
        os.kill(pid, signal.SIGTERM)
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended .*: it had got SIGTERM")
        server.wait_for_output(r"worker 2 \(pid \d+\) is ready")
        assert server.stop(timeout=30) == 0, server.output()
