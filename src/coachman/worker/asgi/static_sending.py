"""Sending a static file by way of ASGI, without holding the loop up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from coachman.worker.static.files import StaticAnswer

Message = MutableMapping[str, Any]

BLOCK_SIZE: Final = 256 * 1024
"""Bytes of a file that are in memory at a time."""

INLINE_SIZE: Final = 32 * 1024
"""Bytes that are read in the loop: less time than it takes to have a thread do it."""


async def send_static(
    answer: StaticAnswer,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Send `answer` and close it. A client that is slow or gone is waited for or given up by `send`.

    Blocks are read in a thread and not sent by `loop.sendfile`: the transport is uvicorn's to write to.
    Raises OSError where the file has become shorter than the answer says.
    """
    gone: asyncio.Task[None] | None = None
    response = answer.response
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    try:
        await send({"type": "http.response.start", "status": int(response.status[:3]), "headers": headers})
        for part in response.parts:
            if isinstance(part, bytes):
                await send({"type": "http.response.body", "body": part, "more_body": True})
                continue
            if gone is None and part.size > BLOCK_SIZE:
                gone = asyncio.ensure_future(_until_gone(receive))
            start = part.start
            while start < part.stop:
                if gone is not None and gone.done():
                    return
                block = await _read(answer.fd, start, min(BLOCK_SIZE, part.stop - start))
                await send({"type": "http.response.body", "body": block, "more_body": True})
                start += len(block)
        await send({"type": "http.response.body", "body": b""})
    finally:
        answer.close()
        if gone is not None:
            gone.cancel()


async def _read(fd: int, start: int, size: int) -> bytes:
    if size <= INLINE_SIZE:
        block = os.pread(fd, size, start)
    else:
        # A copy: should this task be cancelled, the thread reads on, and no other file may get the number.
        copy = os.dup(fd)
        block = await asyncio.get_running_loop().run_in_executor(None, _read_and_close, copy, size, start)
    if not block:
        raise OSError(f"a static file became shorter while it was sent: there is nothing at byte {start}")
    return block


def _read_and_close(fd: int, size: int, start: int) -> bytes:
    try:
        return os.pread(fd, size, start)
    finally:
        os.close(fd)


async def _until_gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
