"""Answering a request for an application that does not, from the watchdog's thread."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

LOOP_SECONDS: Final = 1.0
"""How long the loop may take to send the answer; then it is what is stuck, and does nothing else either."""

BODY: Final = b"504 Gateway Timeout\n"
_HEADERS: Final = (
    (b"content-type", b"text/plain"),
    (b"content-length", str(len(BODY)).encode()),
    (b"connection", b"close"),
)
RAW: Final = (
    b"HTTP/1.1 504 Gateway Timeout\r\n"
    + b"".join(name + b": " + value + b"\r\n" for name, value in _HEADERS)
    + b"\r\n"
    + BODY
)


def answer_late(
    loop: asyncio.AbstractEventLoop,
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> bool:
    """Send 504, by the loop where that turns, else past it; return whether it was sent.

    `receive` and `send` are those of the request, of which nothing was sent.
    """
    turn = [True]  # popped once: either the loop answers or this thread does

    async def answer() -> bool:
        if not turn:
            return False
        turn.pop()
        await send({"type": "http.response.start", "status": 504, "headers": list(_HEADERS)})
        await send({"type": "http.response.body", "body": BODY})
        return True

    try:
        answering = asyncio.run_coroutine_threadsafe(answer(), loop)
    except RuntimeError:  # the loop is closed
        return False
    try:
        return answering.result(LOOP_SECONDS)
    except TimeoutError:
        try:
            turn.pop()
        except IndexError:
            return True  # it has begun
        return _write_past_the_loop(receive)
    except Exception:  # the connection has ended
        return False


def _write_past_the_loop(receive: Any) -> bool:
    """Write to the socket itself. The loop is in the application's code: it cannot close it meanwhile."""
    # `receive` is a method of uvicorn's cycle, which has the connection's transport.
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None or transport.get_write_buffer_size():
        return False  # an earlier answer is on its way, and must not be cut in two
    sock = transport.get_extra_info("socket")
    try:
        os.write(sock.fileno(), RAW)
    except OSError:
        return False
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    return True
