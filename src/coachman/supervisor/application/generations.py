"""The generations of an application: which one serves, which one is tried, which ones are ending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from coachman.config.changes import changed_keys
from coachman.config.model import ApplicationConfig
from coachman.policy.backoff import restart_delay
from coachman.policy.generation import GenerationEvent, GenerationState
from coachman.policy.lifecycle import State
from coachman.policy.repetition import times_more
from coachman.supervisor.application.background import Background
from coachman.supervisor.application.generation import Generation
from coachman.supervisor.application.member import Member
from coachman.supervisor.application.worker_source import WorkerSource
from coachman.supervisor.durations import duration
from coachman.supervisor.failures.failure import StartFailure
from coachman.supervisor.failures.failure_text import summary
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.spawner import Account


class Generations:
    """Begins generations, and ends those that have had their time.

    At most one serves, and at most one is tried beside it. One that is asked for while another is tried, or
    takes over, supersedes that one: the newest code wins. `on_change` is called when something has changed
    that the pool has to look at, and `on_serving` when another generation serves.
    """

    def __init__(
        self,
        title: str,
        log: Log,
        *,
        on_change: Callable[[], None],
        on_serving: Callable[[Generation], None],
    ) -> None:
        self.serving: Generation | None = None
        self.coming: Generation | None = None
        self.newest: Generation | None = None
        """The last one that was begun."""
        self.latest: Generation | None = None
        """The last one that was asked for, also where it could not be begun."""
        self.keep_trying = False
        """Whether the first generation is tried again and again where it cannot be started."""
        self._title = title
        self._log = log
        self._on_change = on_change
        self._on_serving = on_serving
        self._living: dict[int, Generation] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._background = Background()
        self._stopping = False

    @property
    def number(self) -> int:
        """The generation that serves; the newest where none does yet, 0 where there is none at all."""
        generation = self.serving or self.newest
        return 0 if generation is None else generation.number

    @property
    def preloaders(self) -> dict[int, int]:
        """Pid of the preloader of each generation that has one."""
        return {number: pid for number, generation in self._living.items() for pid in generation.source.pids}

    def by_number(self, number: int) -> Generation:
        """Return a generation that is not gone."""
        return self._living[number]

    def begin(self, cause: str, config: ApplicationConfig, account: Account) -> Generation:
        """Begin a generation, because of `cause`; a restart that is still under way is superseded."""
        generation = self._made(cause, config, account)
        if self._stopping:
            generation.finish("failed", "the server stops")
            return generation
        number = generation.number
        self._living[number] = self.newest = self.latest = generation
        if self.serving is not None:
            self._log.note(f"{cause}: generation {number} of {self._title} is started")
            if changed := changed_keys(self.serving.config, config):
                self._log.note(f"generation {number} has other settings: {', '.join(changed)}")
        superseded, self.coming = self.coming, generation
        if superseded is not None:
            self._cancel_retry()
            superseded.advance(GenerationEvent.SUPERSEDED)
        for other in self._living.values():
            if other is not generation:
                other.finish("superseded", f"generation {number} was asked for")
        self._on_change()
        return generation

    def refuse(
        self, cause: str, config: ApplicationConfig, account: Account, failure: StartFailure
    ) -> Generation:
        """Abandon a generation before it has begun, because of `failure`; whatever is under way goes on."""
        self.latest = generation = self._made(cause, config, account)
        self._abandon(generation, failure)
        self._say_abandoned(generation, failure, f"{cause}: ")
        self._on_change()
        return generation

    def note_ready(self, generation: Generation) -> bool:
        """Note that a worker of it is ready; return whether that makes it the one that serves."""
        if generation is not self.coming:
            return False
        generation.failure = None
        generation.advance(GenerationEvent.READY)
        before, self.serving, self.coming = self.serving, generation, None
        if before is not None:
            before.advance(GenerationEvent.SUPERSEDED)
            self._log.note(f"generation {generation.number} serves; generation {before.number} is replaced")
        self._on_serving(generation)
        return True

    def note_failed(self, generation: Generation, failure: StartFailure) -> None:
        """Note that the first worker of `coming` could not be started."""
        if self.serving is None and self.keep_trying:
            generation.failure = failure
            generation.fail_for_now(failure.headline)
            generation.failures += 1
            generation.waits = True
            delay = restart_delay(generation.failures + 1)
            self._retry = asyncio.get_running_loop().call_later(delay, self._try_again, generation)
            unsaid = generation.repetition.kept_quiet((failure.kind, failure.reason), time.monotonic())
            if unsaid is not None:
                again = f"{self._title} is tried again in {duration(delay)}{times_more(unsaid)}"
                self._log.note(f"{again}: {_in_full(failure)}")
            if not generation.tried.done():
                generation.tried.set_result(None)
            return
        self.coming = None
        self._abandon(generation, failure)
        if self.serving is not None:
            self._say_abandoned(generation, failure)

    def settle(self, members: Sequence[Member], wanted: int) -> None:
        """Finish a restart of which nothing is left to do, and end generations without workers."""
        serving = self.serving
        if serving is not None and not serving.is_over:
            fresh = sum(member.generation is serving and member.state is State.READY for member in members)
            old = any(member.generation is not serving and member.accepts for member in members)
            if fresh >= wanted and not old:
                serving.finish("done")
                if serving.number > 1:
                    self._log.note(
                        f"the restart is done: generation {serving.number} serves, "
                        f"after {duration(serving.elapsed)}"
                    )
        over = (GenerationState.RETIRING, GenerationState.ABANDONED)
        alive = {member.generation for member in members}
        for generation in list(self._living.values()):
            if generation.state in over and generation not in alive:
                generation.advance(GenerationEvent.EMPTY)
                self._background.run(self._end(generation))

    def pids(self) -> set[int] | None:
        """Return every process of the sources; None while there may be one more."""
        sources = [generation.source for generation in self._living.values()]
        if any(source.forking for source in sources):
            return None
        return set().union(*(source.pids for source in sources))

    async def stop(self) -> None:
        """End every generation, once its workers are gone, and begin none any more."""
        self._stopping = True
        self._cancel_retry()
        for generation in list(self._living.values()):
            generation.finish("failed", "the server stops")
            self._background.run(self._end(generation))
        await self._background.wait()

    def _made(self, cause: str, config: ApplicationConfig, account: Account) -> Generation:
        number = 1 if self.latest is None else self.latest.number + 1
        return Generation(number, config, WorkerSource(config, account, number, self._log), cause)

    def _abandon(self, generation: Generation, failure: StartFailure) -> None:
        generation.failure = failure
        generation.advance(GenerationEvent.FAILED)
        generation.finish("failed", failure.headline)

    def _say_abandoned(self, generation: Generation, failure: StartFailure, before: str = "") -> None:
        goes_on = "" if self.serving is None else f", generation {self.serving.number} goes on serving"
        what = f"{before}generation {generation.number} is abandoned{goes_on}"
        self._log.note(f"{what}: {_in_full(failure)}")

    async def _end(self, generation: Generation) -> None:
        await generation.source.stop()
        self._living.pop(generation.number, None)

    def _try_again(self, generation: Generation) -> None:
        generation.waits = False
        self._on_change()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()


def _in_full(failure: StartFailure) -> str:
    return summary(failure, quote_printed=False)
