"""Resource limits of this process (getrlimit(2))."""

from __future__ import annotations

import resource

from coachman.config.resource_limits import NUMBERS, UNLIMITED, Limit


def set_own_limit(limit: Limit) -> None:
    """Give this process a limit; raise OSError, which names it, where the system refuses."""
    number = NUMBERS[limit.name]
    hard = resource.getrlimit(number)[1] if limit.hard is None else _number(limit.hard)
    try:
        resource.setrlimit(number, (_number(limit.soft), hard))
    except (OSError, ValueError) as error:
        raise OSError(f"cannot set the limit {limit}: {error}") from error


def _number(text: str) -> int:
    return resource.RLIM_INFINITY if text == UNLIMITED else int(text)
