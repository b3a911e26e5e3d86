"""Last words: how a server that fails tells its client why, beside the channel."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final

SIZE: Final = 1024
LENGTH: Final = 2


class LastWords:
    """One line that the child leaves in memory it shares with its parent.

    Not a message on the channel: the client may be waiting for something else there. Not a pipe: memory
    without a name costs no descriptor, and a program may have a thousand servers. Not the child's stderr:
    that belongs to its owner.
    """

    def __init__(self, file: int = -1) -> None:
        """Share memory with the next process that is forked, or what a `words_file` has; that is not kept."""
        self._memory = mmap.mmap(file, SIZE)

    def keep_to_ourselves(self) -> None:
        """Have processes that are forked from now on not inherit it (in the parent, after its own fork).

        Otherwise every fork copies the mappings of all servers that run: the thousandth would cost three
        times the first.
        """
        if hasattr(mmap, "MADV_DONTFORK"):
            self._memory.madvise(mmap.MADV_DONTFORK)

    def leave(self, text: str) -> None:
        """Leave these words (in the child), cut to what there is room for."""
        line = " ".join(text.split()).encode("utf-8", "backslashreplace")[: SIZE - LENGTH]
        self._memory[LENGTH : LENGTH + len(line)] = line
        # The length last: a child that is killed in between has left nothing, not half a line.
        self._memory[:LENGTH] = len(line).to_bytes(LENGTH, "big")

    def read(self) -> str:
        """Return what the child left (in the parent); empty if nothing."""
        size = int.from_bytes(self._memory[:LENGTH], "big")
        return self._memory[LENGTH : LENGTH + size].decode("utf-8", "replace")

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


def words_file() -> int:
    """Return a descriptor of memory that processes can share which execute; owned by the caller."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("last words")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, SIZE)
    return file
