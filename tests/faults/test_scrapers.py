"""Scrapers that come in crowds, stall or leave: nobody else has to wait for them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.metrics_client import MetricsClient
from ..end_to_end.raw_client import RawClient

MOST_CONNECTIONS = 256
"""Of the metrics server."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoachmanServe]:
    folder = tmp_path_factory.mktemp("site")
    write_application(folder, HELLO)
    options = ("--bind", "127.0.0.1:0", "--processes", "2", "--metrics", "127.0.0.1:0")
    with CoachmanServe(folder, *options) as server:
        server.ready_workers(2)
        yield server
        assert server.stop(timeout=10) == 0, "nothing of the scrapers is waited for"
        assert "Traceback" not in server.output()


@pytest.fixture
def metrics(server: CoachmanServe) -> Iterator[MetricsClient]:
    """A server that has to be as well after the test as it was before."""
    client = MetricsClient(server)
    yield client
    assert client.value("coachman_workers", state="ready") == 2
    assert httpx.get(server.url, trust_env=False, timeout=30).text == "hello"


def test_a_hundred_scrapers_at_once_are_all_answered(metrics: MetricsClient) -> None:
    with ExitStack() as on_end:
        clients = []
        for _ in range(100):
            clients.append(client := on_end.enter_context(RawClient(metrics.url)))
            client.get("/metrics")  # at once: a client that says nothing for five seconds is given up
        answers = [client.answer() for client in clients]
    assert {answer.status for answer in answers} == {200}
    assert all(answer.body.endswith(b"\n") for answer in answers)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /metrics HT", b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n"]
)
def test_scrapers_that_stall_do_not_hold_up_others(metrics: MetricsClient, sent: bytes) -> None:
    address = urlsplit(metrics.url)
    stalled = []
    try:
        for _ in range(MOST_CONNECTIONS + 50):
            client = socket.create_connection((str(address.hostname), int(address.port or 0)), 30)
            stalled.append(client)
            client.sendall(sent)
        assert metrics.get("/readyz").status_code == 200
        assert metrics.get("/metrics").status_code == 200
    finally:
        for client in stalled:
            client.close()


def test_a_scraper_that_does_not_read_is_given_up(metrics: MetricsClient) -> None:
    address = urlsplit(metrics.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect((address.hostname, address.port))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert metrics.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("garbage", "status"),
    [(b"\x16\x03\x01\x02\x00\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, 431)],
    ids=["TLS", "large"],
)
def test_garbage_is_refused(metrics: MetricsClient, garbage: bytes, status: int) -> None:
    address = urlsplit(metrics.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), 30) as client:
        client.sendall(garbage)
        assert client.recv(100).startswith(b"HTTP/1.1 %d " % status)
