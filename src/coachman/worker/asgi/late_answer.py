"""Answering a request for an application that does not, from the watchdog's thread."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from coachman.worker.asgi.transport_of import answered_past_the_loop, transport_of
from coachman.worker.late_answer import LATE_BODY, late_answer, late_fields

LOOP_SECONDS: Final = 1.0
"""How long the loop may take to send the answer; then it is what is stuck, and does nothing else either."""


def answer_late(
    loop: asyncio.AbstractEventLoop,
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    request_id: str,
    *,
    head_only: bool,
) -> bool:
    """Send 504, by the loop where that turns, else past it; return whether it was sent.

    `receive` and `send` are those of the request, of which nothing was sent. `request_id`: "" where it has
    none. `head_only`: it is for a HEAD.
    """
    turn = [True]  # popped once: either the loop answers or this thread does

    async def answer() -> bool:
        if not turn:
            return False
        turn.pop()
        await send({"type": "http.response.start", "status": 504, "headers": late_fields(request_id)})
        await send({"type": "http.response.body", "body": LATE_BODY})
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
        if not _write_past_the_loop(receive, late_answer(request_id, head_only=head_only)):
            return False
        answered_past_the_loop(receive, 504, 0 if head_only else len(LATE_BODY))
        return True
    except Exception:  # the connection has ended
        return False


def _write_past_the_loop(receive: Any, whole: bytes) -> bool:
    """Write to the socket itself. The loop is in the application's code: it cannot close it meanwhile."""
    transport = transport_of(receive)
    if transport is None or transport.get_write_buffer_size():
        return False  # an earlier answer is on its way, and must not be cut in two
    try:
        # Of our own: what uvloop gives out as its socket can do neither.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as sock:
            sock.send(whole, socket.MSG_DONTWAIT)
            sock.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    return True
