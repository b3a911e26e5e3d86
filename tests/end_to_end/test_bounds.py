"""Bounds and proxies, as they are set on the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

APPLICATION = """
import json

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
"""
BOUNDS = (
    *("--max-request-line", "100", "--max-header-size", "200", "--max-header-count", "5"),
    *("--max-body-size", "1K", "--header-timeout", "0.2", "--body-timeout", "0.2"),
    *("--max-requests-per-connection", "3"),
)
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module", params=["1", "3"], ids=["1 thread", "3 threads"])
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[CoachmanServe]:
    folder = tmp_path_factory.mktemp("site")
    write_application(folder, APPLICATION)
    with CoachmanServe(folder, *ONE_PROCESS, *BOUNDS, "--threads", request.param) as server:
        server.ready_workers(1)
        yield server


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 200 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5 + b"\r\n", 431),
        (POST % 2000, 413),
        (b"GET / HTTP/1.1\r\nHo", 408),
        (POST % 100 + b"x", 408),
    ],
)
def test_every_bound_has_its_status_and_its_line(server: CoachmanServe, sent: bytes, status: int) -> None:
    before = len(server.output())
    with RawClient(server.url) as client:
        client.send(sent)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.read_to_end() == b""
    server.wait_for_output(rf"stderr: refused a request from 127\.0\.0\.1: {status} ", after=before)


def test_a_connection_ends_after_its_last_request(server: CoachmanServe) -> None:
    with RawClient(server.url) as client:
        endings = []
        for _ in range(3):
            client.get()
            endings.append(client.answer().headers.get("connection"))
        assert endings == [None, None, "close"]
        assert client.read_to_end() == b""


FORWARDED = b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.1\r\nX-Forwarded-Proto: https\r\n\r\n"


@pytest.mark.parametrize(
    ("options", "client", "scheme"),
    [
        ((), "203.0.113.1", "https"),
        (("--trusted-proxy", "10.0.0.0/8"), "127.0.0.1", "http"),
        (("--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "127.0.0.1"), "203.0.113.1", "https"),
    ],
)
def test_proxies_are_believed_where_they_are_trusted(
    tmp_path: Path, options: tuple[str, ...], client: str, scheme: str
) -> None:
    write_application(tmp_path, APPLICATION)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *options) as server, RawClient(server.url) as connection:
        connection.send(FORWARDED)
        environ = json.loads(connection.answer().body)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (client, scheme)


def test_a_proxy_on_a_unix_socket_is_believed(tmp_path: Path) -> None:
    write_application(tmp_path / "site", APPLICATION)
    address = f"unix:{tmp_path / 'socket'}"
    with CoachmanServe(tmp_path / "site", "--bind", address) as server:
        server.wait_for_output("listening at")
        with RawClient(address) as connection:
            connection.send(FORWARDED)
            assert json.loads(connection.answer().body)["REMOTE_ADDR"] == "203.0.113.1"


def test_a_load_balancer_may_speak_the_proxy_protocol(tmp_path: Path) -> None:
    write_application(tmp_path, APPLICATION)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--proxy-protocol") as server:
        with RawClient(server.url) as client:
            client.send(b"PROXY TCP4 203.0.113.1 198.51.100.7 4711 443\r\n")
            client.get()
            assert json.loads(client.answer().body)["REMOTE_ADDR"] == "203.0.113.1"
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().status == 400
        server.wait_for_output("does not begin with the PROXY protocol")


@pytest.mark.parametrize("threads", ["1", "3"])
def test_times_may_be_longer_than_the_kernel_waits(tmp_path: Path, gate: Gate, threads: str) -> None:
    gated = """
    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"x"
        wait_at_gate()
        yield b"y" * 2**23
    """
    write_application(tmp_path, WAIT_AT_GATE, gated)
    names = ("start", "drain", "header", "body", "keep-alive", "write", "request", "heartbeat")
    times = [word for name in names for word in (f"--{name}-timeout", "40d")]
    with CoachmanServe(
        tmp_path, *ONE_PROCESS, "--threads", threads, *times, environment=gate.environment
    ) as server:
        server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get()
            gate.wait_for_arrival()
            server.send_signal(signal.SIGTERM)
            server.wait_for_output("SIGTERM: stopping")
            gate.open()
            assert len(client.answer().body) == 1 + 2**23
        assert server.outcome()[0] == 0
        assert "OverflowError" not in server.output()
