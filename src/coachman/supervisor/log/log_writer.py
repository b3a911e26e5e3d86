"""A thread that writes, so that the event loop never waits for a disk, a terminal or a slow reader.

What was rejected: O_NONBLOCK on standard output. It is a property of the open file description, which the
shell and every other program that writes to the same pipe or terminal share: they would suddenly see EAGAIN.
Opening /proc/self/fd/1 anew gives a description of one's own, but not for a socket (which is what systemd
gives for standard output), nor after a change of user. And on a regular file O_NONBLOCK has no effect at all,
while a stalled disk or network file system stops whoever writes to it just as well.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

Item = TypeVar("Item")

BATCH_SIZE = 64 * 1024
"""Bytes that are handed to `write` at once, if so many wait.

Many small items become one write. Large ones, of which each brings as much as that, go by themselves: held
together they would cost more in fresh memory than they save in calls (measured: a third of the CPU time).
"""

HIGH_WATER = 2 * 1024 * 1024
"""Bytes that may wait before whoever fills the queue is asked to pause."""

LOW_WATER = 1024 * 1024
"""Bytes that may still wait when it is told to go on."""

LIMIT = 16 * 1024 * 1024
"""Bytes that wait at most: what would go beyond is refused, until no more than `HIGH_WATER` wait.

Only what cannot pause gets so far: the last words of processes that have ended, and notes.
"""


class Put(Enum):
    """What became of an item."""

    TAKEN = auto()
    TAKEN_PAUSE = auto()
    """Taken; `on_room` will be called once there is room for more."""
    REFUSED = auto()


class LogWriter(Generic[Item]):
    """A bounded queue, and a thread that hands what is in it to `write`, in order.

    `put` may be called from any thread. `close` belongs to the event loop's, in which `on_room` is called as
    well; `write` is called in the thread that writes, which starts with the first item.
    """

    def __init__(
        self, name: str, write: Callable[[list[Item]], None], on_room: Callable[[], None] | None = None
    ) -> None:
        self._write = write
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        self._items: deque[tuple[Item, int]] = deque()
        self._waiting = 0
        self._pausing = self._refusing = False
        self._closing = False
        self._changed = threading.Condition()
        # A daemon: one that waits for a reader for ever must not keep the supervisor from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def waiting(self) -> int:
        """Bytes that have not been written yet."""
        return self._waiting

    def put(self, item: Item, size: int) -> Put:
        """Queue an item of so many bytes, if there is room."""
        with self._changed:
            self._refusing = self._waiting > (HIGH_WATER if self._refusing else LIMIT - size)
            if self._refusing or self._closing:
                return Put.REFUSED
            self._items.append((item, size))
            self._waiting += size
            self._changed.notify()
            self._pausing = self._pausing or self._waiting > HIGH_WATER
            if self._thread.ident is None:
                self._thread.start()
            return Put.TAKEN_PAUSE if self._pausing else Put.TAKEN

    def close(self, timeout: float) -> bool:
        """Let the thread write what waits, for so many seconds at most; return whether it came to its end.

        Where it did not, it is left behind in the middle of a write, and what it writes to must stay open.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._write([item for item, _ in batch])
            with self._changed:
                self._waiting -= sum(size for _, size in batch)
                has_room = self._pausing and self._waiting <= LOW_WATER
                if has_room:
                    self._pausing = False
            if has_room and self._on_room is not None:
                try:
                    self._loop.call_soon_threadsafe(self._on_room)
                except RuntimeError:  # the loop is closed: nobody is left to go on
                    pass

    def _next_batch(self) -> list[tuple[Item, int]]:
        """Wait for items and take some; an empty list once the queue is closed and empty."""
        with self._changed:
            while not self._items and not self._closing:
                self._changed.wait()
            batch: list[tuple[Item, int]] = []
            size = 0
            while self._items and size < BATCH_SIZE:
                batch.append(self._items.popleft())
                size += batch[-1][1]
            return batch
