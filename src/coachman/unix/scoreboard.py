"""The scoreboard's memory: one map, shared by the supervisor and all workers of an application."""

from __future__ import annotations

import mmap
import os

from coachman.protocol.scoreboard import AWAITED, CELL_SIZE, CELLS, GENERATION, PID, SlotView, view_of

SLOT_SIZE = CELLS * CELL_SIZE


class Scoreboard:
    """A map of slots. It owns its memory and the descriptor `fd`, by which another process can have the same.

    Memory that no worker has written to is not taken from the system.
    """

    def __init__(self, fd: int) -> None:
        """Map what `fd`, of which this takes over the ownership, is open for."""
        self.fd = fd
        self._map = mmap.mmap(fd, 0)
        self._cells = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, slots: int) -> Scoreboard:
        """Make a scoreboard of so many empty slots; raise OSError where there is no memory or descriptor."""
        fd = os.memfd_create("coachman-scoreboard", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, slots * SLOT_SIZE)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    @property
    def slots(self) -> int:
        """How many there are; they count from 0."""
        return len(self._map) // SLOT_SIZE

    def cells(self, slot: int) -> memoryview[int]:
        """Return the cells of a slot, to read and write; they have to be released before `close`."""
        return self._cells[slot * CELLS : (slot + 1) * CELLS]

    def columns(self) -> memoryview[int]:
        """Return the cells of all slots, one slot behind the other; to be released before `close`."""
        return self._cells[:]

    def clear(self, slot: int, *, pid: int, generation: int) -> None:
        """Empty a slot for a worker."""
        self._map[slot * SLOT_SIZE : (slot + 1) * SLOT_SIZE] = bytes(SLOT_SIZE)
        self._cells[slot * CELLS + PID] = pid
        self._cells[slot * CELLS + GENERATION] = generation

    def await_connection(self, slot: int) -> None:
        """Have the worker of a slot tell of the next connection that it has."""
        self._cells[slot * CELLS + AWAITED] = 1

    def view(self, slot: int) -> SlotView:
        """Read a slot."""
        return view_of(self._cells[slot * CELLS : (slot + 1) * CELLS].tolist())

    def close(self) -> None:
        """Unmap the memory and close the descriptor."""
        self._cells.release()
        self._map.close()
        os.close(self.fd)


def private_cells() -> memoryview[int]:
    """Return cells of a slot that nobody else sees: for a worker without a supervisor."""
    return memoryview(bytearray(SLOT_SIZE)).cast("Q")
