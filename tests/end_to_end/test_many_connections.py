"""Many clients at once."""

from __future__ import annotations

import http.client
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .applications import write_application
from .coachman_serve import CoachmanServe

APPLICATION = """
import os

def application(environ, start_response):
    start_response("200 OK", [("X-Port", environ["REMOTE_PORT"]), ("X-Pid", str(os.getpid()))])
    return [environ["PATH_INFO"].encode()]
"""
CONNECTIONS, ROUNDS = 200, 5


@pytest.mark.parametrize("threads", [1, 4])
def test_two_hundred_kept_connections_are_all_answered(tmp_path: Path, threads: int) -> None:
    write_application(tmp_path, APPLICATION)
    options = ("--bind", "127.0.0.1:0", "--processes", "2", "--threads", str(threads))
    served: Counter[str] = Counter()
    with CoachmanServe(tmp_path, *options) as server, ExitStack() as connections:
        server.ready_workers(2)
        host = urlsplit(server.url).netloc
        clients = [http.client.HTTPConnection(host, timeout=30) for _ in range(CONNECTIONS)]
        for client in clients:
            connections.callback(client.close)
            client.connect()
            client.auto_open = 0  # a connection that was closed is an error, not a reason to make another
        for turn in range(ROUNDS):
            for number, client in enumerate(clients):
                client.request("GET", f"/{turn}/{number}")
            for number, client in enumerate(clients):
                answer = client.getresponse()
                assert (answer.status, answer.read()) == (200, f"/{turn}/{number}".encode())
                assert answer.headers["X-Port"] == str(client.sock.getsockname()[1])
                served[answer.headers["X-Pid"]] += 1
        assert served.total() == CONNECTIONS * ROUNDS
        assert {int(pid) for pid in served} <= server.worker_pids(), "no worker was replaced"
