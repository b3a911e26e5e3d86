"""Connections of an ASGI worker whose event loop is late: who moves to a sibling, when, and who stays."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvloop

from coachman.config.model import WorkerConfig
from coachman.unix.waited import seconds_waited
from coachman.worker.asgi import arrivals, engine, leaving

from .asgi_serving import (
    TIMEOUT,
    Receive,
    Scope,
    Send,
    Served,
    Siblings,
    answer,
    read_body,
    receive_response,
    served,
)

HELD_UP = 0.05
"""Seconds for which a request holds up the loop: for longer than anybody's patience."""


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Application:
    """What the first worker serves, the only one in which time passes, however busy the machine is."""
    monkeypatch.setattr(engine, "make_event_loop", request.param)
    # What that worker has given away it does not take back.
    monkeypatch.setattr(arrivals, "PATIENCE_SECONDS", 1000.0)
    application = Application(b"first")
    monkeypatch.setattr(leaving, "seconds_waited", lambda sock: application.late())
    return application


@pytest.fixture
def siblings() -> Iterator[Siblings]:
    siblings = Siblings()
    yield siblings
    siblings.close()


class Application:
    """Says its name. "/block" holds up the loop until it is let go, and for some time more."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self.entered = threading.Event()
        self.leave = threading.Event()
        self._held_up = 0
        """The thread that was."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            self._block()
        elif scope["path"] == "/block-in-a-task":
            await asyncio.create_task(self._block_in_a_task())
            await asyncio.sleep(0)
        await read_body(receive)
        await answer(send, self._name)

    async def _block_in_a_task(self) -> None:
        self._block()

    def _block(self) -> None:
        self.entered.set()
        assert self.leave.wait(TIMEOUT)
        time.sleep(HELD_UP)
        self._held_up = threading.get_ident()

    def late(self) -> float:
        """Return for how long the loop of this thread has been held up."""
        return HELD_UP if threading.get_ident() == self._held_up else 0.0


def ask(client: socket.socket, path: str = "/") -> None:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def answered(client: socket.socket) -> bytes:
    return receive_response(client)[1]


def clients_of(serving: Served, count: int) -> list[socket.socket]:
    """Return clients that the worker knows."""
    clients = [serving.connect() for _ in range(count)]
    for client in clients:
        ask(client)
        assert answered(client) == b"first"
    return clients


def test_those_who_wait_unread_are_answered_by_a_sibling(
    siblings: Siblings, first: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        served(first, handoff=siblings.handoff()) as serving,
        served(Application(b"second"), handoff=siblings.handoff()),
    ):
        blocking, silent, begun, *waiting = clients_of(serving, 6)
        ask(blocking, "/block")
        assert first.entered.wait(TIMEOUT)
        for client in waiting:
            ask(client)
        first.leave.set()
        assert [answered(client) for client in waiting] == [b"second"] * 3
        assert answered(blocking) == b"first"
        monkeypatch.setattr(leaving, "seconds_waited", lambda _sock: 0.0)  # however busy the machine is
        for client in (blocking, silent, begun):
            ask(client)
            assert answered(client) == b"first", "who did not wait has no reason to go"


def test_a_request_that_has_begun_to_come_stays(siblings: Siblings, first: Application) -> None:
    with (
        served(first, handoff=siblings.handoff()) as serving,
        served(Application(b"second"), handoff=siblings.handoff()),
    ):
        blocking, begun, other = clients_of(serving, 3)
        begun.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        ask(other)
        assert answered(other) == b"first"  # by now, the beginning is read
        ask(blocking, "/block")
        assert first.entered.wait(TIMEOUT)
        begun.sendall(b"bc")
        first.leave.set()
        assert answered(begun) == b"first"


