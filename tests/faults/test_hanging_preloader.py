"""The application hangs while the preloader loads it: the start ends in time, and nothing waits for it."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from .pidfds import Pidfds
from .wholeness import OPTIONS, PROCESSES

HANG = """
def connect_to_database():
    wait_at_gate()
connect_to_database()
"""
SECONDS_TO_HANG = "10"
"""What a start may take: long enough for a busy machine to come to where the application hangs."""
PROMPTLY = 20.0
"""Seconds within which a supervisor ends that has nothing to wait for: a third of what a start may take. By
itself it takes 0.2."""


@pytest.fixture
def server(tmp_path: Path) -> CoachmanServe:
    """Return a server whose next generation will hang."""
    write_application(tmp_path, HELLO)
    return CoachmanServe(
        tmp_path,
        *OPTIONS,
        *("--start-timeout", "60", "--restart-file", ""),
        environment={"GATE": str(tmp_path / "gate")},
    )


def hanging_server(folder: Path, gate: Gate) -> CoachmanServe:
    """Return one that gives up a start that hangs."""
    timeout = ("--start-timeout", SECONDS_TO_HANG)
    return CoachmanServe(folder, *OPTIONS, *timeout, environment=gate.environment)


def test_the_stacks_are_in_the_failure_of_the_start(tmp_path: Path) -> None:
    write_application(tmp_path, WAIT_AT_GATE, HANG, HELLO)
    with Gate(tmp_path) as gate, hanging_server(tmp_path, gate) as server:
        status, output = server.outcome()
    assert status == 1
    assert f"was not ready in time: after {SECONDS_TO_HANG} s it was in the step load application" in output
    assert "At that moment it was in wait_at_gate" in output
    assert re.search(r"line \d+ in connect_to_database", output)


def test_a_restart_that_hangs_is_abandoned_with_the_stacks(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with Gate(tmp_path) as gate, hanging_server(tmp_path, gate) as server:
        workers = server.ready_workers(PROCESSES)
        write_application(tmp_path, WAIT_AT_GATE, HANG, HELLO)
        server.send_signal(signal.SIGHUP)
        server.wait_for_output(
            "generation 2 is abandoned, generation 1 goes on serving: .* was not ready in time"
        )
        server.wait_for_output(r"line \d+ in connect_to_database")
        assert server.worker_pids() == set(workers)
        assert server.stop() == 0
        assert server.outcome()[0] == 0


def test_a_restart_while_one_hangs_takes_its_place(tmp_path: Path, server: CoachmanServe) -> None:
    with Gate(tmp_path) as gate, server:
        server.ready_workers(PROCESSES)
        write_application(tmp_path, WAIT_AT_GATE, HANG, HELLO)
        server.send_signal(signal.SIGHUP)
        gate.wait_for_arrival()
        with Pidfds([gate.last_pid]) as hanging:
            write_application(tmp_path, HELLO)
            server.send_signal(signal.SIGHUP)
            server.wait_for_output("the restart is done: generation 3 serves")
            hanging.wait(gate.last_pid)  # it was killed, and a busy machine may take its time for that
        assert server.stop() == 0
        assert server.outcome()[0] == 0


def test_a_stop_does_not_wait_for_one_that_hangs(tmp_path: Path, server: CoachmanServe) -> None:
    with Gate(tmp_path) as gate, server:
        server.ready_workers(PROCESSES)
        write_application(tmp_path, WAIT_AT_GATE, HANG, HELLO)
        server.send_signal(signal.SIGHUP)
        gate.wait_for_arrival()
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.outcome()[0] == 0
        assert time.monotonic() - began < PROMPTLY


def test_a_preloader_that_hangs_in_a_fork_does_not_hold_up_the_end(tmp_path: Path) -> None:
    hook = """
    from coachman import hooks
    forks = 0

    @hooks.before_fork
    def wait_for_third():
        global forks
        forks += 1
        if forks == 3:
            wait_at_gate()
    """
    write_application(tmp_path, WAIT_AT_GATE, hook, HELLO)
    with Gate(tmp_path) as gate, CoachmanServe(tmp_path, *OPTIONS, environment=gate.environment) as server:
        first, _ = server.ready_workers(PROCESSES)
        os.kill(first, signal.SIGKILL)
        gate.wait_for_arrival()
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.outcome()[0] == 0
        assert time.monotonic() - began < PROMPTLY
