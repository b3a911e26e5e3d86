"""`coachman serve` with ASGI applications: how they are told apart, how they start and how they end."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_check import check_json
from .coachman_serve import CoachmanServe
from .raw_client import RawClient
from .websocket_client import open_websocket

TIMEOUT: Final = 30.0

PLAIN: Final = """
async def application(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("HTTP alone")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"by ASGI"})
"""

FAILING_STARTUP: Final = """
async def application(scope, receive, send):
    await receive()
    try:
        connect_to_database()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise

def connect_to_database():
    raise ConnectionError("no database")
"""

WEBSOCKET: Final = """
import asyncio

leave = asyncio.Event()

async def application(scope, receive, send):
    if scope["type"] == "http":
        if scope["path"] == "/slow":
            leave.clear()
            print("slow request", flush=True)
            await leave.wait()
        else:
            leave.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"finished"})
        return
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})
    print("closed with", message["code"], flush=True)
"""


def test_an_asgi_application_is_known_by_its_looks(tmp_path: Path) -> None:
    write_application(tmp_path, PLAIN)
    with CoachmanServe(*ONE_PROCESS, folder=tmp_path) as server:
        assert httpx.get(server.url, timeout=TIMEOUT, trust_env=False).text == "by ASGI"
        assert server.stop() == 0
        _, output = server.outcome()
    assert "is served as ASGI: it is a coroutine function\n" in output
    assert "stderr" not in output


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_the_interface_is_said_once(tmp_path: Path, method: str) -> None:
    write_application(tmp_path, HELLO)
    options = ("--bind", "127.0.0.1:0", "--processes", "2", "--spawn-method", method)
    with CoachmanServe(*options, folder=tmp_path) as server:
        server.ready_workers(2)
        server.stop()
        _, output = server.outcome()
    assert re.findall(r"is served as (.*)\n", output) == ["WSGI: it takes two arguments"]


def test_what_looks_like_neither_can_be_named(tmp_path: Path) -> None:
    write_application(tmp_path, PLAIN, "real = application", "application = lambda *given: real(*given)")
    with CoachmanServe(*ONE_PROCESS, "--interface", "asgi", folder=tmp_path) as server:
        assert httpx.get(server.url, timeout=TIMEOUT, trust_env=False).text == "by ASGI"
        server.wait_for_output("is served as ASGI: as was asked for\n")


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_a_failed_lifespan_startup_is_a_failed_start_with_its_traceback(tmp_path: Path, method: str) -> None:
    write_application(tmp_path, FAILING_STARTUP)
    with CoachmanServe(*ONE_PROCESS, "--spawn-method", method, folder=tmp_path) as server:
        status, output = server.outcome()
    assert status == 1
    assert "the application's lifespan startup failed: ConnectionError: no database" in output
    assert f'File "{tmp_path}/wsgi.py", line ' in output
    assert "in connect_to_database" in output
    for own in ("lifespan.py", "engine.py", "uvloop", "asyncio"):
        assert own not in output


def test_an_application_of_asgi_2_is_refused_with_the_way_out(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        class application:
            def __init__(self, scope): ...
            async def __call__(self, receive, send): ...
        """,
    )
    failure = check_json(tmp_path)["failure"]
    assert "guarantee_single_callable" in failure["headline"]


def test_check_names_the_interface(tmp_path: Path) -> None:
    write_application(tmp_path, PLAIN)
    assert check_json(tmp_path)["interface"] == "asgi"
    write_application(tmp_path, HELLO)
    assert check_json(tmp_path)["interface"] == "wsgi"


def test_stopping_finishes_requests_and_closes_websockets_with_1012(tmp_path: Path) -> None:
    write_application(tmp_path, WEBSOCKET)
    # Of the usual 10 s, requests have 8, and then WebSockets that are told to go have 1.5.
    with CoachmanServe(*ONE_PROCESS, folder=tmp_path) as server:
        with (
            open_websocket(server.url) as websocket,
            RawClient(server.url) as slow,
            RawClient(server.url) as begun,
            RawClient(server.url) as quick,  # accepted after it
        ):
            slow.get("/slow")
            server.wait_for_output("slow request")
            begun.send(b"GET / HTTP/1.1\r\n")
            quick.get("/")  # when this is answered, the beginning of the other has been read
            assert quick.answer().body == b"finished"
            assert slow.answer().body == b"finished"
            server.send_signal(signal.SIGTERM)
            assert quick.read_to_end() == b""
            begun.send(b"Host: x\r\n\r\n")
            assert begun.answer().headers["connection"] == "close"
            with pytest.raises(ConnectionClosed) as caught:
                websocket.recv(TIMEOUT)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        status, output = server.outcome()
    assert status == 0
    assert "closed with 1012" in output
    assert "gave up" not in output


