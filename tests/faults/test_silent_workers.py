"""Workers that are stopped or held: noticed by their silence, asked for their stacks, ended and replaced."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from ..end_to_end.applications import HELLO
from .wholeness import WatchedServer

HEARTBEAT = ("--heartbeat-timeout", "1")
HOLDING = """
import signal

def hold_the_interpreter(*_):
    sum(range(10 ** 15))

signal.signal(signal.SIGUSR1, hold_the_interpreter)
"""


@pytest.mark.parametrize("options", [("--threads", "1"), ("--threads", "4"), ("--spawn-method", "direct")])
def test_a_stopped_worker_is_noticed_and_replaced(tmp_path: Path, options: tuple[str, ...]) -> None:
    with WatchedServer(tmp_path, *HEARTBEAT, *options) as server:
        server.settle()
        stopped = server.workers[0]
        os.kill(stopped, signal.SIGSTOP)
        server.wait_for_output(rf"worker 1 \(pid {stopped}\) is to be replaced: a signal has stopped it")
        fresh = server.wait_for_output(r"worker 3 \(pid (\d+)\) is ready")
        server.wait_for_output(rf"\(pid {stopped}\) ended with SIGKILL .*: a signal has stopped it")
        server.workers[0] = int(fresh[1])
        assert server.output().count("is to be replaced") == 1
        server.assert_whole()


def test_an_idle_worker_whose_interpreter_is_held_by_c_code_is_shown_and_aborted(tmp_path: Path) -> None:
    options = (*HEARTBEAT, "--limit", "core=0")
    with WatchedServer(tmp_path, *options, application=HOLDING + HELLO) as server:
        server.settle()
        held = server.workers[0]
        os.kill(held, signal.SIGUSR1)
        why = r"it has given no sign of life for \d+ s"
        server.wait_for_output(rf"worker 1 \(pid {held}\) is to be replaced: {why}")
        server.wait_for_output(rf"App {held} stacks: .* in hold_the_interpreter")
        fresh = server.wait_for_output(r"worker 3 \(pid (\d+)\) is ready")
        server.wait_for_output(rf"\(pid {held}\) ended with SIGABRT .*: {why}")
        server.workers[0] = int(fresh[1])
        assert server.output().count("is to be replaced") == 1
        server.assert_whole()


def test_all_workers_stopped_at_once_are_replaced_one_by_one(tmp_path: Path) -> None:
    with WatchedServer(tmp_path, *HEARTBEAT) as server:
        server.settle()
        for pid in server.workers:
            os.kill(pid, signal.SIGSTOP)
        # Nobody else can answer; the request waits with the kernel.
        assert httpx.get(server.url, trust_env=False, timeout=60).text == "hello"
        for pid in server.workers:
            server.wait_for_output(rf"\(pid {pid}\) ended with SIGKILL .*: a signal has stopped it")
        ready = re.findall(r"worker \d \(pid (\d+)\) is ready", server.output())
        assert len(ready) == 4
        assert server.stop() == 0


def test_a_worker_that_goes_on_in_time_is_left_alone(tmp_path: Path) -> None:
    with WatchedServer(tmp_path, "--heartbeat-timeout", "60") as server:
        server.settle()
        os.kill(server.workers[0], signal.SIGSTOP)
        os.kill(server.workers[0], signal.SIGCONT)
        server.assert_whole()
        assert "is to be replaced" not in server.output()


def test_a_request_that_takes_its_time_is_no_silence(tmp_path: Path) -> None:
    slow = HELLO.replace("    start_response", "    import time; time.sleep(3)\n    start_response", 1)
    with WatchedServer(tmp_path, *HEARTBEAT, application=slow) as server:
        server.settle()
        assert httpx.get(server.url, trust_env=False, timeout=60).text == "hello"
        assert "is to be replaced" not in server.output()
        assert server.stop() == 0
