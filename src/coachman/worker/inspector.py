"""What a worker tells of where its threads are: upon a signal, and where a request takes too long."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from coachman.protocol import control
from coachman.worker.complaints import complain
from coachman.worker.stack_text import stack_text
from coachman.worker.stacks import StackWriter
from coachman.worker.watchdog import Watchdog, Watched

if TYPE_CHECKING:
    import asyncio

Tell: TypeAlias = Callable[[tuple[str, ...], bytes], None]
"""Sends the supervisor an array message and a scalar one behind it; safe in any thread."""

LONGEST_LINE: Final = 1000
"""Characters of a request line that are told."""


class Inspector:
    """Has the stacks ready for whoever asks, from `start` to `close`.

    A stack is told in two ways, because neither does alone. C code writes it to the file that the supervisor
    has had since the start, at the moment of the signal, also where other C code keeps the interpreter to
    itself. Python, where it can run, tells more: the threads' names, their requests, the asyncio tasks.
    """

    def __init__(self, stacks: StackWriter, request_timeout: float) -> None:
        """Take over `stacks`. `request_timeout`: seconds that the application may take; 0: any."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop whose tasks are shown as well."""
        self.watchdog = Watchdog(request_timeout, self._answer_timed_out) if request_timeout else None
        """To be told of what is in the application; None where nothing is timed."""
        self._stacks = stacks
        self._tell: Tell | None = None
        stacks.disarm()

    def start(self, tell: Tell) -> None:
        """Begin. `report_upon_signal` is the handler of the signal by now."""
        self._tell = tell
        self._stacks.arm()
        if self.watchdog is not None:
            self.watchdog.start()

    def close(self) -> None:
        """Tell nothing any more."""
        if self.watchdog is not None:
            self.watchdog.close()
        self._tell = None
        self._stacks.close()

    def report_upon_signal(self) -> None:
        """Tell where everything is. Called in the main thread, in the middle of anything."""
        # A bare thread: to start one of `threading`, locks are needed that the main thread may hold.
        try:
            _thread.start_new_thread(self._tell_stacks, ())
        except RuntimeError as error:  # none is to be had; what the C code has written is what there is
            complain(f"where the threads are is told without their names: {error}")

    def _tell_stacks(self) -> None:
        running = [] if self.watchdog is None else self.watchdog.running()
        notes = {}
        for request, since, thread in running:
            seconds = time.monotonic() - since
            notes[thread] = f"for {seconds:.1f} s in {request.describe_request()[:LONGEST_LINE]}"
        self._say((control.DUMPED,), self._text(notes))

    def _answer_timed_out(self, request: Watched, since: float, thread: int) -> Callable[[], None]:
        """Answer a request; return what has the worker replaced. In the watchdog's thread."""
        line = request.describe_request()[:LONGEST_LINE]
        # Before anything else happens: the stacks are to show what takes the time.
        text = self._text({thread: f"in {line}"})
        status = "504" if request.answer_late() else ""
        message = (control.TIMED_OUT, f"{time.monotonic() - since:.3f}", status, line)
        return lambda: self._say(message, text)

    def _text(self, notes: dict[int, str]) -> str:
        if self.loop is not None:
            notes = {}  # all requests are in one thread there
        return stack_text(loop=self.loop, notes=notes, leave_out=frozenset((threading.get_ident(),)))

    def _say(self, message: tuple[str, ...], text: str) -> None:
        tell = self._tell
        if tell is None:
            return
        try:
            tell(message, text.encode("utf-8", "backslashreplace")[: control.STACKS_LIMIT])
        except Exception as error:  # the channel is gone, or what it is made of was closed by the application
            complain(f"the supervisor could not be told where the threads are: {error!r}")
