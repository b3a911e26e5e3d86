"""Waiting for descriptors, and calling what they are for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT, epoll


class Loop:
    """Handlers by descriptor, and functions that other threads want called in the loop's.

    `call_soon` may be used from any thread and from signal handlers; everything else before the loop runs and
    in what it calls. It owns its epoll and the pipe that wakes it, and none of the descriptors it watches.
    """

    def __init__(self) -> None:
        self._epoll = epoll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._soon: deque[Callable[[], None]] = deque()
        # A pipe and no eventfd: that does not take the single bytes which the interpreter writes.
        self._wakeup, self.wakeup_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        """Any byte written to `wakeup_fd` wakes the loop: it is made for `signal.set_wakeup_fd`."""
        self.add_reader(self._wakeup, self._run_soon)

    def add_reader(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever `fd`, which stays the caller's, can be read or is at its end."""
        self.watch(fd, EPOLLIN, lambda _events: on_readable())

    def watch(self, fd: int, events: int, handler: Callable[[int], object]) -> None:
        """Call `handler` with what has happened of `events` on `fd`, which stays the caller's."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def handle(self, fd: int, handler: Callable[[int], object]) -> None:
        """Call `handler` with what has happened on `fd`, which somebody else has the loop watch."""
        self._handlers[fd] = handler

    def remove_reader(self, fd: int) -> None:
        """Forget `fd`."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have the loop call `function`, unless it is closed. Safe in any thread and in signal handlers."""
        self._soon.append(function)
        with suppress(OSError):  # full of other reasons to wake up, or closed
            os.write(self.wakeup_fd, b"\0")

    def call_when_writable(self, fd: int, function: Callable[[], bool]) -> None:
        """Have the loop call `function` when `fd` can be written to, until it returns True.

        To ask for it again meanwhile changes nothing.
        """

        def on_event(_events: int) -> None:
            if function():
                self.remove_reader(fd)

        self._handlers[fd] = on_event
        with suppress(FileExistsError):
            self._epoll.register(fd, EPOLLOUT)

    def _run_soon(self) -> None:
        os.read(self._wakeup, 64 * 1024)
        while self._soon:
            self._soon.popleft()()

    def _close_loop(self) -> None:
        self._epoll.close()
        os.close(self._wakeup)
        # The number first, which may be somebody else's at once: signals are handled at any moment.
        wakeup_fd, self.wakeup_fd = self.wakeup_fd, -1
        os.close(wakeup_fd)
