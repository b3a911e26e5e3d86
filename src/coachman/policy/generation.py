"""The life of a generation: the workers that run the same state of the code."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class GenerationState(Enum):
    """Where a generation stands."""

    STARTING = auto()
    """Its first worker is not ready yet; the generation before it serves."""
    SERVING = auto()
    """Workers are made from it; those of earlier generations are replaced by them, one by one."""
    RETIRING = auto()
    """A later one serves; it ends with the last of its workers."""
    ABANDONED = auto()
    """Its first worker could not be started, or a later generation was asked for before that was ready."""
    GONE = auto()
    """No process is left of it."""


class GenerationEvent(Enum):
    """What happens to a generation."""

    READY = auto()
    """Its first worker is."""
    FAILED = auto()
    """Its first worker could not be started."""
    SUPERSEDED = auto()
    """A later one has taken its place."""
    EMPTY = auto()
    """None of its processes is left."""


GENERATION_TRANSITIONS: Final[dict[GenerationState, dict[GenerationEvent, GenerationState]]] = {
    GenerationState.STARTING: {
        GenerationEvent.READY: GenerationState.SERVING,
        GenerationEvent.FAILED: GenerationState.ABANDONED,
        GenerationEvent.SUPERSEDED: GenerationState.ABANDONED,
    },
    GenerationState.SERVING: {GenerationEvent.SUPERSEDED: GenerationState.RETIRING},
    GenerationState.RETIRING: {GenerationEvent.EMPTY: GenerationState.GONE},
    GenerationState.ABANDONED: {GenerationEvent.EMPTY: GenerationState.GONE},
    GenerationState.GONE: {},
}


def next_generation_state(state: GenerationState, event: GenerationEvent) -> GenerationState:
    """Return the state that follows; raise ValueError where `event` cannot happen in `state`."""
    try:
        return GENERATION_TRANSITIONS[state][event]
    except KeyError:
        raise ValueError(f"a generation that is {state.name} cannot see {event.name}") from None
