"""Connections that wait while a worker with one thread is in the application."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coachman.protocol.scoreboard import WAITING
from coachman.worker.handoff import Handoff
from coachman.worker.wsgi import crowd, tally
from coachman.worker.wsgi.engine import Engine
from coachman.worker.wsgi.intake import Intake
from coachman.worker.wsgi.serving_loop import ServingLoop

from .served import TIMEOUT, receive_response


class House:
    """A worker that is alone, and its clients."""

    def __init__(self) -> None:
        self.arrived, self.gate = threading.Event(), threading.Event()
        self.engine = Engine(self.application)
        self._clients = ExitStack()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._address = self._listener.getsockname()
        self.engine.add_listener(self._listener)
        self._thread = threading.Thread(target=self.engine.run)
        self._thread.start()

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Say how many connections are open and how many wait; wait at the gate before, if asked to."""
        if environ["PATH_INFO"] == "/gate":
            self.arrived.set()
            assert self.gate.wait(TIMEOUT)
        start_response("200 OK", [])
        return [b"%d %d" % (len(self.engine.connections), self.engine.tally.cells[WAITING])]

    def connect(self) -> socket.socket:
        return self._clients.enter_context(socket.create_connection(self._address, TIMEOUT))

    def close(self) -> None:
        self._clients.close()
        self.engine.call_soon(lambda: self.engine.drain(TIMEOUT))
        self._thread.join(TIMEOUT)
        self.engine.close()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(tally, "NOTABLE", 0)  # every call is a long one
    made = House()
    yield made
    made.close()


def ask(client: socket.socket, path: str = "/") -> None:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def answer(client: socket.socket) -> list[int]:
    """Return how many connections were open, and how many of them waited."""
    return [int(number) for number in receive_response(client)[1].split()]


def crowd_at_the_gate(house: House, count: int) -> list[socket.socket]:
    """Have so many clients come while a call goes on."""
    first = house.connect()
    ask(first, "/gate")
    assert house.arrived.wait(TIMEOUT)
    clients = [house.connect() for _ in range(count)]
    for client in clients:
        ask(client)
    house.gate.set()
    assert answer(first) == [1, 0]
    return clients


def test_all_that_came_during_a_long_call_are_let_in_behind_it(house: House) -> None:
    assert {answer(client)[0] for client in crowd_at_the_gate(house, 10)} == {11}


def test_a_crowd_is_let_in_up_to_a_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "LET_IN", 5)
    opened = [answer(client)[0] for client in crowd_at_the_gate(house, 10)]
    assert opened[0] in (5, 6)  # a turn of the loop takes one more, at any rate
    assert opened[-1] == 11


@pytest.mark.parametrize(
    ("threads", "max_queue", "in_the_queue", "open_then"),
    [
        (2, 0, 0, crowd.LET_IN),
        (2, 0, 60, 4),
        (2, 3, 0, 5),
        (2, 3, 2, 3),
        (2, 3, 9, 2),
        (2, 100, 0, crowd.LET_IN),
    ],
)
def test_no_more_are_let_in_than_may_wait(
    threads: int, max_queue: int, in_the_queue: int, open_then: int
) -> None:
    connections: list[None] = [None] * 2
    engine = SimpleNamespace(connections=connections, threads=threads)

    def accept_waiting() -> bool:
        connections.append(None)
        return True

    intake = SimpleNamespace(accept_waiting=accept_waiting)
    made = crowd.Crowd(cast(ServingLoop, engine), cast(Intake, intake), max_queue)
    made.join(cast(Handoff, SimpleNamespace(siblings=0, waiting=in_the_queue)))
    assert made.let_in()
    assert len(connections) == open_then


def test_those_that_wait_for_their_turn_are_shown(house: House) -> None:
    clients = [house.connect() for _ in range(4)]
    for client in clients:
        ask(client)
        answer(client)
    reached, go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        reached.set()
        assert go_on.wait(TIMEOUT)

    house.engine.call_soon(hold_up)
    assert reached.wait(TIMEOUT)
    for client in clients:
        ask(client)
    go_on.set()
    # What long calls mean for others is known behind the first of them.
    assert sorted(answer(client)[1] for client in clients) == [0, 0, 1, 2]
    ask(clients[0])
    assert answer(clients[0])[1] == 0
