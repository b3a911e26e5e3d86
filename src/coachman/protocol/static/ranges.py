"""Byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MOST_RANGES: Final = 16
"""Ranges that one request may ask for; with more, it gets the whole file."""

# 20 digits: clients write the largest number that they have for "to the end".
_SPEC: Final = re.compile(r"(?:(\d{1,20})-(\d{1,20})?|-(\d{1,20}))", re.ASCII)


class Span(NamedTuple):
    """A part of a file: the bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many bytes there are in it."""
        return self.stop - self.start


def parse_range(value: str, size: int) -> list[Span] | None:
    """Return the parts of a file of `size` bytes that the header asks for, in its order.

    An empty list: none of them exists (416). None: the header is to be ignored, because it is not understood,
    or asks for more than there is to send, by ranges that are many or overlap (section 14.2 allows it).
    """
    unit, equals, listed = value.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    spans = []
    specs = [spec.strip() for spec in listed.split(",")]
    if len(specs) > 4 * MOST_RANGES:
        return None
    for spec in filter(None, specs):
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            span = Span(max(0, size - int(suffix)), size)
        else:
            span = Span(int(first), size if last is None else min(int(last) + 1, size))
            if last is not None and int(last) < int(first):
                return None
        if span.start < span.stop:
            spans.append(span)
    if not any(specs) or len(spans) > MOST_RANGES or sum(span.size for span in spans) > size:
        return None
    return spans
