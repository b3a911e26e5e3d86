"""The handoff queue's bad days: a taker that dies, one without descriptors, a queue that is full."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ..end_to_end.applications import write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient

LOADING: Final = """
from coachman.policy import handing_over

# A loop that the machine has held up would give a connection away with the answer, to whoever is idle: here
# it is to be where it was answered.
handing_over.PATIENCE_SECONDS = 3600.0

if os.path.exists(os.environ["HOLD"]):
    wait_at_gate()
"""
WSGI: Final = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        wait_at_gate()
    seen = [environ["REMOTE_ADDR"], environ["REMOTE_PORT"], environ["wsgi.url_scheme"]]
    start_response("200 OK", [("X-Seen", " ".join(seen))])
    return [str(os.getpid()).encode()]
"""
ASGI: Final = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    host, port = scope["client"]
    seen = f"{host} {port} {scope['scheme']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-seen", seen)]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
PIDFD_GETFD: Final = 438  # Python does not name it (pidfd_getfd(2))
SPARE: Final = 100
"""Descriptors that a process has for other things than connections."""

PROXY_HEADER: Final = bytes.fromhex(
    "0d0a0d0a000d0a515549540a 21 11 0014"  # version 2: 20 bytes about TCP over IPv4
    "c0000201 c0000202 04d2 01bb"  # from 192.0.2.1 to 192.0.2.2, ports 1234 and 443
    "20 0005 01 00000000"  # the client speaks TLS
)


@dataclass
class House:
    """An application whose workers can be kept from becoming ready, and the server that is to have it."""

    folder: Path
    gate: Gate
    options: tuple[str, ...]

    @contextmanager
    def serving(self, processes: int, *options: str) -> Iterator[CoachmanServe]:
        """Serve; everything that was started is gone afterwards."""
        # Started directly, so that each worker loads the application itself.
        shape = ("--bind", "127.0.0.1:0", "--processes", str(processes), "--spawn-method", "direct")
        environment = {**self.gate.environment, "HOLD": str(self.folder / "hold")}
        with CoachmanServe(self.folder, *shape, *self.options, *options, environment=environment) as server:
            server.ready_workers(processes)
            yield server

    def hold_new_workers(self) -> None:
        """Have those that are started from now on wait at the gate."""
        (self.folder / "hold").touch()


@pytest.fixture(params=["wsgi, 1 thread", "wsgi, 2 threads", "asgi"])
def house(tmp_path: Path, gate: Gate, request: pytest.FixtureRequest) -> House:
    write_application(tmp_path, WAIT_AT_GATE, LOADING, ASGI if request.param == "asgi" else WSGI)
    return House(tmp_path, gate, ("--threads", "2") if request.param == "wsgi, 2 threads" else ())


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """Raise the bound of this process, which the server inherits; give how many there may be."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(before[1], 4096) if before[1] != resource.RLIM_INFINITY else 4096
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], most), before[1]))
    yield most
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def who(client: RawClient) -> int:
    """Return the pid of the worker that answers."""
    client.get("/who")
    return int(client.answer().body)


def drain(server: CoachmanServe, pid: int) -> None:
    """Have a worker go, and wait until it is gone."""
    os.kill(pid, signal.SIGTERM)
    server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0 after")


@contextmanager
def without_free_descriptor(pid: int) -> Iterator[None]:
    """Keep a process from opening anything."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # What is open stays open, and the standard descriptors have all numbers that are left.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def shrink_queue(server: CoachmanServe) -> None:
    """Leave the queue, which its owner keeps open, room for a few connections."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(server.pid)
    shrunk = 0
    try:
        for name in os.listdir(f"/proc/{server.pid}/fd"):
            if not os.readlink(f"/proc/{server.pid}/fd/{name}").startswith("socket:"):
                continue
            fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
            assert fd >= 0, os.strerror(ctypes.get_errno())
            with socket.socket(fileno=fd) as sock:
                if sock.type == socket.SOCK_SEQPACKET:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
                    shrunk += 1
    finally:
        os.close(pidfd)
    assert shrunk == 4, "both ends of both lanes of the queue"


def test_what_a_worker_without_descriptors_cannot_take_goes_to_another(house: House) -> None:
    with house.serving(2) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(8)]
        before = [who(client) for client in clients]
        drained = before[0]
        (poor,) = server.worker_pids() - {drained}
        with without_free_descriptor(poor):
            drain(server, drained)
            after = [who(client) for client in clients]
        moved = [now for now, pid in zip(after, before, strict=True) if pid == drained]
        assert moved
        assert poor not in moved
        assert server.stop() == 0, server.output()


def test_a_connection_comes_to_a_worker_that_can_take_it(house: House) -> None:
    with house.serving(3) as server:
        *poor, able = server.ready_workers(3)
        with ExitStack() as stack:
            for pid in poor:
                stack.enter_context(without_free_descriptor(pid))
            # The kernel wakes one worker, of all those that wait the one that has done so for longest.
            for _ in range(3):
                assert who(stack.enter_context(RawClient(server.url))) == able
        assert server.stop() == 0, server.output()


def test_connections_wait_until_there_are_descriptors_again(house: House) -> None:
    with house.serving(2) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(8)]
        drained, *_ = [who(client) for client in clients]
        (poor,) = server.worker_pids() - {drained}
        house.hold_new_workers()
        with without_free_descriptor(poor):
            drain(server, drained)
            house.gate.wait_for_arrival()
            for client in clients:
                client.get("/who")
            server.wait_for_output(rf"App {poor} stderr: cannot take connections for now: .*[Tt]oo many open")
        assert {int(client.answer().body) for client in clients} == {poor}
        with RawClient(server.url) as client:
            assert who(client) == poor
        house.gate.open()
        assert server.stop() == 0, server.output()


def test_a_worker_without_descriptors_can_still_hand_over(house: House) -> None:
    with house.serving(1) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(8)]
        (poor,) = {who(client) for client in clients}
        with without_free_descriptor(poor):
            os.kill(poor, signal.SIGTERM)
            # However: uvloop needs descriptors for its last steps, when all connections have gone.
            server.wait_for_output(rf"\(pid {poor}\) ended with exit status \d after 8 requests")
        assert poor not in {who(client) for client in clients}
        assert server.stop() == 0, server.output()


def test_connections_for_which_the_queue_has_no_room_wait_and_are_not_lost(
    house: House, many_descriptors: int
) -> None:
    count = min(2000, many_descriptors - SPARE)
    patience = ("--drain-timeout", "120")  # for half of it, connections are kept
    with house.serving(1, *patience) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server.url)) for _ in range(count)]
        (full,) = {who(client) for client in clients}
        shrink_queue(server)
        server.send_signal(signal.SIGHUP)
        server.wait_for_output(rf"\(pid {full}\) ended with exit status 0 after", timeout=60)
        (successor,) = {who(client) for client in clients}
        assert successor != full
        assert server.stop() == 0, server.output()


def test_what_a_proxy_has_said_holds_for_the_next_worker(house: House) -> None:
    with house.serving(1, "--proxy-protocol") as server, RawClient(server.url) as client:
        client.send(PROXY_HEADER)
        pids = set()
        for _ in range(3):
            client.get()
            answer = client.answer()
            assert answer.headers["x-seen"] == "192.0.2.1 1234 https"
            pids.add(pid := int(answer.body))
            drain(server, pid)
        assert len(pids) == 3
        assert server.stop() == 0, server.output()