def test_who_has_gone_is_no_sign(
    siblings: Siblings, first: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def age(sock: socket.socket) -> float:
        """What ended on a connection was long ago, what is unread came just now."""
        try:
            return 0.0 if sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) else 1000.0
        except BlockingIOError:
            return 0.0

    monkeypatch.setattr(leaving, "seconds_waited", age)
    with (
        served(first, handoff=siblings.handoff()) as serving,
        served(Application(b"second"), handoff=siblings.handoff()),
    ):
        blocking, gone, waiting = clients_of(serving, 3)
        ask(blocking, "/block")
        assert first.entered.wait(TIMEOUT)
        gone.close()
        ask(waiting)
        first.leave.set()
        assert answered(waiting) == b"first"


def test_who_has_waited_leaves_with_the_response_whatever_held_the_loop_up(
    siblings: Siblings, first: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        served(first, handoff=siblings.handoff()) as serving,
        served(Application(b"second"), handoff=siblings.handoff()),
    ):
        blocking, waiting = clients_of(serving, 2)
        ask(blocking, "/block-in-a-task")
        assert first.entered.wait(TIMEOUT)
        ask(waiting)
        first.leave.set()
        assert answered(waiting) == b"first"
        ask(waiting)
        assert answered(waiting) == b"second"
        assert answered(blocking) == b"first"
        monkeypatch.setattr(leaving, "seconds_waited", lambda _sock: 0.0)  # its lateness is over
        ask(blocking)
        assert answered(blocking) == b"first", "it is what others have waited for"


def test_to_have_waited_for_another_request_of_the_same_connection_is_no_sign(
    siblings: Siblings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, entered = asyncio.Event(), threading.Event()
    monkeypatch.setattr(leaving, "seconds_waited", lambda sock: HELD_UP if entered.is_set() else 0.0)

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/patient":
            entered.set()
            await leave.wait()
        await answer(send, b"first")

    with (
        served(patient, handoff=siblings.handoff()) as serving,
        served(Application(b"second"), handoff=siblings.handoff()),
    ):
        (client,) = clients_of(serving, 1)
        client.sendall(b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/patient", b"/")))
        assert entered.wait(TIMEOUT)

        def leave_later() -> None:
            serving.engine.loop.call_later(HELD_UP, leave.set)

        serving.engine.call_soon(leave_later)
        assert [answered(client), answered(client)] == [b"first"] * 2
        ask(client)
        assert answered(client) == b"first"


@pytest.mark.parametrize("path", ["/block", "/block-in-a-task"])
def test_nobody_moves_where_there_is_nobody_to_go_to(
    siblings: Siblings, first: Application, path: str
) -> None:
    with served(first, handoff=siblings.handoff()) as serving:
        blocking, waiting = clients_of(serving, 2)
        ask(blocking, path)
        assert first.entered.wait(TIMEOUT)
        ask(waiting)
        first.leave.set()
        assert answered(waiting) == b"first"
        ask(waiting)
        assert answered(waiting) == b"first"


def test_a_proxys_header_that_has_come_in_part_is_not_left_behind(siblings: Siblings) -> None:
    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n"
    config = WorkerConfig(proxy_protocol=True)

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, str(scope["client"]).encode())

    with served(told, config, handoff=siblings.handoff()) as first:
        client, other = first.connect(), first.connect()
        client.sendall(header[:10])
        other.sendall(header)
        ask(other)
        assert answered(other) == b"('192.0.2.1', 1234)"  # by now, the beginning is read
        first.drain(hand_over=True)
        with served(told, config, handoff=siblings.handoff()):
            ask(other)
            assert answered(other) == b"('192.0.2.1', 1234)"  # by now, the first one drains
            client.sendall(header[10:])
            ask(client)
            assert answered(client) == b"('192.0.2.1', 1234)"
            assert first.wait() is True


def test_what_waits_on_a_unix_socket_has_no_age() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x")
        assert seconds_waited(ours) == 0.0


def test_an_age_is_no_more_than_what_has_passed() -> None:
    begin = time.monotonic()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as theirs,
    ):
        ours, _ = listener.accept()
        with ours:
            theirs.sendall(b"x")
            ours.recv(1, socket.MSG_PEEK)
            assert seconds_waited(ours) <= time.monotonic() - begin
