"""The worker's end of the access log: lines in, a pipe to the supervisor out, and nobody waits for that."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

from coachman.counted import counted
from coachman.protocol.access_log import Access, Formatter
from coachman.worker.complaints import complain

LIMIT: Final = 1024 * 1024
"""Bytes of lines that wait for a slow log; what comes then is dropped, and counted."""

TOGETHER: Final = 64
"""Requests that are kept as they are at most: to format many at once takes less time than one by one."""

CLOSING_SECONDS: Final = 1.0
"""How long the last lines may take to be taken when the worker ends."""


class AccessLog:
    """Collects lines and writes them to a pipe, many at once. `add` and `flush` may be called by any thread.

    It takes over `fd`. A request never waits for the log: when the pipe is full, lines are kept up to
    `LIMIT`, then dropped, and standard error says how many.
    """

    def __init__(self, fd: int, formatter: Formatter) -> None:
        os.set_blocking(fd, False)  # the pipe is the worker's alone: nobody shares its description
        self.fd = fd
        self.on_stuck: Callable[[], None] | None = None
        """What is called when the pipe is full: it has `flush` called once `fd` is writable again."""
        self._formatter = formatter
        self._requests: list[Access] = []
        """Those whose lines are not made yet. Any thread appends, and who has the lock takes out."""
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._rest = memoryview(b"")
        """What of the lines before these the pipe has not taken."""
        self._size = 0
        """Bytes of `_lines`, each of which is one or several."""
        self._dropped = 0

    def add(self, access: Access) -> bool:
        """Take in a request; return whether it is the first since the last `flush`."""
        requests = self._requests
        requests.append(access)
        if len(requests) < TOGETHER:
            return len(requests) == 1 and not self._lines
        with self._lock:
            self._format()
        return False

    @property
    def waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._requests or self._lines or self._rest)

    def flush(self) -> bool:
        """Write what the pipe takes; return whether nothing is left."""
        if not self.waiting:
            return True
        with self._lock:
            self._format()
            stuck = bool(self._rest)
            done = self._write()
            dropped = 0
            if done:
                dropped, self._dropped = self._dropped, 0
        if dropped:
            complain(f"{_lines(dropped)} missing: the log is written too slowly")
        if not done and not stuck and self.on_stuck is not None:
            self.on_stuck()
        return done

    def close(self) -> None:
        """Write what is left, for a moment at most, and close the pipe."""
        deadline = time.monotonic() + CLOSING_SECONDS
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        while not self.flush() and (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
        unwritten = b"".join([self._rest, *self._lines])
        if lost := unwritten.count(b"\n") + self._dropped:
            complain(f"{_lines(lost)} lost: the log is written too slowly")
        os.close(self.fd)

    def _format(self) -> None:
        """Make the lines of the requests, and drop those for which there is no room."""
        if not self._requests:
            return
        # Each in one step, as other threads go on appending.
        taken = self._requests[:]
        del self._requests[: len(taken)]
        lines = self._formatter(taken, time.time_ns() - time.monotonic_ns())
        room = LIMIT - self._size - len(self._rest)
        if len(lines) <= room:
            self._lines.append(lines)
            self._size += len(lines)
            return
        for line in lines.splitlines(keepends=True):
            if self._size + len(self._rest) > LIMIT:
                self._dropped += 1
            else:
                self._lines.append(line)
                self._size += len(line)

    def _write(self) -> bool:
        while self._rest or self._lines:
            if not self._rest:
                self._rest = memoryview(b"".join(self._lines))
                self._lines.clear()
                self._size = 0
            try:
                self._rest = self._rest[os.write(self.fd, self._rest) :]
            except BlockingIOError:
                return False
            except OSError:  # the supervisor is gone, and its log with it
                self._rest = memoryview(b"")
        return True


def _lines(count: int) -> str:
    return f"{counted(count, 'line')} of the access log {'is' if count == 1 else 'are'}"
