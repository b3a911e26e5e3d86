"""`--request-timeout`: an application that is slow or stuck."""

from __future__ import annotations

from pathlib import Path

import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .metrics_client import MetricsClient
from .raw_client import RawClient

APPLICATION = (
    WAIT_AT_GATE,
    """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/stuck":
            get_stuck()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]

    def get_stuck():
        wait_at_gate()
    """,
)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_stuck_request_is_answered_explained_and_its_worker_replaced(tmp_path: Path, threads: str) -> None:
    write_application(tmp_path, *APPLICATION)
    options = ("--threads", threads, "--request-timeout", "0.3", "--drain-timeout", "0.2")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path, environment=gate.environment) as server,
    ):
        (pid,) = server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get("/stuck?a=b")
            gate.wait_for_arrival()
            answer = client.answer()
            assert answer.status == 504
            assert answer.headers["connection"] == "close"
            assert client.read_to_end() == b""
        server.wait_for_output(rf"worker 1 \(pid {pid}\): GET /stuck\?a=b from 127\.0\.0\.1 has been in the")
        server.wait_for_output(
            rf"App {pid} stacks: Thread 0x\w+ \(.*, in GET /stuck\?a=b from 127\.0\.0\.1\):"
        )
        server.wait_for_output(rf'App {pid} stacks:   File ".*wsgi\.py", line \d+, in get_stuck')
        replacement = server.wait_for_output(r"worker 2 \(pid (\d+)\) is ready")[1]
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended with .* it had to give up GET /stuck\?a=b")
        with RawClient(server.url) as client:
            client.get("/")
            assert client.answer().body.decode() == replacement != str(pid)


@pytest.mark.parametrize("comes_back", [False, True], ids=["and stays", "and comes back"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_stuck_request_counts_as_what_its_client_was_answered(
    tmp_path: Path, threads: str, comes_back: bool
) -> None:
    write_application(tmp_path, *APPLICATION)
    drain_timeout = "600" if comes_back else "0.2"
    options = ("--threads", threads, "--request-timeout", "1", "--drain-timeout", drain_timeout)
    watched = ("--metrics", "127.0.0.1:0", "--access-log", "common")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(
            ".", *ONE_PROCESS, *options, *watched, folder=tmp_path, environment=gate.environment
        ) as server,
    ):
        (pid,) = server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get("/stuck")
            gate.wait_for_arrival()
            answer = client.answer()
            assert answer.status == 504
            request_id = answer.headers["x-request-id"]
        server.wait_for_output(rf'App {pid} access: .* "GET /stuck HTTP/1.1" 504 20 \S+ {pid} {request_id}')
        server.wait_for_output(r"GET /stuck .* it was answered with 504")
        if comes_back:
            gate.open()
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended")
        metrics = MetricsClient(server)
        counted = [metrics.value("coachman_requests_total", status=f"{first}xx") for first in (1, 2, 3, 4, 5)]
        assert counted == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("kind", ["of one of several threads", "of a task that is deaf"])
def test_a_worker_with_nothing_else_in_hand_does_not_wait_for_a_stuck_request(
    tmp_path: Path, kind: str
) -> None:
    asgi = (
        """
        import asyncio, os

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                raise NotImplementedError
            while scope["path"] == "/stuck":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    print("no", flush=True)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
        """,
    )
    threads = kind == "of one of several threads"
    write_application(tmp_path, *(APPLICATION if threads else asgi))
    options = ("--threads", "2", "--request-timeout", "1", "--drain-timeout", "600")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path, environment=gate.environment) as server,
    ):
        (pid,) = server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get("/stuck")
            assert client.answer().status == 504
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended with .* it had to give up GET /stuck")
        with RawClient(server.url) as client:
            client.get("/")
            assert int(client.answer().body) != pid


def test_connections_leave_a_worker_whose_only_thread_is_stuck(tmp_path: Path) -> None:
    write_application(tmp_path, *APPLICATION)
    options = ("--threads", "1", "--request-timeout", "1", "--drain-timeout", "600")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path, environment=gate.environment) as server,
        RawClient(server.url) as idle,
        RawClient(server.url) as asking,
        RawClient(server.url) as stuck,
    ):
        (pid,) = server.ready_workers(1)
        for client in (idle, asking):
            client.get("/")
            assert int(client.answer().body) == pid
        stuck.get("/stuck")
        gate.wait_for_arrival()
        asking.get("/")
        replacement = int(asking.answer().body)
        assert replacement != pid
        assert stuck.answer().status == 504
        idle.get("/")
        assert int(idle.answer().body) == replacement
        gate.open()
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended")


def test_what_is_in_hand_beside_a_stuck_request_is_finished(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        *APPLICATION,
        """
        import threading
        entered = threading.Event()
        plain = application

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/beside":
                entered.wait()  # until the stuck one is there
                body = plain(environ, start_response)
                return [b"done"]
            if environ["PATH_INFO"] == "/stuck":
                entered.set()
            return plain(environ, start_response)
        """,
    )
    # Time enough for the second request to come while the first one waits for it.
    options = ("--threads", "2", "--request-timeout", "3", "--drain-timeout", "5")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path, environment=gate.environment) as server,
        RawClient(server.url) as beside,
        RawClient(server.url) as stuck,
    ):
        beside.get("/beside")
        stuck.get("/stuck")
        assert stuck.answer().status == 504
        assert beside.answer().body == b"done"


def test_a_client_that_leaves_a_stream_ends_it(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        class Stream:
            def __iter__(self):
                while True:
                    yield b"x" * 65536

            def close(self):
                print("the stream was closed", flush=True)

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return Stream()
        """,
    )
    with CoachmanServe(".", *ONE_PROCESS, folder=tmp_path) as server:
        with RawClient(server.url) as client:
            client.get("/")
            assert client.sock.recv(1) == b"H"
        server.wait_for_output("the stream was closed")


def test_c_code_that_keeps_the_interpreter_is_found_by_the_supervisor(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/greedy":
                sum(range(10 ** 15))
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
        """,
    )
    options = ("--request-timeout", "0.5", "--drain-timeout", "0.5")
    with (
        CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path) as server,
        RawClient(server.url) as client,
    ):
        (pid,) = server.ready_workers(1)
        client.get("/greedy")
        server.wait_for_output(rf"worker 1 \(pid {pid}\) is to be replaced: a request has been in the app")
        server.wait_for_output(rf'App {pid} stacks:   File ".*wsgi\.py", line \d+ in application')
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended with")
        server.wait_for_output(r"worker 2 \(pid \d+\) is ready")
        with RawClient(server.url) as other:
            other.get()
            assert other.answer().body == b"hello"
