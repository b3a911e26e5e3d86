"""What ends a worker whose supervisor is gone, even while the application keeps every other thread busy."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterable

GRACE_SECONDS = 0.5
"""How long a worker without a supervisor may go on with what it has in hand."""


class OrphanGuard:
    """Watches descriptors whose other end only the supervisor holds; a hang-up on any means that it is gone.

    The process, which has to lead its group, gets `GRACE_SECONDS` from then on to end by itself. After that
    the whole group is killed, with everything that the application started.
    """

    def __init__(self, fds: Iterable[int]) -> None:
        self._poll = select.poll()
        for fd in fds:
            self._poll.register(fd, 0)  # hang-ups are always reported, and nothing else is wanted
        self._on_orphaned: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._watch, name="orphan-guard", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def call(self, on_orphaned: Callable[[], None]) -> None:
        """Have `on_orphaned` called, in the guard's thread, when the supervisor is gone."""
        self._on_orphaned = on_orphaned

    def _watch(self) -> None:
        self._poll.poll()
        if self._on_orphaned is not None:
            self._on_orphaned()
            # Whether the rest of the process ends is seen by this thread ending with it.
            threading.Event().wait(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)
