"""What is said of a worker that has ended, in one line."""

from __future__ import annotations

from dataclasses import dataclass

from coachman.counted import counted


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that has ended, and everything that may explain it."""

    slot: int
    pid: int
    ending: str
    """Its exit status or signal, for people."""
    memory_evidence: str | None
    """What speaks for a kill by the kernel for want of memory; None: nothing."""
    served_for: float
    """Seconds from when it was ready."""
    requests: int
    """How many it had answered."""
    in_flight: int
    """Requests that were in the application."""
    request_line: str
    """Of one of these, "" where it is not known."""
    last_line: str
    """The last that it printed; "" where it printed nothing."""
    reason: str
    """Why it was told to end; "" where it was not."""
    drained: bool
    """Whether it had finished what it had in hand, because somebody told it to."""


def explain(death: Death) -> str:
    """Return who ended, how, after what, and in the middle of what."""
    parts = [
        f"worker {death.slot} (pid {death.pid}) ended with {death.ending}",
        f" after {counted(death.requests, 'request')} in {death.served_for:.1f} s",
    ]
    if death.memory_evidence is not None:
        parts.insert(1, f", killed by the kernel because memory ran out ({death.memory_evidence}),")
    if not death.drained:
        parts.append(in_hand(death.in_flight, death.request_line))
    if death.reason:
        parts.append(f": {death.reason}")
    elif not death.drained and death.last_line:
        parts.append(f", and had last printed: {death.last_line}")
    return "".join(parts)


def in_hand(requests: int, line: str) -> str:
    """Return the end of what is said of a worker with so many requests, of which one has this `line`."""
    if not requests:
        return ""
    return f", in {line or 'a request'}" + (f" and {requests - 1} more" if requests > 1 else "")
