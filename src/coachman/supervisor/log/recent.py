"""The last of what went through the log, kept for whoever asks for it, and passed on to those who follow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

KEPT: Final = 128 * 1024
"""Bytes that are kept of each application, so that one that prints much does not displace the others."""

FOLLOWED: Final = 256 * 1024
"""Bytes that wait for a client that follows, before the oldest are given up."""


class Follower(Generic[Item]):
    """Somebody who wants every item, and may be too slow for that."""

    def __init__(self, application: str) -> None:
        self.application = application
        self._items: deque[tuple[Item, int, int]] = deque()
        self._waiting = 0
        self._skipped = 0
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, item: Item, size: int, lines: int) -> None:
        """Add an item; give up the oldest where too much waits."""
        self._items.append((item, size, lines))
        self._waiting += size
        while self._waiting > FOLLOWED:
            _, size, lines = self._items.popleft()
            self._waiting -= size
            self._skipped += lines
        self._changed.set()

    def end(self) -> None:
        """Tell that no more will come."""
        self._ended = True
        self._changed.set()

    async def take(self) -> tuple[int, list[Item]] | None:
        """Wait for items; return them, and how many lines before them were given up. None: it is the end."""
        await self._changed.wait()
        self._changed.clear()
        if self._ended:
            self._changed.set()
            if not self._items:
                return None
        items = [item for item, _, _ in self._items]
        skipped, self._skipped, self._waiting = self._skipped, 0, 0
        self._items.clear()
        return skipped, items


class Recent(Generic[Item]):
    """A bounded ring of items for each application, and one for what belongs to none. Never waits."""

    def __init__(self) -> None:
        self._rings: dict[str | None, deque[tuple[int, Item, int]]] = {}
        self._sizes: dict[str | None, int] = {}
        self._numbers = count()
        self._followers: list[Follower[Item]] = []

    def add(self, application: str | None, item: Item, block: bytes) -> None:
        """Keep an item, whose lines are `block`, and pass it on."""
        ring = self._rings.get(application)
        if ring is None:
            ring = self._rings[application] = deque()
            self._sizes[application] = 0
        size = self._sizes[application] + len(block)
        ring.append((next(self._numbers), item, len(block)))
        while size > KEPT:
            size -= ring.popleft()[2]
        self._sizes[application] = size
        for follower in self._followers:
            if application is None or follower.application in ("", application):
                follower.put(item, len(block), block.count(b"\n"))

    def items(self, application: str) -> list[Item]:
        """Return what is kept of an application ("": of all) and of what belongs to none, in order."""
        chosen = [
            entry
            for name, ring in self._rings.items()
            if name is None or application in ("", name)
            for entry in ring
        ]
        return [item for _, item, _ in sorted(chosen, key=lambda entry: entry[0])]

    @contextmanager
    def follow(self, application: str) -> Iterator[Follower[Item]]:
        """Pass on everything from now on."""
        follower = Follower[Item](application)
        self._followers.append(follower)
        try:
            yield follower
        finally:
            self._followers.remove(follower)

    def end(self) -> None:
        """Tell those who follow that no more will come."""
        for follower in self._followers:
            follower.end()
