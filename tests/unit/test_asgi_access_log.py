"""What the access log of an ASGI worker says is what the client has got."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from coachman.config.model import Bounds, WorkerConfig
from coachman.protocol.scoreboard import view_of
from coachman.worker.services import Services

from .asgi_serving import Receive, Scope, Send, Served, receive_all, served


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    if scope["type"] == "websocket":
        if path == "/denied":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"12345"})
        elif path != "/silent":
            raise LookupError("as it should")
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/fails":
        raise LookupError("as it should")
    if path == "/left":
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"for nobody"})
        return
    await send({"type": "http.response.body", "body": b"123", "more_body": True})
    await send({"type": "http.response.body", "body": b"45"})


def line_of(read_end: int) -> dict[str, Any]:
    """Return what the log has, which is to be one line."""
    line: dict[str, Any] = json.loads(os.read(read_end, 100_000))
    return line


def ask(serving: Served, path: str, method: str = "GET") -> bytes:
    client = serving.connect()
    client.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return receive_all(client)


def test_the_status_is_that_of_the_answer_where_the_application_has_failed_behind_its_start(
    log: tuple[Services, int],
) -> None:
    services, read_end = log
    with served(application) as serving:
        serving.engine.use_services(services)
        answer = ask(serving, "/fails")
        assert answer.startswith(b"HTTP/1.1 500 ")
        line = line_of(read_end)
    assert (line["status"], line["bytes"]) == (500, len(answer.partition(b"\r\n\r\n")[2]))
    assert f"\r\nx-request-id: {line['request_id']}\r\n".encode() in answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_bytes_are_those_that_follow_the_head(log: tuple[Services, int], method: str) -> None:
    services, read_end = log
    with served(application) as serving:
        serving.engine.use_services(services)
        body = ask(serving, "/", method).partition(b"\r\n\r\n")[2]
        assert line_of(read_end)["bytes"] == len(body) == (0 if method == "HEAD" else 20)


def test_a_client_that_left_before_the_answer_has_got_none(log: tuple[Services, int]) -> None:
    services, read_end = log
    with served(application) as serving:
        serving.engine.use_services(services)
        client = serving.connect()
        client.sendall(b"GET /left HTTP/1.1\r\nHost: x\r\n\r\n")
        client.close()
        line = line_of(read_end)
    assert (line["status"], line["bytes"]) == (None, 0)


@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize(("source", "believed"), [("203.0.113.1", False), ("127.0.0.1", True)])
def test_who_was_introduced_is_no_proxy_whose_request_ids_are_taken_over(
    log: tuple[Services, int], source: str, believed: bool, websocket: bool
) -> None:
    """The PROXY protocol is spoken by proxies that pass requests on as they are."""
    services, read_end = log
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    fields = upgrade if websocket else "Connection: close\r\n"
    with served(application, WorkerConfig(proxy_protocol=True)) as serving:
        serving.engine.use_services(services)
        client = serving.connect()
        client.sendall(
            f"PROXY TCP4 {source} 198.51.100.7 4711 443\r\nGET /denied HTTP/1.1\r\nHost: x\r\n"
            f"X-Request-Id: the-clients\r\n{fields}\r\n".encode()
        )
        receive_all(client)
        line = line_of(read_end)
    assert (line["request_id"] == "the-clients") == believed


@pytest.mark.parametrize(("path", "status"), [("/denied", 401), ("/fails", 500), ("/silent", 500)])
def test_a_websocket_that_does_not_come_about_has_the_status_of_its_answer(
    log: tuple[Services, int], path: str, status: int
) -> None:
    services, read_end = log
    with served(application) as serving:
        serving.engine.use_services(services)
        with pytest.raises(InvalidStatus) as caught:
            serving.connect_websocket(path)
        line = line_of(read_end)
    assert caught.value.response.status_code == line["status"] == status


@pytest.mark.parametrize("first", ["", "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["alone", "pipelined"])
@pytest.mark.parametrize(
    ("refused", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n123456", 413),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n0\r\n\r\n", 413),
    ],
)
def test_what_is_refused_has_one_line_and_counts_once(
    log: tuple[Services, int], first: str, refused: str, status: int
) -> None:
    services, read_end = log
    with served(application, WorkerConfig(bounds=Bounds(body_size=5))) as serving:
        serving.engine.use_services(services)
        client = serving.connect()
        client.sendall((first + refused).encode())
        answer = receive_all(client)
        assert f"HTTP/1.1 {status} ".encode() in answer
        serving.drain()
        assert serving.wait() is True
        lines = [json.loads(line) for line in os.read(read_end, 100_000).splitlines()]
        seen = view_of(serving.engine.cells).counters
    assert sorted(line["status"] for line in lines) == ([200, status] if first else [status])
    assert seen.requests == len(lines)
    assert seen.statuses[3] == 1
