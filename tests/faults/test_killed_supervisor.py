"""kill -9 of the supervisor: what has nothing in hand ends at once, whatever it is doing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import pytest

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient
from .killing import assert_nothing_outlives

AT_ONCE: Final = 10.0
"""Seconds: long for a loaded machine, and nothing beside what workers are given to finish in these tests."""

CHILD: Final = """
import subprocess, sys
program = "import signal; print('child runs', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", program])
"""

FORKED_CHILD: Final = """
import os, signal
if os.fork() == 0:
    print("child runs", flush=True)
    while True:
        signal.pause()
"""

IN_C_CODE: Final = """
import re
print("now", flush=True)
re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter: no other thread runs
"""


@pytest.fixture(params=["1 direct", "4 direct", "1 auto", "4 auto"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    threads, method = request.param.split()
    kind = ("--threads", threads, "--spawn-method", method, "--drain-timeout", "60")
    return ("--bind", "127.0.0.1:0", "--processes", "2", *kind)


def assert_all_end_at_once(server: CoachmanServe, at_least: int) -> None:
    assert_nothing_outlives(server, within=AT_ONCE, at_least=at_least)


def test_idle_workers_end(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"
            assert_all_end_at_once(server, at_least=4)
            assert client.read_to_end() == b""


def test_a_worker_that_is_loading_ends(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, "wait_at_gate()", HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        gate.wait_for_arrival()
        assert_all_end_at_once(server, at_least=3)


def test_a_stopped_worker_that_is_loading_ends(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, "wait_at_gate()", HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        gate.wait_for_arrival()
        os.kill(gate.last_pid, signal.SIGSTOP)
        assert_all_end_at_once(server, at_least=3)


def test_a_worker_whose_interpreter_is_held_by_c_code_ends_while_it_is_loading(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, IN_C_CODE, HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        server.wait_for_output("stdout: now")
        assert_all_end_at_once(server, at_least=3)


@pytest.mark.parametrize("child", [CHILD, FORKED_CHILD], ids=["executed", "forked"])
def test_a_child_of_the_application_ends(tmp_path: Path, options: tuple[str, ...], child: str) -> None:
    write_application(tmp_path, child, HELLO)
    loaded = 2 if "direct" in options else 1
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(2)
        # All of them: a process that is just being executed cannot be told by its environment.
        server.wait_for_output("(?s)" + ".*".join(["child runs"] * loaded))
        assert_all_end_at_once(server, at_least=6)


@pytest.mark.parametrize("child", [CHILD, FORKED_CHILD], ids=["executed", "forked"])
def test_a_child_of_the_preloader_ends(tmp_path: Path, options: tuple[str, ...], child: str) -> None:
    write_application(tmp_path, child, HELLO)
    with CoachmanServe(tmp_path, *options, "--spawn-method", "preload") as server:
        server.ready_workers(2)
        server.wait_for_output("child runs")
        assert_all_end_at_once(server, at_least=6)


def test_a_child_of_an_application_that_is_loading_ends(
    tmp_path: Path, gate: Gate, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, CHILD, WAIT_AT_GATE, "wait_at_gate()", HELLO)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        gate.wait_for_arrival()
        server.wait_for_output("child runs")
        assert_all_end_at_once(server, at_least=4)


def test_what_an_application_does_at_its_exit_is_done(tmp_path: Path, options: tuple[str, ...]) -> None:
    at_exit = """
    import atexit, os, pathlib
    atexit.register(lambda: pathlib.Path(f"{os.getpid()}.ended").touch())
    """
    write_application(tmp_path, at_exit, CHILD, HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        workers = server.ready_workers(2)
        server.wait_for_output("child runs")
        assert_all_end_at_once(server, at_least=5)
        assert all((tmp_path / f"{pid}.ended").exists() for pid in workers)
