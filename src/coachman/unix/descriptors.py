"""Descriptors as the kernel knows them: numbers, and what becomes of them after a fork."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol, TypeAlias


class HasFileno(Protocol):
    """Anything with a `fileno()`: a file, a socket, an epoll object."""

    def fileno(self) -> int: ...


Descriptor: TypeAlias = int | HasFileno
"""An open descriptor, by its number or by the object that owns it."""

LISTING: Final = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
MANY: Final = 100
# One more than any number the kernel gives out (fs.nr_open cannot be set higher than a C int).
END_OF_DESCRIPTORS: Final = 2**31 - 1
# O_PATH (Linux): every operation on it but closing and duplicating fails with EBADF.
PLACEHOLDER_FLAGS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC

STANDARD: Final = frozenset({0, 1, 2})


def descriptor_number(descriptor: Descriptor) -> int:
    """Return the number of an open descriptor; `ValueError` if its object was closed."""
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if number < 0:
        raise ValueError(f"{descriptor!r} is not an open descriptor")
    return number


def open_numbers() -> Sequence[int]:
    """Return the numbers of all open descriptors, ascending; a few that are not open may be among them."""
    # Listing costs about a microsecond for each: nothing for most, 40 ms for a parent with 20,000
    # connections. Such a table has few holes, so filling those is cheaper: once the kernel gives out the
    # number that equals the count of open ones, there is nothing beyond it.
    count = os.stat(LISTING).st_size  # of /proc/self/fd: how many are open, since Linux 6.2; 0 before
    if count > MANY:
        holes: list[int] = []
        try:
            while len(holes) < MANY:
                holes.append(os.dup(0))
                if holes[-1] == count + len(holes) - 1:
                    return range(holes[-1])
        except OSError:  # the table is full, or there is no 0
            pass
        finally:
            for number in holes:
                os.close(number)
    return sorted(int(name) for name in os.listdir(LISTING))


def open_placeholder() -> int:
    """Open what `retire` puts in the place of others. The caller owns it."""
    return os.open(os.devnull, PLACEHOLDER_FLAGS)


def retire(numbers: Iterable[int], keep: Collection[int], placeholder: int) -> None:
    """Let go of every descriptor but those in `keep`; for a freshly forked process. Closes `placeholder`.

    `numbers`, ascending, are those that were open before the fork; the others given are among them. What they
    referred to is closed here, but they are not given out again: an object that was inherited (a file, a
    database connection in C, an integer in somebody's hands) believes that it owns its number and will close
    it one day, when it could long be the number of something that was opened here. So each refers to a
    placeholder now, with which nothing can be done, reading and writing fail as if it were closed; until its
    old owner closes it, or this process ends or executes. Whatever else is open, because another thread of
    the parent opened it in between, is closed.
    """
    duplicate, start = os.dup2, 0
    for number in numbers:
        if start < number:  # CPython makes close_range(0, UINT_MAX) of closerange(0, 0): everything
            os.closerange(start, number)
        start = number + 1
        if number != placeholder and number not in keep:
            try:
                duplicate(placeholder, number, False)
            except OSError:  # from before RLIMIT_NOFILE was lowered: beyond it, none is given out
                os.closerange(number, number + 1)
    os.closerange(start, END_OF_DESCRIPTORS)
    os.close(placeholder)


def require_free(count: int) -> None:
    """Raise OSError (EMFILE, ENFILE) unless this process can open `count` more descriptors at this moment."""
    opened: list[int] = []
    try:
        opened.append(open_placeholder())
        while len(opened) < count:
            opened.append(os.dup(opened[0]))
    finally:
        for number in opened:
            os.close(number)


def standard_streams() -> set[int]:
    """Return 0, 1, 2 and whatever `sys.stdin`, `sys.stdout` and `sys.stderr` are on at this moment."""
    numbers = set(STANDARD)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        try:
            numbers.add(stream.fileno())
        except (AttributeError, OSError, ValueError):
            pass  # None under pythonw and after detach; no number for a StringIO; ValueError once closed
    return numbers
