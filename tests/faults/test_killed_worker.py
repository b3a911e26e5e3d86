"""kill -9 of a worker: what it had in hand is lost, and nothing else."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..end_to_end.applications import ONE_PROCESS, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient

APPLICATION = """
import os

def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        wait_at_gate()
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [environ["PATH_INFO"].encode()]
"""
CLIENTS, REQUESTS, PROCESSES = 6, 400, 2


@dataclass
class Load:
    """Clients that keep their connections and send one request after the other.

    One whose connection breaks notes it, connects anew and goes on with its next request.
    """

    host: str
    answered: Counter[int] = field(default_factory=Counter)
    """Responses of each worker."""
    broken: Counter[int] = field(default_factory=Counter)
    """Requests of each client that got no answer."""
    wrong: list[str] = field(default_factory=list)
    halfway: threading.Barrier = field(default_factory=lambda: threading.Barrier(CLIENTS + 1))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client was left without an answer"

    def _run(self, number: int) -> None:
        client = http.client.HTTPConnection(self.host, timeout=30)
        try:
            for turn in range(REQUESTS):
                if turn == REQUESTS // 2:
                    self.halfway.wait(60)
                path = f"/{number}/{turn}"
                try:
                    client.request("GET", path)
                    answer = client.getresponse()
                    body, pid = answer.read().decode(), int(answer.headers["X-Pid"])
                except (ConnectionError, http.client.HTTPException):
                    client.close()
                    with self._lock:
                        self.broken[number] += 1
                    continue
                with self._lock:
                    self.answered[pid] += 1
                    if (answer.status, body) != (200, path):
                        self.wrong.append(f"{path}: {answer.status} {body}")
        except BaseException:
            self.halfway.abort()
            raise
        finally:
            client.close()


@pytest.fixture(params=["1", "4"], ids=["1 thread", "4 threads"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CoachmanServe]:
    write_application(tmp_path, WAIT_AT_GATE, APPLICATION)
    options = ("--bind", "127.0.0.1:0", "--processes", str(PROCESSES), "--threads", request.param)
    with CoachmanServe(tmp_path, *options, environment={"GATE": str(tmp_path / "gate")}) as server:
        server.ready_workers(PROCESSES)
        yield server


def test_under_load_only_requests_in_flight_on_it_are_lost(server: CoachmanServe) -> None:
    victim, other = server.ready_workers(PROCESSES)
    load = Load(urlsplit(server.url).netloc)
    load.start()
    load.halfway.wait(60)
    os.kill(victim, signal.SIGKILL)
    load.join()

    assert not load.wrong
    # A client has one request at a time, so that is all it can lose. Where it was with the other worker,
    # or comes back before the kernel has closed the victim's queue, it loses nothing.
    assert all(lost == 1 for lost in load.broken.values()), load.broken
    assert load.answered.total() + load.broken.total() == CLIENTS * REQUESTS
    server.wait_for_output(rf"worker 1 \(pid {victim}\) ended with SIGKILL after .*; replacing it")
    server.wait_for_output(r"(?s)replacing it.*worker 1 \(pid \d+\) is ready")
    assert other in server.worker_pids()
    assert len(server.worker_pids()) == PROCESSES
    assert server.stop() == 0, server.output()
    assert server.outcome()[0] == 0


def test_a_request_on_another_worker_is_not_touched(server: CoachmanServe, tmp_path: Path) -> None:
    with Gate(tmp_path) as gate, RawClient(server.url) as client:
        client.get("/gate")
        gate.wait_for_arrival()
        busy, pids = gate.last_pid, server.ready_workers(PROCESSES)
        (idle,) = set(pids) - {busy}
        slot = pids.index(idle) + 1
        os.kill(idle, signal.SIGKILL)
        server.wait_for_output(rf"(?s)pid {idle}\) ended with SIGKILL.*worker {slot} \(pid \d+\) is ready")
        gate.open()
        assert client.answer().headers["x-pid"] == str(busy)


def test_connections_that_nobody_has_accepted_survive_a_killed_worker(tmp_path: Path) -> None:
    write_application(tmp_path, WAIT_AT_GATE, APPLICATION)
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(tmp_path, *ONE_PROCESS, environment=gate.environment) as server,
        RawClient(server.url) as client,
    ):
        client.get("/gate")
        gate.wait_for_arrival()
        with RawClient(server.url) as waiting:  # in the kernel's queue: the only thread is busy
            waiting.get("/waiting")
            (pid,) = server.ready_workers(1)
            os.kill(pid, signal.SIGKILL)
            assert client.read_to_end() == b""
            assert waiting.answer().body == b"/waiting", "its successor serves what waits"
        assert server.stop() == 0, server.output()


def test_a_worker_that_crashes_is_named_and_replaced(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        import ctypes, os, resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/crash":
                ctypes.string_at(0)
            if environ["PATH_INFO"] == "/exit":
                os._exit(7)
            start_response("200 OK", [])
            return [b"serving on"]
        """,
    )
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        for path, ending in (("/crash", "SIGSEGV"), ("/exit", "exit status 7")):
            with RawClient(server.url) as client:
                client.get(path)
                assert client.read_to_end() == b""
            server.wait_for_output(
                rf"worker 1 \(pid \d+\) ended with {ending}.* after .* s, in GET {path}; replacing it"
            )
            with RawClient(server.url) as client:
                client.get()
                assert client.answer().body == b"serving on"
        assert server.stop() == 0, server.output()


def test_an_application_that_breaks_later_is_tried_again_until_it_starts(tmp_path: Path) -> None:
    file = write_application(tmp_path, WAIT_AT_GATE, APPLICATION)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--spawn-method", "direct") as server:
        (pid,) = server.ready_workers(1)
        whole = file.read_text()
        file.write_text("raise RuntimeError('half deployed')")
        os.kill(pid, signal.SIGKILL)
        server.wait_for_output(
            r"worker 1 could not be started.*could not be loaded: RuntimeError: half deployed"
        )
        so_far = len(server.output())
        file.write_text(whole)
        server.wait_for_output(r"worker 1 \(pid \d+\) is ready", after=so_far)
        with RawClient(server.url) as client:
            client.get("/again")
            assert client.answer().body == b"/again"


def test_a_death_names_the_request_that_was_running(tmp_path: Path) -> None:
    deadly = """
    import os, signal
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/deadly":
            print("now it comes", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        start_response("200 OK", [])
        return []
    """
    write_application(tmp_path, deadly)
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        (pid,) = server.ready_workers(1)
        with RawClient(server.url) as client:
            for _ in range(2):
                client.get("/fine")
                assert client.answer().status == 200
            client.get("/deadly")
            assert client.read_to_end() == b""
        server.wait_for_output(
            rf"worker 1 \(pid {pid}\) ended with SIGSEGV.* after 2 requests in .* s, "
            "in GET /deadly.*, and had last printed: now it comes; replacing it"
        )
