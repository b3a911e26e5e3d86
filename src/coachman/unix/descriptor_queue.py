"""Descriptors that have arrived on a channel and that nobody has asked for yet."""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections import deque
from typing import Final

from coachman.errors import RemoteProtocolError

# SCM_MAX_FD: the most that the kernel takes in one message. It is also how many may wait unasked for.
MAX_DESCRIPTORS: Final = 253
INT: Final = struct.Struct("i")
ANCILLARY_SIZE: Final = socket.CMSG_SPACE(MAX_DESCRIPTORS * INT.size)


def rights(number: int) -> tuple[tuple[int, int, bytes]]:
    """Return the ancillary data that makes sendmsg(2) send a descriptor."""
    return ((socket.SOL_SOCKET, socket.SCM_RIGHTS, INT.pack(number)),)


class DescriptorQueue:
    """Owns the descriptors that arrived, in their order, until they are taken."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, ancillary: list[tuple[int, int, bytes]], *, truncated: bool) -> None:
        """Take over what recvmsg(2) returned; `RemoteProtocolError` if some are lost, or too many wait."""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._numbers.extend(array("i", data[: len(data) - len(data) % INT.size]))
        if truncated:
            # The buffer holds the most that the kernel sends, so it was this process's table that was full.
            raise RemoteProtocolError(
                "descriptors that the peer sent are lost: this process has no free one left (RLIMIT_NOFILE)"
            )
        if len(self._numbers) > MAX_DESCRIPTORS:
            raise RemoteProtocolError(f"more than {MAX_DESCRIPTORS} descriptors came that nobody asked for")

    def take(self) -> int:
        """Hand out the oldest; the caller owns it."""
        return self._numbers.popleft()

    def close(self) -> None:
        """Close all of them."""
        while self._numbers:
            os.close(self._numbers.popleft())
