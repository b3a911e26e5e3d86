"""The pool grows while requests wait, shrinks when they do not, and turns away what is far too much."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from .applications import write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

GATED = """
def application(environ, start_response):
    if environ["PATH_INFO"] != "/at-once":
        wait_at_gate()
    start_response("200 OK", [])
    return [b"answered"]
"""

LONG_OR_GATED = """
import threading

def application(environ, start_response):
    if environ["PATH_INFO"] == "/long":
        threading.Event().wait(0.005)
    else:
        wait_at_gate()
    start_response("200 OK", [])
    return [b"answered"]
"""


def let_through(gate: Gate, clients: Sequence[RawClient]) -> None:
    """Have the requests of all of them pass the gate, one after the other, and be answered."""
    for _ in clients:
        gate.wait_for_arrival()
        gate.open()
    assert {client.answer().status for client in clients} == {200}


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_the_pool_grows_while_requests_wait_and_shrinks_again(tmp_path: Path, method: str) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = (
        "--bind",
        "127.0.0.1:0",
        "--processes",
        "1-3",
        "--max-idle-time",
        "2",
        "--spawn-method",
        method,
    )
    with Gate(tmp_path) as gate, CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        url = server.url
        with ExitStack() as clients:
            first = clients.enter_context(RawClient(url))
            first.get()
            gate.wait_for_arrival()  # its loop is in there: it accepts none of the others
            others = [clients.enter_context(RawClient(url)) for _ in range(11)]
            for client in others:
                client.get()
            server.ready_workers(3)
            gate.open()
            for _ in others:
                gate.wait_for_arrival()
                gate.open()
            connected = [first, *others]
            for client in connected:
                assert client.answer().body == b"answered"
        # At once, or one after the other where one was needed until a look later.
        server.wait_for_output("is to have 1 worker, after [23]")
        for slot in (2, 3):
            server.wait_for_output(
                rf"worker {slot} .* ended with exit status 0 .*: it is not needed any more"
            )
        assert server.stop() == 0


def test_the_pool_grows_for_clients_whom_the_supervisor_did_not_see_come(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = ("--bind", "127.0.0.1:0", "--processes", "1-2", "--threads", "2")
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server, ExitStack() as clients:
        url = server.url
        server.send_signal(signal.SIGSTOP)
        os.waitpid(server.pid, os.WUNTRACED)
        connected = [clients.enter_context(RawClient(url)) for _ in range(6)]
        for client in connected:
            client.get("/at-once")
            assert client.answer().body == b"answered"
        server.send_signal(signal.SIGCONT)
        for client in connected:
            client.get()
        server.ready_workers(2)
        let_through(gate, connected)


@pytest.mark.parametrize(
    "bounds", [("--processes", "1"), ("--processes", "1-3", "--max-memory", "10M")], ids=["fixed", "memory"]
)
def test_the_pool_does_not_grow_beyond_its_bounds(
    tmp_path: Path, gate: Gate, bounds: tuple[str, ...]
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, "--bind", "127.0.0.1:0", *bounds, environment=gate.environment) as server:
        with ExitStack() as clients:
            connected = [clients.enter_context(RawClient(server.url)) for _ in range(12)]
            for client in connected:
                client.get()
            let_through(gate, connected)
        assert "worker 2" not in server.output()
        assert "is to have" not in server.output()


def test_far_too_many_connections_are_turned_away_with_an_answer(tmp_path: Path) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = ("--bind", "127.0.0.1:0", "--processes", "1", "--max-queue", "3")
    with Gate(tmp_path) as gate, CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        with ExitStack() as clients:
            # Its thread is taken, so that nobody else's request is accepted by the worker.
            first = clients.enter_context(RawClient(server.url))
            first.get()
            gate.wait_for_arrival()
            waiting = [clients.enter_context(RawClient(server.url)) for _ in range(8)]
            for client in waiting:
                client.get()
            # Who has waited longest goes first.
            for client in waiting[:5]:
                answer = client.answer()
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) >= 1
            server.wait_for_output(
                "connections wait for a worker of .*, more than 3: the surplus is answered"
            )
            gate.open()
            assert first.answer().status == 200
            let_through(gate, waiting[5:])
        assert server.stop() == 0


def test_the_pool_grows_for_connections_that_are_in_the_handoff_queue(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, LONG_OR_GATED)
    options = ("--bind", "127.0.0.1:0", "--processes", "1-2", "--threads", "2")
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server, ExitStack() as clients:
        connected = [clients.enter_context(RawClient(server.url)) for _ in range(8)]
        for client in connected:  # known to take long: the queue is of use to a worker that is alone
            client.get("/long")
            assert client.answer().body == b"answered"
        for client in connected:
            client.get()
        server.ready_workers(2)
        let_through(gate, connected)
