"""The pool: the workers of an application, and the one step that brings them to where they should be."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from functools import partial

from coachman.config.model import ApplicationConfig
from coachman.policy.backoff import failures_after_death
from coachman.policy.death import explain
from coachman.policy.lifecycle import State
from coachman.policy.limits import REQUEST_TIMEOUT, Excess
from coachman.policy.repetition import Repetition, times_more
from coachman.policy.rollout import CallOff, Drain, PoolView, Start, next_steps
from coachman.supervisor.application.background import Background
from coachman.supervisor.application.generation import Generation
from coachman.supervisor.application.generations import Generations
from coachman.supervisor.application.history import History
from coachman.supervisor.application.member import Member
from coachman.supervisor.application.rests import Rests
from coachman.supervisor.durations import duration, soon
from coachman.supervisor.failures.failure import FailureKind, StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.workplace import Workplace
from coachman.unix.processes import Ending

WORTH_WAITING_SECONDS = 1.0
"""How long connections are left to wait for the next start of a worker where there is none."""

STARTS_AT_ONCE = 4
"""Workers that start at the same time: more would only take the processor from each other."""


class Pool:
    """Keeps as many workers of the newest generation that works as are wanted, until it is stopped.

    Whatever happens to a worker or is asked for leads to `reconcile`: look, decide, act.
    """

    def __init__(
        self,
        config: ApplicationConfig,
        workplace: Workplace,
        log: Log,
        *,
        on_change: Callable[[], None],
        on_serving: Callable[[Generation], None],
    ) -> None:
        """`on_change` is called whenever something has happened that may change what there is to do.

        `on_serving` is called when another generation serves.
        """
        self._on_change = on_change
        self.wanted = config.scaling.processes.least
        """Workers that are to serve."""
        self.surge = config.restart.surge
        """Workers over that while a generation replaces another."""
        self.history = History()
        self._workplace = workplace
        self._scoreboard = workplace.scoreboard
        self._log = log
        self.generations = Generations(config.title, log, on_change=self.reconcile, on_serving=on_serving)
        self._members: dict[int, Member] = {}
        self._lives: dict[int, asyncio.Task[None]] = {}
        self._rests = Rests(self.reconcile)
        self._repetition = Repetition()
        self._last_death = ""
        self._background = Background()
        self._stopping = False

    @property
    def members(self) -> list[Member]:
        """Those that are not reaped."""
        return list(self._members.values())

    async def stop(self) -> None:
        """Drain every worker and wait until all processes have ended."""
        self._stopping = True
        self._rests.forget()
        for member in self.members:
            member.unwanted = "the server stops"
            if member.state is State.SPAWNING:
                self._call_off(member.slot)
            elif member.state is State.READY:
                self._drain(member)
            elif member.state is State.DRAINING:
                # It may be leaving its connections to others, of which there will be none.
                assert member.process is not None
                self._background.run(member.process.drain(hand_over=False))
        while self._lives:
            await asyncio.wait(self._lives.values())
            await asyncio.sleep(0)  # a turn of the loop: what has ended is forgotten in a callback
        await self.generations.stop()
        await self._background.wait()

    def kill(self) -> None:
        """Kill every worker and start none any more; `stop`, under way or to come, then ends at once."""
        self._stopping = True
        self._rests.forget()
        for member in self.members:
            if member.state is State.SPAWNING:
                self._call_off(member.slot)
            elif member.process is not None:
                member.unwanted = member.unwanted or "the server stops"
                member.process.kill()

    def pids(self) -> set[int] | None:
        """Return every process that the pool looks after; None while there may be one more."""
        pids = self.generations.pids()
        if pids is None:
            return None
        return pids | {member.process.pid for member in self.members if member.process is not None}

    def reconcile(self) -> None:
        """Look at the pool, decide what is to be done, and set about it."""
        if self._stopping:
            self._on_change()
            return
        for step in next_steps(self._view()):
            match step:
                case Start(slot, number):
                    member = Member(slot, self.generations.by_number(number))
                    self._members[slot] = member
                    self._lives[slot] = life = asyncio.create_task(self._live(member))
                    # Not at the end of the life itself: one that is called off at once never begins.
                    life.add_done_callback(partial(self._forget, member))
                case Drain(slot):
                    member = self._members[slot]
                    member.unwanted = self._why_drained(member)
                    self._drain(member)
                case CallOff(slot):
                    self._members[slot].unwanted = "a later generation takes its place"
                    self._call_off(slot)
        self.generations.settle(self.members, self.wanted)
        self._on_change()

    @property
    def out_of_order(self) -> bool:
        """Whether no worker accepts connections, and none is about to."""
        if self._stopping or any(member.accepts for member in self.members):
            return False
        return self.history.last_failure is not None or self.retry_after > WORTH_WAITING_SECONDS

    @property
    def retry_after(self) -> float:
        """Seconds until a worker that could not be kept is started again; 0.0: it is under way."""
        return self._rests.left

    @property
    def setback(self) -> str:
        """How the last worker ended, while a successor has to wait because deaths repeat; "": none waits."""
        return self._last_death if self._rests.slots else ""

    def _view(self) -> PoolView:
        serving, coming = self.generations.serving, self.generations.coming
        return PoolView(
            workers=tuple(member.view() for member in self.members),
            wanted=self.wanted,
            surge=self.surge,
            serving=None if serving is None else serving.number,
            coming=None if coming is None else coming.number,
            coming_waits=coming is not None and coming.waits,
            resting=self._rests.slots,
            starts_at_once=STARTS_AT_ONCE,
        )

    def _why_drained(self, member: Member) -> str:
        if member.generation is not self.generations.serving:
            self.history.note_replacement("restart")
            return f"generation {self.generations.number} takes its place"
        if member.excess is not None:
            self.history.note_replacement(member.excess.key)
            return member.excess.reason
        return "it is not needed any more"

    def _drain(self, member: Member) -> None:
        assert member.process is not None
        # At once, not when the task begins: the next look must not find it ready.
        member.process.begin_drain()
        stuck = member.excess is not None and member.excess.stuck
        self._background.run(
            member.process.abort() if stuck else member.process.drain(hand_over=not self._stopping)
        )

    def _call_off(self, slot: int) -> None:
        """Give up a start; again, and nothing happens: a second time would end the wait for its process."""
        if not self._lives[slot].cancelling():
            self._lives[slot].cancel()

    # The life of a worker.

    async def _live(self, member: Member) -> None:
        try:
            await member.start(
                self._workplace,
                self._log,
                on_draining=partial(self._note_draining, member),
                on_timed_out=partial(self._note_timed_out, member),
            )
        except StartFailed as error:
            self._note_failed_start(member, error.failure)
            return
        except Exception as error:
            # A mistake of ours: to be seen in the log, and not to be repeated without a pause.
            self._log.note("".join(traceback.format_exception(error)).rstrip())
            self._note_failed_start(member, StartFailure(FailureKind.NOT_EXECUTED, None, repr(error)))
            return
        assert member.process is not None
        self._note_ready(member)
        self._note_draining(member)
        self._note_end(member, await member.process.ended())

    def _forget(self, member: Member, _life: asyncio.Task[None]) -> None:
        self.history.add(self._scoreboard.view(member.slot).counters)
        self._scoreboard.clear(member.slot, pid=0, generation=0)
        del self._members[member.slot], self._lives[member.slot]
        self.reconcile()

    def _note_ready(self, member: Member) -> None:
        assert member.process is not None
        took = member.start_took
        self.history.note_start(took)
        self._log.note(f"worker {member.slot} (pid {member.process.pid}) is ready after {duration(took)}")
        self._repetition.over()
        if self.generations.note_ready(member.generation):
            # Earlier failures say nothing about this code.
            self._rests.forget()

    def _note_draining(self, member: Member) -> None:
        """Look again, where a worker may have said that it accepts no more; replace it if nobody here asked.

        It may have said so before it was known to be ready, or have ended since.
        """
        worker = member.process
        assert worker is not None
        if worker.ready_at is not None and not worker.accepts and not member.unwanted:
            self._log.note(f"worker {member.slot} (pid {worker.pid}) got SIGTERM and drains; replacing it")
            self.history.note_replacement("asked to end")
            member.unwanted = "it had got SIGTERM"
            if member.state is State.READY:
                self._drain(member)
        self.reconcile()

    def _note_failed_start(self, member: Member, failure: StartFailure) -> None:
        # What is wrong with code that is only tried says nothing about the workers that serve.
        tried = member.generation is self.generations.coming and self.generations.serving is not None
        self.history.note_failed_start(None if tried else failure)
        if self._stopping or member.unwanted:
            return
        if member.generation is self.generations.coming:
            self.generations.note_failed(member.generation, failure)
            return
        again = soon(self._rests.begin(member.slot, self._rests.failures(member.slot) + 1))
        unsaid = self._repetition.kept_quiet((failure.kind, failure.reason), time.monotonic())
        text = f"worker {member.slot} could not be started, trying again{again}"
        if unsaid is None:
            self._log.debug(f"{text}: {failure.headline}")
        else:
            self._log.note(f"{text}{times_more(unsaid)}: {failure}")

    def _note_timed_out(self, member: Member, _seconds: float, line: str) -> None:
        """Take in that the worker gave up a request, of which a thread may never come back."""
        if member.excess is None:
            member.excess = Excess(REQUEST_TIMEOUT, f"it had to give up {line}")
            self.reconcile()

    def _note_end(self, member: Member, ending: Ending) -> None:
        worker = member.process
        assert worker is not None
        death = member.death(ending, self._scoreboard.view(member.slot))
        if self._stopping:
            if death.in_flight and not death.drained:  # the others have ended as they were told to
                self._log.note(explain(death))
            return
        if member.unwanted:
            self._log.note(explain(death))
            return
        self.history.note_replacement("died")
        failures = failures_after_death(self._rests.failures(member.slot), served_for=death.served_for)
        again = soon(self._rests.begin(member.slot, failures))
        self._last_death = explain(death)
        self._log.note(f"{self._last_death}; replacing it{again}")
