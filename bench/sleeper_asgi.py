"""An ASGI application: /1 waits for a millisecond, as it should; /100 holds its loop up for a hundred."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/100":
        time.sleep(0.1)
    else:
        await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
