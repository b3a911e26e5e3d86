"""The life of a worker, as the supervisor believes it to be."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a worker stands."""

    SPAWNING = auto()
    """Its process runs; the start is not decided."""
    READY = auto()
    """It accepts connections."""
    DRAINING = auto()
    """It finishes what it has in hand."""
    GONE = auto()
    """Its process has ended and is reaped."""


class Event(Enum):
    """What happens to a worker."""

    READY = auto()
    DRAIN = auto()
    EXIT = auto()


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.SPAWNING: {Event.READY: State.READY, Event.EXIT: State.GONE},
    State.READY: {Event.DRAIN: State.DRAINING, Event.EXIT: State.GONE},
    State.DRAINING: {Event.EXIT: State.GONE},
    State.GONE: {},
}


def next_state(state: State, event: Event) -> State:
    """Return the state that follows; raise ValueError where `event` cannot happen in `state`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ValueError(f"a worker that is {state.name} cannot see {event.name}") from None
