"""Connections that move between workers: to one that is free, and away from one that drains or dies."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from .applications import write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

APPLICATION = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        wait_at_gate()
    start_response("200 OK", [("X-Peer", environ["REMOTE_ADDR"] + " " + environ["REMOTE_PORT"])])
    return [str(os.getpid()).encode()]
"""


ASGI_APPLICATION = """
import os

async def application(scope, receive, send):
    assert scope["type"] == "http"
    peer = "{} {}".format(*scope["client"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-peer", peer)]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def serve(folder: Path, gate: Gate, *, processes: int, threads: int) -> CoachmanServe:
    write_application(folder, WAIT_AT_GATE, APPLICATION)
    options = ("--bind", "127.0.0.1:0", "--processes", str(processes), "--threads", str(threads))
    return CoachmanServe(folder, *options, environment=gate.environment)


def who(client: RawClient) -> int:
    """Return the pid of the worker that answers."""
    client.get("/who")
    answer = client.answer()
    assert answer.headers["x-peer"] == "{} {}".format(*client.sock.getsockname())
    return int(answer.body)


class Load:
    """Clients that send one request after the other, each on one connection."""

    def __init__(self, url: str, clients: int) -> None:
        self._url = url
        self._stop = threading.Event()
        self.answered = [0] * clients
        """Requests of each client."""
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        try:
            with RawClient(self._url) as client:
                while not self._stop.is_set():
                    who(client)
                    self.answered[number] += 1
        except BaseException as error:
            self.failures.append(error)


def test_clients_leave_a_worker_whose_threads_are_all_busy(tmp_path: Path, gate: Gate) -> None:
    with serve(tmp_path, gate, processes=2, threads=2) as server, ExitStack() as stack:
        server.ready_workers(2)
        busy = [stack.enter_context(RawClient(server.url)) for _ in range(3)]
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(8)]
        for client in clients:
            who(client)
        for client in busy:  # three of the four threads
            client.get("/gate")
            gate.wait_for_arrival()
        # Wherever they are connected, the only thread that is free serves them all.
        servers = set()
        for _ in range(3):
            for client in clients:
                client.get("/who")
            servers |= {int(client.answer().body) for client in clients}
        assert len(servers) == 1
        gate.open()
        assert [client.answer().status for client in busy] == [200] * 3


def test_no_connection_ends_when_a_worker_drains_under_load(tmp_path: Path, gate: Gate) -> None:
    with serve(tmp_path, gate, processes=2, threads=2) as server:
        server.ready_workers(2)
        with Load(server.url, clients=8) as load:
            for _ in range(3):
                with RawClient(server.url) as client:
                    pid = who(client)
                os.kill(pid, signal.SIGTERM)
                server.wait_for_output(
                    rf"\(pid {pid}\) ended with exit status 0 after .* s: it had got SIGTERM"
                )
        assert not load.failures
        assert all(load.answered)
        assert server.stop() == 0, server.output()


@pytest.mark.parametrize("application", [APPLICATION, ASGI_APPLICATION], ids=["wsgi", "asgi"])
def test_restarts_close_no_connection_and_lose_no_request(
    tmp_path: Path, gate: Gate, application: str
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, application)
    options = ("--bind", "127.0.0.1:0", "--processes", "2")
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server, ExitStack() as stack:
        old = set(server.ready_workers(2))
        # Some ask all the time, others only when something has happened: those wait in the queue meanwhile.
        quiet = [stack.enter_context(RawClient(server.url)) for _ in range(8)]
        with Load(server.url, clients=4) as load:
            for generation in (2, 3, 4):
                so_far = len(server.output())
                server.send_signal(signal.SIGHUP)
                for event in (rf"generation {generation} .* is started", r"worker \d+ .* is ready"):
                    server.wait_for_output(event, after=so_far)
                    for client in quiet:
                        who(client)
                server.wait_for_output(f"the restart is done: generation {generation} serves", after=so_far)
                for pid in old:
                    server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0 .*: generation")
                fresh = {who(client) for client in quiet}
                assert not fresh & old
                old = server.worker_pids()
        assert not load.failures
        assert all(load.answered)
        assert server.stop() == 0, server.output()


def test_a_killed_worker_takes_only_its_own_connections_along(tmp_path: Path, gate: Gate) -> None:
    with serve(tmp_path, gate, processes=2, threads=2) as server, ExitStack() as stack:
        server.ready_workers(2)
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(10)]
        pids = [who(client) for client in clients]
        killed = pids[0]
        os.kill(killed, signal.SIGKILL)
        server.wait_for_output(rf"\(pid {killed}\) ended with SIGKILL .*; replacing it")
        for client, pid in zip(clients, pids, strict=True):
            if pid != killed:
                assert who(client) != killed
            else:
                try:
                    assert client.read_to_end() == b""
                except ConnectionResetError:
                    pass


def test_connections_wait_in_the_queue_while_there_is_no_worker(tmp_path: Path, gate: Gate) -> None:
    with serve(tmp_path, gate, processes=1, threads=1) as server, RawClient(server.url) as client:
        pid = who(client)
        for _ in range(3):
            os.kill(pid, signal.SIGTERM)
            server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0 after .* s: it had got SIGTERM")
            before, pid = pid, who(client)
            assert pid != before


def test_stopping_closes_what_is_idle_at_once(tmp_path: Path, gate: Gate) -> None:
    with serve(tmp_path, gate, processes=2, threads=2) as server, RawClient(server.url) as client:
        who(client)
        server.send_signal(signal.SIGTERM)
        assert client.read_to_end() == b""
        assert server.outcome()[0] == 0
