"""Connections that move between workers: to one that is free, and away from one that drains or dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

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


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with Gate(tmp_path) as gate:
        yield gate


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
        stop = threading.Event()
        answered = [0] * 8
        failures: list[BaseException] = []

        def load(number: int) -> None:
            try:
                with RawClient(server.url) as client:
                    while not stop.is_set():
                        who(client)
                        answered[number] += 1
            except BaseException as error:
                failures.append(error)

        loads = [threading.Thread(target=load, args=(number,)) for number in range(len(answered))]
        for thread in loads:
            thread.start()
        try:
            for _ in range(3):
                with RawClient(server.url) as client:
                    pid = who(client)
                os.kill(pid, signal.SIGTERM)
                server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0 after .* s; replacing it")
        finally:
            stop.set()
            for thread in loads:
                thread.join(30)
        assert not failures
        assert all(answered)
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
            server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0 after .* s; replacing it")
            before, pid = pid, who(client)
            assert pid != before


def test_stopping_closes_what_is_idle_at_once(tmp_path: Path, gate: Gate) -> None:
    with serve(tmp_path, gate, processes=2, threads=2) as server, RawClient(server.url) as client:
        who(client)
        server.send_signal(signal.SIGTERM)
        assert client.read_to_end() == b""
        assert server.outcome()[0] == 0
