"""How long an application process behind a foreign wrapper is waited for when it is to end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that each rung of the ladder is given (`coachman.supervisor.process.wrapped_process.Rung`)."""

    after_stdin: float = 3.0
    after_sigterm: float = 3.0
