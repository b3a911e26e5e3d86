"""What the ASGI engine relies on of uvicorn beyond its documentation, by name.

Where a release changes one of these, the engine has to be looked at before that release is allowed.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from typing import Any

import pytest
import uvloop
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

# With the first loop of a process, libuv makes a pipe and keeps it: no test is to be blamed for that.
uvloop.new_event_loop().close()

LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


async def application(scope: Any, receive: Any, send: Any) -> None: ...


def config(**settings: Any) -> Config:
    made = Config(application, interface="asgi3", lifespan="off", log_config=None, workers=1, **settings)
    made.load()
    return made


def http_protocol(loop: asyncio.AbstractEventLoop) -> HttpToolsProtocol:
    return HttpToolsProtocol(config(ws="none"), ServerState(), {}, _loop=loop)


def test_the_configuration_says_what_is_looked_at() -> None:
    made = config(ws="websockets-sansio", proxy_headers=False, server_header=False, access_log=False)
    assert made.loaded
    assert made.loaded_app is application, "nothing is wrapped around the application"
    assert made.ws_protocol_class is WebSocketsSansIOProtocol
    assert made.encoded_headers == []


@pytest.mark.parametrize(
    ("protocol", "methods"),
    [
        (
            HttpToolsProtocol,
            (
                "connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing",
                "on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body",
                "on_message_complete", "on_response_complete", "handle_websocket_upgrade", "_get_upgrade",
            ),
        ),
        (
            WebSocketsSansIOProtocol,
            (
                "connection_made", "connection_lost", "pause_writing", "resume_writing", "on_task_complete",
                "run_asgi", "receive", "send", "send_500_response", "shutdown",
            ),
        ),
    ],
)  # fmt: skip
def test_what_is_overridden_or_called_is_there(protocol: type, methods: tuple[str, ...]) -> None:
    for name in methods:
        assert callable(getattr(protocol, name, None)), name


def test_an_http_protocol_has_the_attributes_that_are_used() -> None:
    loop = asyncio.new_event_loop()
    protocol = http_protocol(loop)
    loop.close()
    used = {
        "app", "app_state", "client", "config", "cycle", "expect_100_continue", "flow", "headers", "loop",
        "parser", "pipeline", "scope", "server_state", "transport", "ws_protocol_class",
    }  # fmt: skip
    assert used <= set(vars(protocol))


def test_a_message_begins_with_a_scope_that_is_complete_but_for_the_head() -> None:
    loop = asyncio.new_event_loop()
    protocol = http_protocol(loop)
    protocol.on_message_begin()
    loop.close()
    assert set(protocol.scope) == {
        "type", "asgi", "http_version", "server", "client", "scheme", "root_path", "headers", "state",
    }  # fmt: skip
    assert protocol.scope["headers"] is protocol.headers
    assert protocol.url == b""


def test_a_cycle_receives_from_the_attributes_that_are_set() -> None:
    """`Cycle` sets them itself, without the base's `__init__`; `receive` is the base's."""
    used = {
        name
        for name in RequestResponseCycle.receive.__code__.co_names
        if name not in ("wait", "clear", "write", "is_closing", "resume_reading", "bytes", "bytearray")
    }
    assert used == {
        "waiting_for_100_continue", "transport", "disconnected", "response_complete", "flow", "message_event",
        "body", "more_body",
    }  # fmt: skip


def test_what_the_protocol_asks_of_a_cycle_is_what_ours_has() -> None:
    body = set(HttpToolsProtocol.on_body.__code__.co_names)
    assert {"cycle", "response_complete", "body", "message_event", "flow"} <= body
    lost = set(HttpToolsProtocol.connection_lost.__code__.co_names)
    assert {"cycle", "response_complete", "disconnected", "message_event"} <= lost


def test_flow_control_tells_what_is_paused() -> None:
    assert {"read_paused", "write_paused"} <= set(FlowControl.__init__.__code__.co_names)
    assert inspect.iscoroutinefunction(FlowControl.drain)
    assert "resume_reading" in RequestResponseCycle.receive.__code__.co_names, "as the application reads"


def test_a_websocket_has_the_attributes_that_are_used() -> None:
    loop = asyncio.new_event_loop()
    protocol = WebSocketsSansIOProtocol(config(), ServerState(), {}, _loop=loop)
    loop.close()
    used = {
        "client", "close_sent", "close_timer", "conn", "disconnected", "handshake_complete",
        "handshake_initiated", "loop", "scheme", "tasks", "transport",
    }  # fmt: skip
    assert used <= set(vars(protocol))
    assert protocol.conn.handshake_exc is None
    assert issubclass(ClientDisconnected, OSError)


def test_the_upgrade_passes_what_ours_takes() -> None:
    source = inspect.getsource(HttpToolsProtocol.handle_websocket_upgrade)
    for argument in ("config=self.config", "server_state=self.server_state", "app_state=self.app_state"):
        assert argument in source
    assert "1012" in inspect.getsource(WebSocketsSansIOProtocol.shutdown)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_loop_gives_out_the_socket_and_takes_an_accepted_one(make_loop: Any) -> None:

    async def run() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, theirs)
        with ours, socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as kept:
            assert transport.get_write_buffer_size() == 0
            transport.abort()
            for _ in range(3):
                await asyncio.sleep(0)
            kept.send(b"still open")
            assert ours.recv(100) == b"still open"

    loop = make_loop()
    loop.run_until_complete(run())
    loop.close()
