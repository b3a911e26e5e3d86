"""Which precompressed variant of a file to send (RFC 9110, 12.5.3)."""

from __future__ import annotations

from typing import Final, NamedTuple


class Coding(NamedTuple):
    """A content coding, and how files are named that are in it."""

    name: str
    suffix: bytes


CODINGS: Final = (Coding("br", b".br"), Coding("zstd", b".zst"), Coding("gzip", b".gz"))
"""The smallest first: their order where the client does not care."""


def acceptable(accept_encoding: str) -> list[Coding]:
    """Return the codings that are to be looked for before the file as it is, the best first."""
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name:
            weights["gzip" if name == "x-gzip" else name] = _weight(parameters)
    anything = weights.get("*", 0.0)
    # Without a word about it, the file as it is will do, but it is nobody's favourite.
    plain = weights.get("identity", 0.0)
    wanted = [(weights.get(coding.name, anything), coding) for coding in CODINGS]
    wanted = [(weight, coding) for weight, coding in wanted if weight > 0 and weight >= plain]
    wanted.sort(key=lambda pair: -pair[0])  # stable: the order of CODINGS among equals
    return [coding for _, coding in wanted]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0  # nan as well
    return 1.0
