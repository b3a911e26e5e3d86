"""Workers that have reached a limit are replaced, one at a time, and a fresh one is there before."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

TWO = ("--bind", "127.0.0.1:0", "--processes", "2")


def least_ready(output: str) -> int:
    """Return how few workers were ready at a time, once both were."""
    ready, fewest, full = 0, 99, False
    for event in re.findall(r"worker \d+ \(pid \d+\) (is ready|ended)", output):
        ready += 1 if event == "is ready" else -1
        full = full or ready == 2
        if full:
            fewest = min(fewest, ready)
    return fewest


def test_an_old_worker_is_replaced(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *TWO, "--max-worker-age", "1") as server:
        for pid in server.ready_workers(2):
            server.wait_for_output(rf"\(pid {pid}\) is to be replaced: it has served for [1-9]\d* s")
            server.wait_for_output(
                rf"\(pid {pid}\) ended with exit status 0 .*: it has served for [1-9]\d* s"
            )
        assert least_ready(server.output()) == 2
        assert server.stop() == 0


def test_a_worker_that_takes_too_much_memory_is_replaced(tmp_path: Path) -> None:
    # Each process by itself: what a preloader has is shared by those that it forks.
    grow = """
    import os
    if not os.path.exists("grown"):
        open("grown", "w").close()
        ballast = bytearray(80_000_000)
    """
    write_application(tmp_path, grow, HELLO)
    options = ("--spawn-method", "direct", "--max-worker-memory", "60M")
    with CoachmanServe(tmp_path, *TWO, *options) as server:
        (first,) = server.ready_workers(1)
        server.wait_for_output(rf"\(pid {first}\) is to be replaced: it takes \d+ MiB of memory")
        server.wait_for_output(rf"\(pid {first}\) ended with exit status 0")
        assert server.stop() == 0
        assert server.outcome()[1].count("is to be replaced") == 1


def test_a_worker_that_had_to_give_a_request_up_is_replaced(tmp_path: Path) -> None:
    gated = """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/stuck":
            wait_at_gate()
        start_response("200 OK", [])
        return [b"served"]
    """
    write_application(tmp_path, WAIT_AT_GATE, gated)
    options = ("--threads", "2", "--request-timeout", "1", "--drain-timeout", "1")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(tmp_path, *TWO, *options, environment=gate.environment) as server,
    ):
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get("/stuck")
            gate.wait_for_arrival()
            pid = gate.last_pid
            assert client.answer().status == 504
        server.wait_for_output(rf"worker \d+ \(pid {pid}\) ended .*: it had to give up GET /stuck")
        server.wait_for_output("in wait_at_gate")
        assert least_ready(server.output()) == 2
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"served"
        assert server.stop() == 0


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_without_limits_nobody_is_replaced(tmp_path: Path, method: str) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *TWO, "--spawn-method", method) as server:
        server.ready_workers(2)
        assert server.stop() == 0
        assert "is to be replaced" not in server.outcome()[1]


def test_a_worker_that_gives_no_sign_of_life_is_replaced(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    options = ("--bind", "127.0.0.1:0", "--processes", "1", "--heartbeat-timeout", "1")
    with CoachmanServe(tmp_path, *options) as server:
        (pid,) = server.ready_workers(1)
        os.kill(pid, signal.SIGSTOP)
        server.wait_for_output(rf"\(pid {pid}\) is to be replaced: a signal has stopped it")
        server.wait_for_output(rf"\(pid {pid}\) ended with SIG(ABRT|KILL).*: a signal has stopped it")
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"
        assert server.stop() == 0


def test_a_worker_is_replaced_after_so_many_requests(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    options = ("--bind", "127.0.0.1:0", "--processes", "1", "--max-requests", "5")
    with CoachmanServe(tmp_path, *options) as server:
        (pid,) = server.ready_workers(1)
        with RawClient(server.url) as client:
            for _ in range(5):
                client.get()
                assert client.answer().body == b"hello"
            server.wait_for_output(rf"\(pid {pid}\) is to be replaced: it has answered 5 requests")
            server.wait_for_output(
                rf"\(pid {pid}\) ended with exit status 0 after 5 requests in .* s: it has answered 5"
            )
            # The connection has gone over to the next worker.
            client.get()
            assert client.answer().body == b"hello"
        assert server.stop() == 0


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_long_request_is_no_lack_of_life(tmp_path: Path, threads: str) -> None:
    gated = """
    def application(environ, start_response):
        wait_at_gate()
        start_response("200 OK", [])
        return [b"done"]
    """
    write_application(tmp_path, WAIT_AT_GATE, gated)
    options = (*ONE_PROCESS, "--threads", threads, "--heartbeat-timeout", "1")
    with Gate(tmp_path) as gate, CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        with RawClient(server.url) as client:
            client.get()
            gate.wait_for_arrival()
            client.sock.settimeout(3)  # much longer than a worker may be silent
            with pytest.raises(TimeoutError):
                client.answer()
            client.sock.settimeout(30)
            gate.open()
            assert client.answer().body == b"done"
        assert server.stop() == 0
        assert "is to be replaced" not in server.outcome()[1]
