"""The threads of an engine beside that of `run`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Threads:
    """Starts them, and waits for their end."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        """`on_failure` is called in a thread that has failed, before it ends."""
        self._on_failure = on_failure
        self._started: list[threading.Thread] = []

    def start(self, target: Callable[[], None], name: str) -> threading.Thread:
        """Start a thread; raise RuntimeError where the system gives none."""
        thread = threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
        thread.start()
        self._started.append(thread)
        return thread

    def join(self, timeout: float) -> bool:
        """Wait for the end of them all, for `timeout` seconds at most; return whether it came."""
        deadline = time.monotonic() + timeout
        for thread in self._started:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._started)

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException:
            # The application's errors were dealt with where it was called. This one is the engine's own:
            # the worker ends, as it would with one thread, and is replaced.
            self._on_failure()
            raise
