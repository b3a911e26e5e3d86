"""WebSockets of the ASGI engine."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from coachman.policy import draining

from .asgi_serving import (
    TIMEOUT,
    Receive,
    Scope,
    Send,
    answer,
    receive_all,
    receive_response,
    served,
)

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Echo:
    """Echoes messages; answers HTTP; notes the codes with which WebSockets ended."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(send)
            return
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refuse":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "fail":
                raise LookupError("as asked for")
            await send({"type": "websocket.send", **{k: v for k, v in message.items() if k != "type"}})
        self.codes.append(message["code"])
        self.ended.set()


def test_messages_go_both_ways() -> None:
    echo = Echo()
    with served(echo) as serving:
        websocket = serving.connect_websocket("/room?x=1")
        for message in ("text", b"bytes", "long " * 100_000):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message
        websocket.close(4001)
        assert echo.ended.wait(TIMEOUT)
    assert echo.codes == [4001]


def test_a_connection_may_carry_requests_before_it_becomes_a_websocket() -> None:
    with served(Echo()) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(client)
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")


def test_a_handshake_behind_an_unanswered_request_is_refused() -> None:
    with served(Echo()) as serving:
        client = serving.connect()
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        receive_response(client)
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Cookie: " + b"x" * 9000 + b"\r\n\r\n", b"431"),
        (b"Content-Length: 5\r\n\r\nhello", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    ],
)
def test_a_handshake_that_is_not_understood_is_answered_and_logged(
    fields: bytes, status: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(Echo()) as serving:
        client = serving.connect()
        client.sendall(HANDSHAKE + fields)
        assert receive_all(client).startswith(b"HTTP/1.1 " + status + b" ")
    assert f"refused a WebSocket from 127.0.0.1: {status.decode()} " in capsys.readouterr().err


def test_a_websocket_may_be_asked_for_by_a_whole_url() -> None:
    paths: list[object] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(
            (scope["path"], scope["raw_path"], scope["query_string"], dict(scope["headers"])[b"host"])
        )
        await send({"type": "websocket.close"})

    with served(application) as serving:
        client = serving.connect()
        client.sendall(HANDSHAKE.replace(b" /ws ", b" http://there/w%20s?a=1 ") + b"\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 403 ")
    assert paths == [("/w s", b"/w%20s", b"a=1", b"there")]


def test_an_offer_of_a_websocket_in_http_1_0_is_passed_over() -> None:
    with served(Echo()) as serving:
        client = serving.connect()
        client.sendall(HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
        assert receive_response(client)[0].startswith(b"HTTP/1.1 200 ")


def test_an_application_may_refuse() -> None:
    with served(Echo()) as serving, pytest.raises(InvalidStatus, match="403"):
        serving.connect_websocket("/refuse")


def test_a_failing_application_closes_with_1011_and_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Echo()) as serving:
        websocket = serving.connect_websocket("/room")
        websocket.send("fail")
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(TIMEOUT)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011
    logged = capsys.readouterr().err
    assert "WebSocket /room from 127.0.0.1: the application failed" in logged
    assert "LookupError: as asked for" in logged


def test_draining_leaves_a_websocket_open_and_closes_it_with_1012_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    echo = Echo()
    with served(echo) as serving:
        websocket = serving.connect_websocket()
        serving.drain(1000)
        websocket.send("still there")
        assert websocket.recv(TIMEOUT) == "still there"
        # Now, at the earliest, is the time of the farewell; there is a lot left for it.
        monkeypatch.setattr(draining, "FAREWELL_SHARE", 1.0)
        monkeypatch.setattr(draining, "FAREWELL_SECONDS", TIMEOUT)
        serving.drain(TIMEOUT)
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(TIMEOUT)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        assert serving.wait() is True
    assert echo.codes == [1012]


def test_draining_ends_once_the_last_websocket_is_closed() -> None:
    with served(Echo()) as serving:
        websocket = serving.connect_websocket()
        serving.drain()
        websocket.close()
        assert serving.wait() is True
