"""The way from an ASGI call to the connection that it came on, and to its cycle: a seam of uvicorn's."""

from __future__ import annotations

import asyncio
from typing import Any

from coachman.worker.asgi.cycle import Cycle
from coachman.worker.asgi.websocket_connection import WebSocketConnection


def transport_of(receive: Any) -> asyncio.Transport | None:
    """Return the transport of a request, given its `receive`; None where that is not uvicorn's.

    It is a method of uvicorn's cycle, which has the transport.
    """
    transport: asyncio.Transport | None = getattr(getattr(receive, "__self__", None), "transport", None)
    return transport


def peer_of(receive: Any) -> str | None:
    """Return the address of whoever has connected, "" for one on a unix socket; None: it is not known.

    That is not the scope's `client`, where a proxy has told of another one.
    """
    transport = transport_of(receive)
    if transport is None:
        return None
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""


def answered(receive: Any, status: int, size: int) -> tuple[int, int]:
    """Return status and bytes of body that go out; 0: none.

    The application has sent `status` and `size`, which is what counts where `receive` is not uvicorn's.
    """
    exchange = getattr(receive, "__self__", None)
    if isinstance(exchange, Cycle):
        return exchange.answered()
    return exchange.answered(status, size) if isinstance(exchange, WebSocketConnection) else (status, size)
