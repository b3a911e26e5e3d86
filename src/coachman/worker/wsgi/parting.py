"""The parting of the loop from an application with one thread whose calls are slow.

It is the loop that moves to another thread. The application goes on in the one that has called it from the
beginning, so what it holds for that thread alone stays of use.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from coachman.policy.repetition import Repetition
from coachman.policy.slow_calls import AMONG, SLOW_SECONDS, SlowCalls, Verdict
from coachman.worker.complaints import complain
from coachman.worker.wsgi.tally import used_since
from coachman.worker.wsgi.threads import Threads

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop


class Parting:
    """Sees when calls hold up the loop, and has it leave the application's thread then."""

    def __init__(
        self, engine: ServingLoop, threads: Threads, loop: Callable[[], None], over: Callable[[], bool]
    ) -> None:
        """`loop` serves until `over` returns True, or until `engine` has got a pool."""
        self._engine = engine
        self._threads = threads
        self._loop = loop
        self._over = over
        self._slow_calls = SlowCalls()
        self._repetition = Repetition()
        self._loop_thread: threading.Thread | None = None
        """The one that the loop moves to; None as long as it has not."""
        self._left = threading.Event()
        """Set once the application's thread has left the loop."""
        self._failure: BaseException | None = None
        """What has ended the loop in its own thread."""

    def note(self, took: int) -> None:
        """Decide what a long call, which the loop has just made, means: it took so many nanoseconds."""
        if took <= SLOW_SECONDS * 1e9:
            return
        tally = self._engine.tally
        used = None if tally.used_before is None else used_since(tally.used_before)
        verdict = self._slow_calls.note(tally.totals()[0], used)
        if verdict is Verdict.MOVE_OFF:
            self._engine.call_soon(self._move_off)
        elif verdict is Verdict.WATCH:
            tally.watched = AMONG

    def stay(self) -> None:
        """In the application's thread, which has left the loop: go on with calls if the loop has moved.

        Returns when the loop is over, and raises what has ended it there.
        """
        if self._loop_thread is None:
            return
        engine = self._engine
        assert engine.pool is not None
        over = self._over()
        if over:
            engine.stop()
        self._left.set()
        try:
            if not over:
                engine.pool.work()
        finally:
            engine.call_soon(engine.stop)
            self._loop_thread.join()
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Keep a loop that has been about to move no longer, where `stay` was not come to."""
        self._left.set()

    def _move_off(self) -> None:
        """Have the loop and the application part, after this turn."""
        engine = self._engine
        if engine.pool is not None:
            return
        try:
            # Before anything is changed: there may be no thread to be had.
            self._loop_thread = self._threads.start(self._loop_apart, "loop")
        except RuntimeError as error:
            if self._repetition.kept_quiet(str(error), time.monotonic()) is not None:
                complain(f"slow calls hold up the connections: {error} for these (TasksMax=, ulimit -u)")
            return  # the next slow calls bring it up again
        engine.begin_pool()
        for connection in list(engine.connections.values()):
            connection.arm_again()
        # Arming them again brings what was left of this turn's events up again.
        deque(engine.events, maxlen=0)

    def _loop_apart(self) -> None:
        self._left.wait()
        engine = self._engine
        assert engine.pool is not None
        try:
            self._loop()
        except BaseException as error:
            self._failure = error
        finally:
            engine.pool.end()
