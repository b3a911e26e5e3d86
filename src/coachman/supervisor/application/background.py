"""Tasks that nobody awaits where they are begun."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Keeps tasks until they are done: the event loop itself holds none of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run it, from the next turn of the loop on; what it raises goes to the loop's handler."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait until all of them are done, those that they begin included."""
        while self._tasks:
            await asyncio.wait(self._tasks)
