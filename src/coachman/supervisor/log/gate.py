"""The gate between the pipes and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Gate:
    """Open while the log can take more. While it is shut, pipes are left to fill, which slows their writers.

    Belongs to the event loop's thread.
    """

    def __init__(self) -> None:
        self.is_open = True
        self._at_opening: list[Callable[[], None]] = []

    def shut(self) -> None:
        """Ask everybody to take in nothing more."""
        self.is_open = False

    def open(self) -> None:
        """Let everybody go on who waits."""
        self.is_open = True
        waiting, self._at_opening = self._at_opening, []
        for go_on in waiting:
            go_on()

    def at_opening(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` once, when the gate opens; it is shut now."""
        self._at_opening.append(go_on)

    async def wait_open(self, timeout: float) -> None:
        """Return once the gate is open, or after `timeout` seconds."""
        if self.is_open or timeout <= 0:
            return
        opened = asyncio.Event()
        self.at_opening(opened.set)
        try:
            async with asyncio.timeout(timeout):
                await opened.wait()
        except TimeoutError:
            self._at_opening.remove(opened.set)
