"""The stacks of all threads, written on a signal: where an application hangs that does not become ready."""

from __future__ import annotations

import faulthandler
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Not one that applications, Python's libraries or the C library give a meaning to.
SIGNAL: Final = signal.SIGRTMAX - 3


class StackWriter:
    """Has the stacks written to `fd` when `SIGNAL` comes, as long as it is not closed.

    The handler is C code: it needs neither the interpreter's lock nor the main thread. Then it gives way to
    what the signal meant before (`chain`). During the start that is the default, which ends the process: who
    sent it knows by that that all is written. Later it is the worker's own handler.
    """

    def __init__(self, fd: int | None = None) -> None:
        """Take over `fd`; None: a file in memory is made."""
        # A file in memory takes any length at once; a pipe could be full, and would hold the handler up.
        self.fd = os.memfd_create("coachman-stacks") if fd is None else fd
        self._armed = False
        self.arm()

    def arm(self) -> None:
        """Have the stacks written before what the signal means at this moment."""
        faulthandler.register(SIGNAL, file=self.fd, all_threads=True, chain=True)
        self._armed = True

    def disarm(self) -> None:
        """Give the signal back what it meant before. Again: nothing happens."""
        if self._armed:
            self._armed = False
            faulthandler.unregister(SIGNAL)

    def close(self) -> None:
        """Disarm, and close the file. Again: nothing happens."""
        self.disarm()
        fd, self.fd = self.fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:  # the application has closed all that it did not know
                pass
