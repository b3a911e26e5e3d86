"""What applications start and leave behind: it ends with its worker, at the latest with the supervisor."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest

from ..end_to_end.applications import HELLO
from .pidfds import Pidfds
from .wholeness import WatchedServer

DEAF_CHILDREN = """
import os, signal

def application(environ, start_response):
    left = []
    for _ in range(3):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.write(write_end, b"!")
            while True:
                signal.pause()
        os.close(write_end)
        os.read(read_end, 1)
        os.close(read_end)
        left.append(pid)
    start_response("200 OK", [])
    return [" ".join(map(str, [os.getpid(), *left])).encode()]
"""
DAEMON = """
import os, signal

def application(environ, start_response):
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(write_end, str(os.getpid()).encode())
            while True:
                signal.pause()
        os._exit(0)
    os.wait()
    os.close(write_end)
    daemon = os.read(read_end, 20).decode()
    os.close(read_end)
    start_response("200 OK", [])
    return [f"{os.getpid()} {daemon}".encode()]
"""


def pids_from(server: WatchedServer) -> list[int]:
    """Return the pids of a worker and of what it has started upon a request."""
    return [int(pid) for pid in httpx.get(server.url, trust_env=False, timeout=30).text.split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_that_ignore_signals_end_with_their_worker(tmp_path: Path, number: signal.Signals) -> None:
    with WatchedServer(tmp_path, application=DEAF_CHILDREN) as server:
        server.settle()
        worker, *left = pids_from(server)
        with Pidfds(left) as pidfds:
            so_far = len(server.output())
            os.kill(worker, number)
            server.wait_for_output(r"worker \d+ \(pid \d+\) is ready", after=so_far)
            pidfds.wait(*left)
        assert not server.processes() & set(left)
        assert server.stop() == 0
        assert server.outcome()[0] == 0


@pytest.mark.parametrize("children", [DEAF_CHILDREN, DAEMON])
def test_nothing_that_an_application_has_started_outlives_the_supervisor(
    tmp_path: Path, children: str
) -> None:
    with WatchedServer(tmp_path, application=children) as server:
        server.settle()
        left = pids_from(server)[1:]
        assert left
        assert server.stop() == 0, server.output()
        assert server.outcome()[0] == 0  # and that no process is left


def test_a_daemon_outlives_its_worker_and_is_named_when_it_is_ended(tmp_path: Path) -> None:
    with WatchedServer(tmp_path, application=DAEMON) as server:
        server.settle()
        worker, daemon = pids_from(server)
        slot = server.workers.index(worker) + 1
        so_far = len(server.output())
        os.kill(worker, signal.SIGKILL)
        server.wait_until_replaced(slot, after=so_far)
        assert daemon in server.processes(), "it has left its worker's group in order to go on"
        assert server.stop() == 0
        assert f"ended what the application had left behind: {daemon}" in server.outcome()[1]


def test_a_daemon_that_ends_by_itself_leaves_no_zombie(tmp_path: Path) -> None:
    with WatchedServer(tmp_path, application=DAEMON + "\n" + HELLO.replace("application", "hello")) as server:
        server.settle()
        worker, daemon = pids_from(server)
        slot = server.workers.index(worker) + 1
        with Pidfds([daemon]) as pidfds:
            os.kill(daemon, signal.SIGKILL)
            pidfds.wait(daemon)
        so_far = len(server.output())
        os.kill(worker, signal.SIGKILL)  # whose end has the supervisor look
        server.wait_until_replaced(slot, after=so_far)
        assert not Path(f"/proc/{daemon}").exists()
        server.assert_whole()
