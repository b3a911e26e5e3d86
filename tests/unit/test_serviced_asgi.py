"""The services around an ASGI application, with a server that is only two functions."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import queue
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from coachman.config.model import WorkerConfig
from coachman.worker.asgi.serviced import Application, ServicedApplication
from coachman.worker.asgi.static_sending import BLOCK_SIZE
from coachman.worker.late_answer import LATE_BODY as BODY
from coachman.worker.services import Services, make_services
from coachman.worker.watchdog import Watchdog, Watched

TIMEOUT = 20.0
Send = Callable[[Any], Awaitable[None]]


class Client:
    """The peer of one request: what it was sent."""

    def __init__(self, path: str = "/", headers: dict[str, str] | None = None, kind: str = "http") -> None:
        self.scope: dict[str, Any] = {
            "type": kind,
            "method": "GET",
            "raw_path": path.encode(),
            "query_string": b"",
            "http_version": "1.1",
            "client": ("127.0.0.1", 4),
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        self.messages: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.on_sent: Callable[[], None] = lambda: None

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(dict(message))
        self.on_sent()
        await asyncio.sleep(0)

    @property
    def status(self) -> int:
        (start,) = [m for m in self.messages if m["type"] == "http.response.start"]
        return int(start["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m["body"] for m in self.messages if m["type"] == "http.response.body")


async def hello(scope: Any, receive: Any, send: Send) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"hel", "more_body": True})
    await send({"type": "http.response.body", "body": b"lo"})


@pytest.fixture
def public(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "small.txt").write_bytes(b"small")
    (folder / "large.bin").write_bytes(os.urandom(3 * BLOCK_SIZE + 5))
    return folder


def static_only(public: Path) -> Services:
    services = make_services(WorkerConfig(static={"/s": str(public)}), None, lambda fd: None)
    assert services is not None
    return services


def call(application: Application, services: Services, client: Client) -> None:
    asyncio.run(call_in_loop(application, services, client))


async def call_in_loop(application: Application, services: Services, client: Client) -> None:
    await ServicedApplication(application, services)(client.scope, client.receive, client.send)
    await asyncio.sleep(0)


def test_nothing_is_wrapped_where_nothing_is_asked_for() -> None:
    assert make_services(WorkerConfig(), None, lambda fd: None) is None


@pytest.mark.parametrize("name", ["small.txt", "large.bin"])
def test_a_file_is_sent_in_blocks_without_the_application(public: Path, name: str) -> None:
    client = Client(f"/s/{name}")
    call(hello, static_only(public), client)
    content = (public / name).read_bytes()
    assert (client.status, client.body) == (200, content)
    assert client.headers["content-length"] == str(len(content))
    assert all(len(m.get("body", b"")) <= BLOCK_SIZE for m in client.messages)


def test_a_missing_file_is_for_the_application(public: Path) -> None:
    client = Client("/s/missing")
    call(hello, static_only(public), client)
    assert (client.status, client.body) == (201, b"hello")


def test_a_client_that_is_gone_ends_the_reading(public: Path) -> None:
    client = Client("/s/large.bin")
    client.on_sent = client.gone.set
    call(hello, static_only(public), client)
    assert len(client.body) < 3 * BLOCK_SIZE


def test_a_file_that_shrinks_breaks_its_response_off(public: Path) -> None:
    client = Client("/s/large.bin")
    client.on_sent = lambda: os.truncate(public / "large.bin", 10)
    with pytest.raises(OSError, match="became shorter"):
        call(hello, static_only(public), client)
    assert client.messages[-1].get("more_body") is not False


def test_a_request_has_a_line_and_an_id(log: tuple[Services, int]) -> None:
    services, read_end = log
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Send) -> None:
        seen.extend(value.decode() for name, value in scope["headers"] if name == b"x-request-id")
        await hello(scope, receive, send)

    client = Client("/a?b", {"x-request-id": "from-proxy", "user-agent": "u", "referer": "r"})
    call(application, services, client)
    line = json.loads(os.read(read_end, 10_000))
    assert seen == ["from-proxy"]
    assert client.headers["x-request-id"] == "from-proxy"
    assert line | {"time": "", "duration": 0.0} == {
        "time": "",
        "peer": "127.0.0.1",
        "method": "GET",
        "target": "/a?b",
        "protocol": "HTTP/1.1",
        "status": 201,
        "bytes": 5,
        "duration": 0.0,
        "referer": "r",
        "user_agent": "u",
        "request_id": "from-proxy",
        "pid": os.getpid(),
    }


def test_an_id_of_a_stranger_is_replaced(log: tuple[Services, int]) -> None:
    services, read_end = log
    client = Client(headers={"x-request-id": "mine"})
    client.scope["client"] = ("192.0.2.1", 5)
    call(hello, services, client)
    assert client.headers["x-request-id"] != "mine"
    assert json.loads(os.read(read_end, 10_000))["request_id"] == client.headers["x-request-id"]


def test_a_failing_application_has_a_line_too(log: tuple[Services, int]) -> None:
    services, read_end = log

    async def application(scope: Any, receive: Any, send: Send) -> None:
        raise LookupError("oh")

    async def main() -> None:
        with pytest.raises(LookupError):
            await call_in_loop(application, services, Client())
        await asyncio.sleep(0)

    asyncio.run(main())
    assert json.loads(os.read(read_end, 10_000))["status"] is None


def test_a_websocket_has_a_line_when_it_ends(log: tuple[Services, int]) -> None:
    services, read_end = log

    async def application(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    client = Client(kind="websocket")
    del client.scope["method"]
    call(application, services, client)
    assert json.loads(os.read(read_end, 10_000))["status"] == 101


def run_out(watchdog: Watchdog) -> None:
    """Let the time of every request be up."""
    watchdog._timeout = 0.0
    watchdog._wake.set()


def timing(method: str = "GET", name: str = "") -> tuple[Services, Watchdog, queue.Queue[bool]]:
    answers: queue.Queue[bool] = queue.Queue()

    def on_timed_out(request: Watched, since: float, thread: int) -> Callable[[], None]:
        assert request.describe_request() == f"{method} / from 127.0.0.1{name}"
        answered = request.answer_late()
        return lambda: answers.put(answered)

    watchdog = Watchdog(1000.0, on_timed_out)
    services = make_services(WorkerConfig(), watchdog, lambda fd: None)
    assert services is not None
    watchdog.start()
    return services, watchdog, answers


async def answered(answers: queue.Queue[bool]) -> None:
    """Wait until the watchdog has dealt with a request; how is still to be read from `answers`."""
    answers.put(await asyncio.to_thread(answers.get, timeout=30))


def test_a_request_that_takes_too_long_is_answered_while_the_loop_goes_on() -> None:
    services, watchdog, answers = timing()

    async def application(scope: Any, receive: Any, send: Send) -> None:
        run_out(watchdog)
        await answered(answers)
        await hello(scope, receive, send)  # too late: it is dropped

    try:
        client = Client()
        call(application, services, client)
        assert (client.status, client.body) == (504, BODY)
        assert answers.get_nowait() is True
    finally:
        watchdog.close()


def test_who_is_answered_late_is_told_the_id(log: tuple[Services, int]) -> None:
    services, watchdog, answers = timing(name=" (request id c-1)")
    services = dataclasses.replace(log[0], watchdog=watchdog)

    async def application(scope: Any, receive: Any, send: Send) -> None:
        run_out(watchdog)
        await answered(answers)

    try:
        client = Client(headers={"x-request-id": "c-1"})
        call(application, services, client)
        assert (client.status, client.headers["x-request-id"]) == (504, "c-1")
    finally:
        watchdog.close()


def test_a_request_in_the_application_is_called_by_its_id_where_it_has_one(log: tuple[Services, int]) -> None:
    watchdog = Watchdog(1000.0, lambda request, since, thread: lambda: None)
    services = dataclasses.replace(log[0], watchdog=watchdog)
    called: list[str] = []

    async def application(scope: Any, receive: Any, send: Send) -> None:
        called.extend(request.describe_request() for request, _, _ in watchdog.running())
        await hello(scope, receive, send)

    call(application, services, Client("/a?b", headers={"x-request-id": "c-1"}))
    assert called == ["GET /a?b from 127.0.0.1 (request id c-1)"]


@pytest.mark.parametrize("kind", ["websocket.accept", "websocket.http.response.start"])
def test_the_client_of_a_websocket_is_told_its_id_as_well(log: tuple[Services, int], kind: str) -> None:
    async def application(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": kind, "status": 401, "headers": [(b"x-own", b"1")]})

    client = Client(headers={"x-request-id": "c-1"}, kind="websocket")
    call(application, log[0], client)
    assert client.headers == {"x-own": "1", "x-request-id": "c-1"}


def test_a_response_that_has_begun_may_take_its_time() -> None:
    services, watchdog, answers = timing()
    other: list[Client] = []

    async def application(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        # Another request is late meanwhile: by then this one would have been.
        other.append(late := Client())
        await call_in_loop(never, services, late)
        await send({"type": "http.response.body", "body": b"end"})

    async def never(scope: Any, receive: Any, send: Send) -> None:
        run_out(watchdog)
        await answered(answers)

    try:
        client = Client()
        call(application, services, client)
        assert (client.status, client.body) == (200, b"end")
        assert other[0].status == 504
    finally:
        watchdog.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_loop_that_is_stuck_is_passed_by(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coachman.worker.asgi.late_answer.LOOP_SECONDS", 0.02)
    services, watchdog, answers = timing(method)

    async def main() -> bytes:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            cycle.transport = writer.transport
            tasks.append(asyncio.create_task(serve()))

        class Cycle:
            """As uvicorn's: what it receives by is a method of what has the transport."""

            transport: asyncio.BaseTransport

            async def receive(self) -> dict[str, Any]:
                return {"type": "http.disconnect"}

        async def application(scope: Any, receive: Any, send: Send) -> None:
            run_out(watchdog)
            found.append(answers.get(timeout=TIMEOUT))  # the loop is stuck here

        async def serve() -> None:
            client = Client()
            client.scope["method"] = method
            await ServicedApplication(application, services)(client.scope, cycle.receive, client.send)
            assert client.messages == []
            cycle.transport.close()

        cycle, tasks, found = Cycle(), list[asyncio.Task[None]](), list[bool]()
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            received = await reader.read()
            writer.close()
            await tasks[0]
        assert found == [True]
        return received

    try:
        received = asyncio.run(main())
        assert received.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        assert received.partition(b"\r\n\r\n")[2] == (BODY if method == "GET" else b"")
    finally:
        watchdog.close()
