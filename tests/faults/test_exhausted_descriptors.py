"""Descriptors have run out (EMFILE): who serves goes on, and everything comes back with the next free one."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from coachman.supervisor.process.spawner import SPARE_DESCRIPTORS

from ..end_to_end.applications import HELLO
from ..end_to_end.raw_client import RawClient
from .exhaustion import few_descriptors
from .wholeness import WatchedServer

NO_DESCRIPTOR = r"Too many open files; raise the limit of open files \(LimitNOFILE=, ulimit -n\)"
STRAY = """
import os, signal
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        print("stray", os.getpid(), flush=True)
        signal.pause()
    os._exit(0)
os.wait()
"""
METHODS = pytest.mark.parametrize("method", ["direct", "preload"])


@METHODS
@pytest.mark.parametrize("spare", [0, 3, SPARE_DESCRIPTORS - 10])
def test_a_worker_that_dies_is_replaced_when_the_supervisor_has_descriptors_again(
    tmp_path: Path, method: str, spare: int
) -> None:
    # What the dead worker had is free, up to 10, and is needed for the next one.
    with WatchedServer(tmp_path, "--spawn-method", method) as server:
        server.settle()
        with few_descriptors(server.pid, spare):
            so_far = server.kill_worker()
            server.wait_for_output(f"worker 1 could not be started, trying again.*: {NO_DESCRIPTOR}")
            assert httpx.get(server.url, trust_env=False, timeout=30).text == "hello"
        server.wait_until_replaced(after=so_far)
        assert server.output().count("worker 1 could not be started") == 1, "however often it was tried"
        server.assert_whole()


@METHODS
def test_as_many_as_a_start_asks_for_are_enough(tmp_path: Path, method: str) -> None:
    with WatchedServer(tmp_path, "--spawn-method", method) as server:
        server.settle()
        with few_descriptors(server.pid, SPARE_DESCRIPTORS):
            # The last one finds the places of the first two free; there is no more room than when it began.
            for slot in (1, 2, 1):
                server.wait_until_replaced(slot, after=server.kill_worker(slot))
        server.assert_whole()


def test_whatever_happens_meanwhile_is_done_later(tmp_path: Path) -> None:
    """The undertaker and a stray of the application die, and a restart is asked for."""
    with WatchedServer(tmp_path, "--spawn-method", "direct", application=STRAY + HELLO) as server:
        server.settle()
        pid = int(server.wait_for_output(r"stray (\d+)")[1])
        with few_descriptors(server.pid, 0):
            (undertaker,) = server.undertakers()
            os.kill(pid, signal.SIGKILL)
            os.kill(undertaker, signal.SIGKILL)
            server.wait_for_output(f"the undertaker could not be started: {NO_DESCRIPTOR}")
            server.send_signal(signal.SIGHUP)
            server.wait_for_output(rf"generation 2 is abandoned, generation 1 goes on .*{NO_DESCRIPTOR}")
        server.wait_for_output(r"another undertaker \(pid \d+\) has taken over")
        server.send_signal(signal.SIGHUP)
        server.wait_for_output("the restart is done: generation 3 serves")
        assert httpx.get(server.url, trust_env=False, timeout=30).text == "hello"
        assert server.stop() == 0
        assert "Traceback" not in server.outcome()[1]


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_worker_without_descriptors_lets_connections_wait_and_serves_them_then(
    tmp_path: Path, threads: str
) -> None:
    with WatchedServer(tmp_path, "--threads", threads) as server, ExitStack() as on_end:
        server.settle()
        os.kill(server.workers[1], signal.SIGSTOP)  # or it would serve them
        with few_descriptors(server.workers[0], 0):
            waiting = [on_end.enter_context(RawClient(server.url)) for _ in range(5)]
            server.wait_for_output(r"cannot \w+ connections for now: Too many open files; raise the")
        for client in waiting:
            client.get()
            assert client.answer().body == b"hello"
        os.kill(server.workers[1], signal.SIGCONT)
        assert len(re.findall(r"cannot \w+ connections", server.output())) == 1, "however often it was tried"
        server.assert_whole()


def test_a_preloader_without_descriptors_is_replaced_with_the_next_worker(tmp_path: Path) -> None:
    with WatchedServer(tmp_path, "--spawn-method", "preload") as server:
        server.settle()
        (preloader,) = server.application_pids() - set(server.workers)
        with few_descriptors(preloader, 0):
            so_far = server.kill_worker()
            server.wait_until_replaced(after=so_far)
            server.wait_for_output(rf"App {preloader} stderr: the preloader ends: .* \(RLIMIT_NOFILE\)")
        assert preloader not in server.application_pids()
        server.assert_whole()
