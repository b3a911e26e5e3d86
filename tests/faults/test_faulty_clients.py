"""Clients that go away, or that do not speak HTTP: the worker serves on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from ..end_to_end.applications import ONE_PROCESS, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient

APPLICATION = """
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/gate":
        wait_at_gate()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path.startswith("/stream"):
        return Stream(path)
    if path == "/large":
        return [b"x" * 50_000_000]
    return [b"serving on"]

class Stream:
    def __init__(self, path):
        self.path = path

    def __iter__(self):
        while True:
            yield b"x" * 100_000

    def close(self):
        print("closed", self.path)
"""

GARBAGE = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), 400),
    "words": (b"hello\r\n\r\n", 400),
    "zeros": (b"\x00" * 1000, 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    "a length that is no number": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400),
    "two lengths": (
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "a chunk without a size": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        400,
    ),
    "a version of the future": (b"GET / HTTP/3.7\r\n\r\n", 505),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", 501),
    "an expectation": (
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\n",
        417,
    ),
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with Gate(tmp_path_factory.mktemp("gate")) as gate:
        yield gate


@pytest.fixture(scope="module", params=["1", "4"], ids=["1 thread", "4 threads"])
def served(
    tmp_path_factory: pytest.TempPathFactory, gate: Gate, request: pytest.FixtureRequest
) -> Iterator[CoachmanServe]:
    folder = tmp_path_factory.mktemp("site")
    write_application(folder, WAIT_AT_GATE, APPLICATION)
    options = (*ONE_PROCESS, "--threads", request.param, "--drain-timeout", "90")
    with CoachmanServe(folder, *options, environment=gate.environment) as server:
        server.ready_workers(1)
        yield server
        assert server.stop(timeout=30) == 0, "nothing of the clients is waited for"


@pytest.fixture
def server(served: CoachmanServe) -> Iterator[CoachmanServe]:
    """A server that has to be as well after the test as it was before."""
    yield served
    with RawClient(served.url) as client:
        client.get()
        assert client.answer().body == b"serving on"
    assert served.worker_pids() == set(served.ready_workers(1)), "the worker was not replaced"
    assert "Traceback" not in served.output(), "a client that fails is no failure of the server"


def reset(client: RawClient) -> None:
    """End the connection with a reset, as a crashed machine or a firewall does."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def close(client: RawClient) -> None:
    client.sock.close()


ways_to_leave = pytest.mark.parametrize("leave", [close, reset])
Leave: TypeAlias = Callable[[RawClient], None]


@ways_to_leave
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 1_000_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    ],
    ids=["nothing", "a line", "headers", "a body", "a large body", "a chunk", "expecting"],
)
def test_a_client_may_leave_in_the_middle_of_its_request(
    server: CoachmanServe, leave: Leave, sent: bytes
) -> None:
    client = RawClient(server.url)
    client.send(sent)
    leave(client)


@ways_to_leave
def test_a_client_may_leave_before_it_has_its_answer(server: CoachmanServe, gate: Gate, leave: Leave) -> None:
    client = RawClient(server.url)
    client.get("/gate")
    gate.wait_for_arrival()
    leave(client)
    gate.open()


@ways_to_leave
def test_a_streamed_response_is_closed_when_its_client_leaves(server: CoachmanServe, leave: Leave) -> None:
    path = f"/stream/{leave.__name__}"
    client = RawClient(server.url)
    client.get(path)
    client.read_through(b"x" * 1000)
    leave(client)
    server.wait_for_output(f"stdout: closed {path}\n")
    assert server.output().count(f"closed {path}") == 1


@ways_to_leave
def test_a_client_may_leave_in_the_middle_of_a_large_response(server: CoachmanServe, leave: Leave) -> None:
    client = RawClient(server.url)
    client.get("/large")
    client.read_through(b"x" * 1000)
    leave(client)


def test_a_client_that_does_not_read_holds_up_nobody_else(server: CoachmanServe) -> None:
    with RawClient(server.url) as lazy, RawClient(server.url) as eager:
        lazy.get("/stream/lazy")
        lazy.read_through(b"x")
        eager.get()
        assert eager.answer().body == b"serving on"
    server.wait_for_output("closed /stream/lazy")


def test_a_client_that_has_said_all_is_still_answered(server: CoachmanServe) -> None:
    with RawClient(server.url) as client:
        client.get()
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer().body == b"serving on"
        assert client.read_to_end() == b""


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused_and_logged_with_its_peer(server: CoachmanServe, kind: str) -> None:
    garbage, status = GARBAGE[kind]
    before = len(server.output())
    with RawClient(server.url) as client:
        client.send(garbage)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.read_to_end() == b""
    server.wait_for_output(rf"App \d+ stderr: refused a request from 127\.0\.0\.1: {status} ", after=before)


@pytest.mark.parametrize("offer", [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"], ids=["", "an offer"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_behind_a_request_does_not_cost_its_answer(
    server: CoachmanServe, kind: str, offer: bytes
) -> None:
    garbage, status = GARBAGE[kind]
    with RawClient(server.url) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n" + garbage)
        assert client.answer().body == b"serving on"
        assert client.answer().status == status


@pytest.mark.parametrize(
    "headers",
    [b"X: " + b"x" * 1_000_000, b"\r\n".join(b"X-%d: x" % number for number in range(100_000))],
    ids=["one", "many"],
)
def test_a_megabyte_of_headers_is_refused(server: CoachmanServe, headers: bytes) -> None:
    before = len(server.output())
    with RawClient(server.url) as client:
        try:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server had seen enough; what it said about it is here all the same
        assert client.answer().status == 431
    server.wait_for_output(r"refused a request from 127\.0\.0\.1: 431 ", after=before)
