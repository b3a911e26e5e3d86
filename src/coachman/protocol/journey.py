"""The journey of a start: the steps an application process takes until it is ready, and the time of each."""

from __future__ import annotations

from enum import Enum

from coachman.protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Step(Enum):
    """A step of the journey; the value is its name for people and on the wire."""

    PREPARE = "prepare"
    """The supervisor makes pipes and finds the command."""
    EXEC = "exec"
    """The program is executed, and its interpreter starts, until the wrapper speaks."""
    FORK = "fork"
    """Instead of exec: a process that has an interpreter already is forked."""
    HANDSHAKE = "handshake"
    """The wrapper has asked for the request and is sent it."""
    LOAD = "load application"
    STARTUP = "lifespan startup"
    """The application's own start, in a worker: ASGI has it."""
    LISTEN = "listen"
    """The application is loaded; the listening sockets are taken."""
    READY = "ready"
    """The end of the journey."""


TRANSITIONS: Final[dict[Step, frozenset[Step]]] = {
    Step.PREPARE: frozenset({Step.EXEC, Step.FORK}),
    Step.EXEC: frozenset({Step.HANDSHAKE}),
    Step.FORK: frozenset({Step.HANDSHAKE}),
    # A wrapper may execute itself again, and then asks again.
    Step.HANDSHAKE: frozenset({Step.HANDSHAKE, Step.LOAD}),
    # A wrapper that tells nothing of itself is seen loading until it is ready.
    Step.LOAD: frozenset({Step.HANDSHAKE, Step.STARTUP, Step.LISTEN, Step.READY}),
    Step.STARTUP: frozenset({Step.LISTEN, Step.READY}),
    Step.LISTEN: frozenset({Step.READY}),
    Step.READY: frozenset(),
}


class Stage(Value):
    """A step that was taken, and how many seconds it took."""

    step: Step
    seconds: float


class Journey(Value):
    """How far a start has come. Times are monotonic seconds; every change is a new value."""

    entered: tuple[tuple[Step, float], ...]
    """Every step with the time it began, in order."""
    ended_at: float | None = None
    """When it was ready or failed; None while it is under way."""

    @classmethod
    def begin(cls, at: float) -> Journey:
        """Return a journey in its first step."""
        return cls(((Step.PREPARE, at),))

    @property
    def step(self) -> Step:
        """The step it is in, or ended in."""
        return self.entered[-1][0]

    def enter(self, step: Step, at: float) -> Journey:
        """Return the journey with `step` begun; raise ValueError where it cannot follow the present one.

        What another process tells may be late: a time before the present step's is taken for that.
        """
        if self.ended_at is not None or step not in TRANSITIONS[self.step]:
            raise ValueError(f"the step {step.value!r} cannot follow {self.step.value!r}")
        at = max(at, self.entered[-1][1])
        ended_at = at if step is Step.READY else None
        return Journey((*self.entered, (step, at)), ended_at)

    def correct(self, step: Step, at: float) -> Journey:
        """Return the journey with a better time for the beginning of `step`, between those of its neighbours.

        The process itself knows when it began something; from outside it is seen later. Raises ValueError
        where the step was not taken.
        """
        number = max((n for n, (taken, _) in enumerate(self.entered) if taken is step), default=0)
        if number == 0:
            raise ValueError(f"the step {step.value!r} was not taken")
        after = self.entered[number + 1][1] if number + 1 < len(self.entered) else self.ended_at
        at = max(at, self.entered[number - 1][1])
        at = at if after is None else min(at, after)
        return Journey((*self.entered[:number], (step, at), *self.entered[number + 1 :]), self.ended_at)

    def end(self, at: float) -> Journey:
        """Return the journey ended where it is; one that has ended already stays as it is."""
        return self if self.ended_at is not None else Journey(self.entered, max(at, self.entered[-1][1]))

    def stages(self, now: float | None = None) -> tuple[Stage, ...]:
        """Return what was taken so far, each with its time; the last one lasts until the end, or `now`."""
        last = self.ended_at if self.ended_at is not None else now
        ends = [at for _, at in self.entered[1:]]
        ends.append(last if last is not None else self.entered[-1][1])
        taken = [Stage(step, end - at) for (step, at), end in zip(self.entered, ends, strict=True)]
        return tuple(stage for stage in taken if stage.step is not Step.READY)

    @property
    def seconds(self) -> float:
        """How long it has taken, from the first step to the end (or to the last step, while under way)."""
        last = self.ended_at if self.ended_at is not None else self.entered[-1][1]
        return last - self.entered[0][1]
