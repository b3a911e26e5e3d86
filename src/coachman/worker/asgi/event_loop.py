"""The event loop of an ASGI worker: how it is made, and what is done with what is left in it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

CLEANING_SECONDS: Final = 1.0
"""How long what is cancelled at the end may take to clean up."""


def make_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop's where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:  # no wheel for this system, or not CPython
        return asyncio.SelectorEventLoop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def cancel_all_others() -> None:
    """Cancel all tasks but this one, as asyncio.run() does, but without waiting for threads."""
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not own]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CLEANING_SECONDS)
    for task in left:
        if task.done() and not task.cancelled():
            task.exception()  # or asyncio complains that nobody has looked at it
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), CLEANING_SECONDS)
