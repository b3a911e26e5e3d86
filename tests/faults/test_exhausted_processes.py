"""No further process is to be had (EAGAIN): who serves goes on, the others come back when there is room."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient
from .exhaustion import without_forks
from .wholeness import OPTIONS, PROCESSES, WatchedServer

NO_PROCESS = "Resource temporarily unavailable; no further process or thread is allowed: raise the limit"


def ask_at_once(server: CoachmanServe, count: int) -> None:
    """Send requests on connections of their own, and read the answers then: while one is served, others wait.

    One after the other, all would go to the same worker: the kernel wakes whoever has waited first.
    """
    with ExitStack() as on_end:
        clients = [on_end.enter_context(RawClient(server.url)) for _ in range(count)]
        for client in clients:
            client.get()
        for client in clients:
            assert client.answer().body == b"hello"


@pytest.mark.parametrize("method", ["direct", "preload"])
def test_a_worker_that_dies_is_replaced_when_the_supervisor_can_start_processes_again(
    tmp_path: Path, method: str
) -> None:
    with WatchedServer(tmp_path, "--spawn-method", method) as server:
        server.settle()
        preloaders = server.application_pids() - set(server.workers)
        with without_forks([server.pid]):
            for preloader in preloaders:  # or the supervisor would not have to start anything
                os.kill(preloader, signal.SIGKILL)
                server.wait_for_output("ended with SIGKILL; the next worker gets a fresh one")
            so_far = server.kill_worker()
            server.wait_for_output(rf"worker 1 could not be started, trying again.*: .*: {NO_PROCESS}")
            assert httpx.get(server.url, trust_env=False, timeout=30).text == "hello"
        server.wait_until_replaced(after=so_far)
        assert server.output().count("worker 1 could not be started") == 1, "whatever it took"
        server.assert_whole()


def test_a_worker_that_dies_is_replaced_when_the_preloader_can_fork_again(tmp_path: Path) -> None:
    with WatchedServer(tmp_path, "--spawn-method", "preload") as server:
        server.settle()
        (preloader,) = server.application_pids() - set(server.workers)
        with without_forks([preloader]):
            so_far = server.kill_worker()
            server.wait_for_output(
                rf"worker 1 could not be started, .*preloader \(pid {preloader}\) could not fork a worker: "
                f"{NO_PROCESS}"
            )
        server.wait_until_replaced(after=so_far)
        assert preloader in server.application_pids(), "it has done nothing wrong"
        server.assert_whole()


def test_a_restart_that_gets_no_process_leaves_everything_as_it_is(tmp_path: Path) -> None:
    with WatchedServer(tmp_path) as server:
        server.settle()
        with without_forks([server.pid]):
            server.send_signal(signal.SIGHUP)
            server.wait_for_output(
                rf"generation 2 is abandoned, generation 1 goes on serving: .*{NO_PROCESS}"
            )
        assert server.worker_pids() == set(server.workers)
        server.send_signal(signal.SIGHUP)
        server.wait_for_output("the restart is done: generation 3 serves")
        assert server.stop() == 0


def test_the_undertaker_is_replaced_when_there_is_a_process_for_it(tmp_path: Path) -> None:
    with WatchedServer(tmp_path) as server:
        server.settle()
        with without_forks([server.pid]):
            (undertaker,) = server.undertakers()
            os.kill(undertaker, signal.SIGKILL)
            server.wait_for_output(rf"the undertaker could not be started: {NO_PROCESS}.*; replacing it")
        server.wait_for_output(r"another undertaker \(pid \d+\) has taken over")
        server.assert_whole()


def test_slow_calls_are_served_though_there_is_no_thread_for_them(tmp_path: Path) -> None:
    slow = HELLO.replace("    start_response", "    import time; time.sleep(0.01)\n    start_response", 1)
    with WatchedServer(tmp_path, application=slow) as server:
        server.settle()
        with without_forks(server.workers):
            # Each worker finds out by itself that its calls are slow.
            while len(re.findall("slow calls hold up the connections", server.output())) < PROCESSES:
                ask_at_once(server, 4)
        assert server.worker_pids() == set(server.workers), "nobody had to end for it"
        for _ in range(30):
            assert httpx.get(server.url, trust_env=False, timeout=30).text == "hello"
        assert server.output().count("slow calls hold up the connections") == PROCESSES
        server.assert_whole()


def test_a_first_start_without_a_process_fails_with_the_way_out(tmp_path: Path) -> None:
    write_application(tmp_path, WAIT_AT_GATE, "wait_at_gate()", HELLO)
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(tmp_path, *OPTIONS, environment=gate.environment) as server,
    ):
        gate.wait_for_arrival()
        with without_forks([gate.last_pid]):
            gate.open()
            status, output = server.outcome()
    assert status == 1
    assert re.search(rf"coachman: the preloader .* could not fork a worker: {NO_PROCESS}", output)
