"""How the C library deals with freed memory (mallopt(3))."""

from __future__ import annotations

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8

LARGE_BLOCK: Final = 1024 * 1024
KEPT: Final = 4 * 1024 * 1024


def keep_freed_memory() -> None:
    """Have blocks of less than `LARGE_BLOCK` bytes come from one heap, which keeps up to `KEPT` free.

    For a process through which much passes in blocks of many kilobytes, one thread making them and another
    freeing them. As the C library usually has it, that memory goes back to the kernel and comes again, page
    by page, each time, which costs more than all the copying. Call it before there are threads. Where the C
    library has no such settings, nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, 1)
