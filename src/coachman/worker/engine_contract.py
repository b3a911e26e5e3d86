"""What a worker expects of the engine that it runs, whatever interface the application has."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from coachman.worker.handoff import Handoff
    from coachman.worker.services import Services


class Engine(Protocol):
    """Serves requests on the listeners that it is given, in the thread that calls `run`.

    A worker makes one after the fork, never before: an engine holds descriptors, and may hold an event loop.
    """

    cells: memoryview[int]
    """The slot of the scoreboard that is written to. It belongs to whoever sets it."""

    on_connection: Callable[[], object]
    """What is called for every connection that comes, once it is on the scoreboard; in any thread."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop whose tasks are worth showing, where there is one."""

    @property
    def wakeup_fd(self) -> int:
        """Where a byte that is written wakes the loop: it is made for `signal.set_wakeup_fd`."""

    def prepare(self) -> None:
        """Run what the application itself does before its first request; raises whatever it raises."""

    def use_services(self, services: Services) -> None:
        """Serve with `services`, which stay the caller's and are closed after this; before `run`."""

    def join_handoff(self, handoff: Handoff) -> None:
        """Share connections with the siblings through `handoff`, which stays the caller's."""

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`, a non-blocking listening socket; the engine closes it when it drains."""

    def add_reader(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever `fd`, which stays the caller's, can be read or is at its end.

        What it raises ends `run`, which raises it.
        """

    def remove_reader(self, fd: int) -> None:
        """Forget `fd`."""

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have the loop call `function`. Safe in any thread and in signal handlers."""

    def drain(self, seconds: float, *, hand_over: bool = False) -> None:
        """Take no more connections, finish what is in hand, and end `run`, at the latest after `seconds`.

        `hand_over`: connections go to siblings as soon as nothing of a request is here; otherwise idle ones
        are closed. Called again: the earlier of the two deadlines counts, and there is no way back to handing
        over. In the thread of `run` only.
        """

    def run(self) -> bool:
        """Serve until drained. Return True where all in hand was finished, False where some was given up."""

    def close(self) -> bool:
        """Close every connection and descriptor, after `run`.

        Returns False where the application may still keep threads busy: the process has to end without
        waiting for them.
        """
