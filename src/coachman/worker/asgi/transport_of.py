"""The way from an ASGI call to the connection that it came on, and to its cycle: a seam of uvicorn's."""

from __future__ import annotations

import asyncio
from typing import Any

from coachman.worker.asgi.cycle import Cycle
from coachman.worker.asgi.http_connection import HttpConnection
from coachman.worker.asgi.websocket_connection import WebSocketConnection


def transport_of(receive: Any) -> asyncio.Transport | None:
    """Return the transport of a request, given its `receive`; None where that is not uvicorn's.

    It is a method of uvicorn's cycle, which has the transport.
    """
    transport: asyncio.Transport | None = getattr(getattr(receive, "__self__", None), "transport", None)
    return transport


def peer_of(receive: Any) -> str | None:
    """Return the address of whoever has connected, "" for one on a unix socket; None: it is not known.

    That is not the scope's `client`, where a proxy has told of another one in the head of a request. What one
    has told by the PROXY protocol counts: it passes on whatever that client sends.
    """
    transport = transport_of(receive)
    connection = None if transport is None else transport.get_protocol()
    if isinstance(connection, WebSocketConnection):
        return connection.peer[0] if connection.peer else ""
    if isinstance(connection, HttpConnection):
        return connection.client[0] if connection.client else ""
    return None


def task_of(receive: Any) -> asyncio.Task[None] | None:
    """Return the call of the application that a request is in; None where `receive` is not uvicorn's."""
    cycle = getattr(receive, "__self__", None)
    return cycle.task if isinstance(cycle, Cycle) else None


def identify(receive: Any, request_id: str) -> None:
    """Have the client told the id where it is answered for the application."""
    cycle = getattr(receive, "__self__", None)
    if isinstance(cycle, Cycle):
        cycle.request_id = request_id


def answered_past_the_loop(receive: Any, status: int, size: int) -> None:
    """Have the connection know that the client has got an answer, and will get no other one."""
    cycle = getattr(receive, "__self__", None)
    if isinstance(cycle, Cycle):
        cycle.instead = status, size


def answered(receive: Any, status: int, size: int) -> tuple[int, int]:
    """Return status and bytes of body that go out; 0: none.

    The application has sent `status` and `size`, which is what counts where `receive` is not uvicorn's.
    """
    exchange = getattr(receive, "__self__", None)
    if isinstance(exchange, Cycle):
        return exchange.answered()
    return exchange.answered(status, size) if isinstance(exchange, WebSocketConnection) else (status, size)