def test_a_worker_that_is_stopped_is_ready_again_with_its_startup_run(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        import os

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                scope["state"]["pid"] = os.getpid()
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
                print("shut down", flush=True)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            same = scope["state"]["pid"] == os.getpid()
            await send({"type": "http.response.body", "body": str(same).encode()})
        """,
    )
    with CoachmanServe(*ONE_PROCESS, folder=tmp_path) as server:
        first = server.ready_workers(1)[0]
        seen = len(server.output())
        os.kill(first, signal.SIGTERM)
        server.wait_for_output("shut down", after=seen)
        server.wait_for_output(r"worker 2 \(pid \d+\) is ready", after=seen)
        assert httpx.get(server.url, timeout=TIMEOUT, trust_env=False).text == "True"


def test_the_access_log_has_requests_and_websockets(tmp_path: Path) -> None:
    write_application(tmp_path, WEBSOCKET)
    with CoachmanServe(*ONE_PROCESS, "--access-log", "common", folder=tmp_path) as server:
        httpx.get(server.url + "/page?x=1", timeout=TIMEOUT, trust_env=False).raise_for_status()
        server.wait_for_output(r'127\.0\.0\.1 - - \[.*\] "GET /page\?x=1 HTTP/1\.1" 200 8 ')
        with open_websocket(server.url, "/ws"):
            pass
        server.wait_for_output(r'"GET /ws HTTP/1\.1" 101 ')


def test_static_files_are_served_beside_it(tmp_path: Path) -> None:
    write_application(tmp_path, PLAIN)
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "style.css").write_text("body {}")
    with (
        CoachmanServe(*ONE_PROCESS, "--static", "/assets=public", folder=tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=TIMEOUT, trust_env=False) as client,
    ):
        answer = client.get("/assets/style.css").raise_for_status()
        assert (answer.text, answer.headers["content-type"].split(";")[0]) == ("body {}", "text/css")
        assert client.get("/").text == "by ASGI"


def test_a_request_that_takes_too_long_is_answered_and_its_task_is_shown(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        import asyncio

        async def application(scope, receive, send):
            assert scope["type"] == "http"
            await wait_for_ever()

        async def wait_for_ever():
            await asyncio.Event().wait()
        """,
    )
    with CoachmanServe(
        *ONE_PROCESS, "--request-timeout", "0.3", "--drain-timeout", "1", folder=tmp_path
    ) as server:
        answer = httpx.get(server.url + "/slow", timeout=TIMEOUT, trust_env=False)
        assert answer.status_code == 504
        server.wait_for_output("in wait_for_ever")
        server.wait_for_output("GET /slow")
        server.wait_for_output(r"worker 1 \(pid \d+\) is ready[\s\S]*is ready")


def test_what_a_worker_has_done_and_was_doing_is_known_when_it_is_killed(tmp_path: Path) -> None:
    write_application(tmp_path, WEBSOCKET)
    with CoachmanServe(*ONE_PROCESS, folder=tmp_path) as server, RawClient(server.url) as client:
        for _ in range(3):
            httpx.get(server.url, timeout=TIMEOUT, trust_env=False).raise_for_status()
        client.get("/slow")
        # Its turn comes after those that were answered have been counted: an answer is out a moment before.
        server.wait_for_output("slow request")
        os.kill(server.ready_workers(1)[0], signal.SIGKILL)
        server.wait_for_output(r"ended with SIGKILL after 3 requests in .* s, in GET /slow, ")


def test_no_connection_ends_when_workers_are_replaced_under_load(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        import asyncio, os

        async def application(scope, receive, send):
            assert scope["type"] == "http"
            await asyncio.sleep(0.001)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
        """,
    )
    with CoachmanServe("--bind", "127.0.0.1:0", "--processes", "2", folder=tmp_path) as server:
        server.ready_workers(2)
        stop = threading.Event()
        answered = [0] * 8
        failures: list[BaseException] = []

        def load(number: int) -> None:
            try:
                with RawClient(server.url) as client:
                    while not stop.is_set():
                        client.get()
                        assert client.answer().status == 200
                        answered[number] += 1
            except BaseException as error:
                failures.append(error)

        loads = [threading.Thread(target=load, args=(number,)) for number in range(len(answered))]
        for thread in loads:
            thread.start()
        try:
            for _ in range(3):
                with RawClient(server.url) as client:
                    client.get()
                    pid = int(client.answer().body)
                os.kill(pid, signal.SIGTERM)
                server.wait_for_output(
                    rf"\(pid {pid}\) ended with exit status 0 after .* s: it had got SIGTERM"
                )
        finally:
            stop.set()
            for thread in loads:
                thread.join(30)
        assert not failures
        assert all(answered)
        assert server.stop() == 0, server.output()
