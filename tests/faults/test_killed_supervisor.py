"""kill -9 of the supervisor leaves no process after one second, whatever its workers are doing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient
from .pidfds import Pidfds

AT_MOST_SECONDS = 1.0

GATED = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        wait_at_gate()
    start_response("200 OK", [])
    return []
"""

CHILD = """
import subprocess, sys
program = "import signal; print('child runs', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", program])
"""

FORKED_CHILD = """
import os, signal
if os.fork() == 0:
    print("child runs", flush=True)
    while True:
        signal.pause()
"""

THREAD = """
import threading
threading.Thread(target=wait_at_gate).start()
"""

STUBBORN = """
import atexit, signal
atexit.register(wait_at_gate)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with Gate(tmp_path) as gate:
        yield gate


@pytest.fixture(params=["1 direct", "4 direct", "1 auto", "4 auto"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    threads, method = request.param.split()
    kind = ("--threads", threads, "--spawn-method", method)
    return ("--bind", "127.0.0.1:0", "--processes", "2", *kind)


def assert_nothing_outlives(server: CoachmanServe, at_least: int) -> None:
    """Kill the supervisor and see every process of it end in time, `at_least` so many."""
    processes = server.processes()
    assert len(processes) >= at_least, (processes, server.output())
    with Pidfds(processes) as pidfds:
        server.kill()
        left = pidfds.living_after(AT_MOST_SECONDS)
        assert not left, f"{left} of {processes} still run\n{server.output()}"
    assert not server.processes()


def test_idle_workers_end(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"
            assert_nothing_outlives(server, at_least=3)


def test_a_worker_in_a_long_request_ends(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get("/gate")
            gate.wait_for_arrival()
            assert_nothing_outlives(server, at_least=3)


def test_a_worker_that_is_loading_ends(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, "wait_at_gate()", HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        gate.wait_for_arrival()
        assert_nothing_outlives(server, at_least=2)


@pytest.mark.parametrize("child", [CHILD, FORKED_CHILD], ids=["executed", "forked"])
def test_a_child_of_the_application_ends(tmp_path: Path, options: tuple[str, ...], child: str) -> None:
    write_application(tmp_path, child, HELLO)
    loaded = 2 if "direct" in options else 1
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(2)
        # All of them: a process that is just being executed cannot be told by its environment.
        server.wait_for_output("(?s)" + ".*".join(["child runs"] * loaded))
        assert_nothing_outlives(server, at_least=5)


@pytest.mark.parametrize("child", [CHILD, FORKED_CHILD], ids=["executed", "forked"])
def test_a_child_of_the_preloader_ends(tmp_path: Path, options: tuple[str, ...], child: str) -> None:
    write_application(tmp_path, child, HELLO)
    with CoachmanServe(tmp_path, *options, "--spawn-method", "preload") as server:
        server.ready_workers(2)
        server.wait_for_output("child runs")
        assert_nothing_outlives(server, at_least=5)


def test_a_child_of_an_application_that_is_loading_ends(
    tmp_path: Path, gate: Gate, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, CHILD, WAIT_AT_GATE, "wait_at_gate()", HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        gate.wait_for_arrival()
        server.wait_for_output("child runs")
        assert_nothing_outlives(server, at_least=3)


def test_a_worker_with_a_thread_of_the_application_ends(
    tmp_path: Path, gate: Gate, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, THREAD, HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        server.ready_workers(2)
        gate.wait_for_arrival()
        assert_nothing_outlives(server, at_least=3)


def test_a_worker_that_does_not_want_to_end_does(
    tmp_path: Path, gate: Gate, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, STUBBORN, HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        server.ready_workers(2)
        assert_nothing_outlives(server, at_least=3)


def test_a_stopped_worker_ends(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        for pid in server.ready_workers(2):
            os.kill(pid, signal.SIGSTOP)
        assert_nothing_outlives(server, at_least=3)


IN_C_CODE = """
import re
def never_return():
    print("now", flush=True)
    re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter: no other thread runs
"""


def test_a_worker_whose_interpreter_is_held_by_c_code_ends_while_it_is_loading(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, IN_C_CODE, "never_return()", HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        server.wait_for_output("stdout: now")
        assert_nothing_outlives(server, at_least=2)


def test_a_worker_whose_interpreter_is_held_by_c_code_ends_while_it_is_serving(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, IN_C_CODE, "application = lambda environ, start_response: never_return()")
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get()
            server.wait_for_output("stdout: now")
            assert_nothing_outlives(server, at_least=3)
