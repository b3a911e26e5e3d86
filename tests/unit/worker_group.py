"""Engines that share a listening socket, a scoreboard and a handoff queue, in threads of the test."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from math import inf
from typing import Any

from coachman.config.model import Bounds, WorkerConfig
from coachman.protocol.scoreboard import SlotView
from coachman.unix.handoff import HandoffQueue
from coachman.unix.scoreboard import Scoreboard
from coachman.worker.handoff import Handoff
from coachman.worker.wsgi.engine import Engine

from .served import receive_response

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]

TIMEOUT = 20.0


class Gate:
    """Where requests wait until the test lets them through."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._passes = 0.0
        self._changed = threading.Condition()

    def enter(self) -> None:
        self._arrived.release()
        with self._changed:
            # Longer than anybody waits for an answer that depends on it.
            assert self._changed.wait_for(lambda: self._passes, 2 * TIMEOUT)
            self._passes -= 1

    def wait_for_arrival(self) -> None:
        assert self._arrived.acquire(timeout=TIMEOUT)

    def let_through(self, count: float) -> None:
        with self._changed:
            self._passes += count
            self._changed.notify_all()

    def open(self) -> None:
        self.let_through(inf)


class Worker:
    """An engine in a thread. Its application says its name, behind the gate where the path is /gate."""

    def __init__(self, group: Group, slot: int, threads: int, bounds: Bounds) -> None:
        self.name = b"%d" % slot
        self._slot = slot
        self._group = group
        self.engine = Engine(self.application, WorkerConfig(threads=threads, bounds=bounds))
        self._cells = group.scoreboard.cells(slot)
        self.engine.cells = self._cells
        queue = HandoffQueue([os.dup(fd) for fd in group.queue.descriptors])
        self.handoff = Handoff(queue, group.scoreboard, slot)
        self.engine.join_handoff(self.handoff)
        self.finished: bool | None = None
        self.calls: list[int] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def application(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        self.calls.append(threading.get_ident())
        if environ["PATH_INFO"] == "/gate":
            self._group.gate.enter()
        start_response("200 OK", [])
        return [self.name]

    def listen(self, listener: socket.socket) -> None:
        duplicate = listener.dup()
        duplicate.setblocking(False)
        self.do(lambda: self.engine.add_listener(duplicate))

    def do(self, what: Callable[[], object]) -> None:
        """Have the loop do something, and wait until it has."""
        done = threading.Event()

        def do_it() -> None:
            what()
            done.set()

        self.engine.call_soon(do_it)
        assert done.wait(TIMEOUT)

    def drain(self, *, hand_over: bool) -> None:
        self.do(lambda: self.engine.drain(TIMEOUT, hand_over=hand_over))

    def wait_for_end(self) -> None:
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()

    @property
    def full(self) -> bool:
        """Whether it leaves connections to others, because all of its threads are busy."""
        return self.engine.pool is not None and self.engine.pool.full

    @property
    def handed_over(self) -> int:
        return self.view().counters.handed_over

    def view(self) -> SlotView:
        return self._group.scoreboard.view(self._slot)

    def close(self) -> None:
        if self._thread.is_alive():
            self.engine.call_soon(self.engine.stop)
        self.wait_for_end()
        assert self.engine.close(TIMEOUT)
        self.handoff.close()
        self._cells.release()

    def _run(self) -> None:
        self.finished = self.engine.run()


class Group:
    """Workers of one application, and their clients."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.scoreboard = Scoreboard.create(8)
        self.queue = HandoffQueue.create()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._on_close = ExitStack()
        for thing in (self.scoreboard, self.queue, self.listener):
            self._on_close.callback(thing.close)
        self._slots = 0

    def worker(self, threads: int, *, listens: bool = True, connections: int = 0) -> Worker:
        worker = Worker(self, self._slots, threads, Bounds(connections=connections))
        self._slots += 1
        self._on_close.callback(worker.close)
        if listens:
            worker.listen(self.listener)
        return worker

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.listener.getsockname(), TIMEOUT)
        self._on_close.callback(client.close)
        return client

    def close(self) -> None:
        self.gate.open()
        self._on_close.close()


def ask(client: socket.socket, path: bytes = b"/") -> None:
    client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")


def answer(client: socket.socket) -> bytes:
    return receive_response(client)[1]


def make_busy(group: Group, count: int) -> list[socket.socket]:
    """Have so many requests wait at the gate."""
    clients = [group.connect() for _ in range(count)]
    for client in clients:
        ask(client, b"/gate")
        group.gate.wait_for_arrival()
    return clients


def fill(group: Group, worker: Worker) -> list[socket.socket]:
    """Have a request wait at the gate in each thread of `worker`, until it takes no more."""
    clients = make_busy(group, worker.engine.threads)
    wait_until(lambda: worker.full, worker)
    return clients


def wait_until(condition: Callable[[], bool], *workers: Worker) -> None:
    """Have the loops of `workers` turn until `condition` holds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        for worker in workers:
            worker.do(lambda: None)
