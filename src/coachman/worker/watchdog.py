"""A thread that sees to it that the application answers in time, whatever the loop's thread is doing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Final, Protocol, TypeAlias

from coachman.worker.complaints import complain

CLOSING_SECONDS: Final = 1.0
"""How long what is said about a request may take to be taken when the worker ends."""


class Watched(Protocol):
    """A request that is in the application."""

    def describe_request(self) -> str:
        """Return its request line and who sent it, for people."""

    def answer_late(self) -> bool:
        """Answer 504 where nothing was sent yet, and end the connection; return whether it was answered.

        Called in the watchdog's thread; what the application makes of the request later is dropped.
        """


OnTimedOut: TypeAlias = Callable[[Watched, float, int], Callable[[], None]]
"""Called with a request, when it began, in monotonic seconds, and the identifier of its thread; answers it.

What it returns is called later, when nobody waits for it any more.
"""


class Watchdog:
    """Times what `began` says is in the application, until `ended` says that it is out again.

    Exactly one of two gets a request: who calls `ended`, or the watchdog, because a dictionary gives up a
    key once. So there is no lock on the path of a request; it costs two operations on a dictionary.
    """

    def __init__(self, timeout: float, on_timed_out: OnTimedOut) -> None:
        """Have `on_timed_out` called, in the watchdog's thread, for what has taken `timeout` seconds."""
        self._timeout = timeout
        self._on_timed_out = on_timed_out
        self._running: dict[Watched, tuple[float, int]] = {}
        self._answering = threading.Lock()
        """Held while a request is the watchdog's and not answered yet."""
        self._parked = False
        """The thread sleeps until it is woken, because there is nothing to watch."""
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch. Call it after the last fork: a thread does not come along."""
        self._thread.start()

    def began(self, request: Watched) -> None:
        """Time `request` from now on."""
        self._running[request] = (monotonic(), get_ident())
        if self._parked:
            self._wake.set()

    def ended(self, request: Watched) -> bool:
        """Time `request` no longer; return False where its time was up, and it is the watchdog's."""
        return self._running.pop(request, None) is not None

    def settle(self) -> None:
        """Wait until every request that the watchdog has got is answered; its connection may be used then."""
        with self._answering:
            pass

    def running(self) -> list[tuple[Watched, float, int]]:
        """Return what is timed at this moment, since when, and in which thread."""
        return [(request, since, thread) for request, (since, thread) in list(self._running.items())]

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            pause = self._look()
            if pause is None:
                self._park()
                # Not before that can anything be late. To look again at once would have every request wake
                # the thread, where there is one at a time.
                pause = self._timeout
            if not self._closing:
                self._wake.wait(pause)
                self._wake.clear()

    def _park(self) -> None:
        """Sleep until a request begins."""
        self._parked = True
        # Once more: a request that began before the flag was seen has not woken anybody.
        if not self._running:
            self._wake.wait()
        self._parked = False
        self._wake.clear()

    def _look(self) -> float | None:
        """Deal with what is late; return the seconds until something may be, None where nothing is timed."""
        now = monotonic()
        oldest = None
        for request, since, thread in self.running():
            if now - since < self._timeout:
                oldest = since if oldest is None else min(oldest, since)
            else:
                self._take(request, since, thread)
        return None if oldest is None else max(0.0, oldest + self._timeout - monotonic())

    def _take(self, request: Watched, since: float, thread: int) -> None:
        try:
            with self._answering:  # before it is ours: who finds that it is must wait
                if self._running.pop(request, None) is None:
                    return
                tell = self._on_timed_out(request, since, thread)
            tell()
        except Exception as error:  # what is shown of the application's threads may be anything
            complain(f"a request that takes too long could not be reported: {error!r}")
