"""Last words: how a server that fails tells its client why, beside the channel."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final

SIZE: Final = 1024
LENGTH: Final = 2
SERVERS: Final = 64
"""How many servers have their last words in one mapping."""

_free: list[tuple[mmap.mmap, int]] = []
"""Where there is room for one line: a mapping, and the place in it."""

# What is free is the parent's to give, who goes on giving it.
os.register_at_fork(after_in_child=_free.clear)


class LastWords:
    """One line that the child leaves in memory it shares with its parent.

    Not a message on the channel: the client may be waiting for something else there. Not a pipe: memory
    without a name costs no descriptor, and a program may have a thousand servers. Not the child's stderr:
    that belongs to its owner.

    Many share a mapping, because each fork copies all of them. To have them not inherited (MADV_DONTFORK)
    was rejected: a forked process that drops the objects it has inherited would unmap what was mapped in
    their place since.
    """

    def __init__(self, file: int = -1) -> None:
        """Share memory with the next process that is forked, or what a `words_file` has; that is not kept."""
        self._giver = None if file >= 0 else os.getpid()
        self._memory, self._start = (mmap.mmap(file, SIZE), 0) if file >= 0 else _take()

    def leave(self, text: str) -> None:
        """Leave these words (in the child), cut to what there is room for."""
        line = " ".join(text.split()).encode("utf-8", "backslashreplace")[: SIZE - LENGTH]
        begin = self._start + LENGTH
        self._memory[begin : begin + len(line)] = line
        # The length last: a child that is killed in between has left nothing, not half a line.
        self._memory[self._start : begin] = len(line).to_bytes(LENGTH, "big")

    def read(self) -> str:
        """Return what the child left (in the parent); empty if nothing."""
        begin = self._start + LENGTH
        size = int.from_bytes(self._memory[self._start : begin], "big")
        return self._memory[begin : begin + size].decode("utf-8", "replace")

    def close(self) -> None:
        """Give the memory back, once the child has ended."""
        if self._giver is None:
            self._memory.close()
        elif self._giver == os.getpid():  # or it is still in use, by the parent
            _free.append((self._memory, self._start))


def _take() -> tuple[mmap.mmap, int]:
    """Return room for a line, in which none is."""
    while True:
        try:
            memory, start = _free.pop()
        except IndexError:
            memory = mmap.mmap(-1, SERVERS * SIZE)
            _free.extend((memory, number * SIZE) for number in range(SERVERS))
        else:
            memory[start : start + LENGTH] = bytes(LENGTH)
            return memory, start


def words_file() -> int:
    """Return a descriptor of memory that processes can share which execute; owned by the caller."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("last words")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, SIZE)
    return file
