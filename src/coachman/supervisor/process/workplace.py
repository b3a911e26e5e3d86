"""What the workers of an application share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coachman.unix.handoff import HandoffQueue
from coachman.unix.lifeline import Lifeline
from coachman.unix.listeners import Listener
from coachman.unix.scoreboard import Scoreboard


@dataclass(frozen=True, slots=True)
class Workplace:
    """Everything that a worker is given before it serves. It stays the application's, which closes it."""

    listeners: Sequence[Listener]
    scoreboard: Scoreboard
    handoff: HandoffQueue
    lifeline: Lifeline
