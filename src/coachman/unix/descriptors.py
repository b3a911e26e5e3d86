"""Descriptors as the kernel knows them: numbers, and what becomes of them after a fork."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol, TypeAlias


class HasFileno(Protocol):
    """Anything with a `fileno()`: a file, a socket, an epoll object."""

    def fileno(self) -> int: ...


Descriptor: TypeAlias = int | HasFileno
"""An open descriptor, by its number or by the object that owns it."""

STANDARD: Final = frozenset({0, 1, 2})

# One more than any number the kernel gives out (fs.nr_open cannot be set higher than a C int).
END_OF_DESCRIPTORS: Final = 2**31 - 1


def descriptor_number(descriptor: Descriptor) -> int:
    """Return the number of an open descriptor; `ValueError` if its object was closed."""
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if number < 0:
        raise ValueError(f"{descriptor!r} is not an open descriptor")
    return number


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor of this process except the numbers in `keep`.

    `os.closerange` is one close_range(2) per gap where the kernel has it: its cost does not depend on how
    high the limit for descriptors is.
    """
    start = 0
    for number in sorted(set(keep)):
        if start < number:  # CPython makes close_range(0, UINT_MAX) of closerange(0, 0): everything
            os.closerange(start, number)
        start = number + 1
    os.closerange(start, END_OF_DESCRIPTORS)


def standard_streams() -> set[int]:
    """Return 0, 1, 2 and whatever `sys.stdin`, `sys.stdout` and `sys.stderr` are on at this moment."""
    numbers = set(STANDARD)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # None under pythonw and after detach; no number for a StringIO; ValueError once closed.
        with suppress(AttributeError, OSError, ValueError):
            numbers.add(stream.fileno())
    return numbers
