"""Resource limits, as they are configured (getrlimit(2))."""

from __future__ import annotations

import resource

import msgspec

from coachman.errors import ConfigurationError

NUMBERS = {
    name.removeprefix("RLIMIT_").lower(): getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_")
}
"""Number of each limit by its name, as the manual has it without the prefix."""

UNLIMITED = "unlimited"


class Limit(msgspec.Struct, frozen=True):
    """A limit that a process is to have."""

    name: str
    soft: str
    """A whole number, or "unlimited"."""
    hard: str | None = None
    """None: as it is."""

    def __str__(self) -> str:
        return f"{self.name}={self.soft}" + ("" if self.hard is None else f":{self.hard}")


def parse_limit(text: str) -> Limit:
    """Read ``NAME=SOFT`` or ``NAME=SOFT:HARD``; raise `ConfigurationError` where it is none."""
    name, separator, values = text.partition("=")
    if name.lower() not in NUMBERS:
        raise ConfigurationError(f"{name!r} in {text!r} is no resource limit; there are {', '.join(NUMBERS)}")
    soft, colon, hard = values.partition(":")
    if not separator or any(not _is_value(value) for value in ([soft, hard] if colon else [soft])):
        raise ConfigurationError(
            f"the limit {text!r} has to be NAME=SOFT or NAME=SOFT:HARD, in whole numbers or {UNLIMITED!r}"
        )
    return Limit(name.lower(), soft, hard if colon else None)


def _is_value(text: str) -> bool:
    return text == UNLIMITED or (text.isascii() and text.isdecimal())
