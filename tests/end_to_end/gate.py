"""A gate at which a tiny application waits until the test lets it pass: no sleeps on either side."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

WAIT_AT_GATE: Final = """
import os, socket

def wait_at_gate():
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(os.environ["GATE"])
        gate.recv(1)
"""
"""What an application has to begin with in order to wait at the gate."""


class Gate:
    """A listening socket; whoever connects to it waits until it is let through, or until it is killed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gate"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(100)
        self._waiting: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open()
        self._listener.close()

    @property
    def environment(self) -> dict[str, str]:
        """What the application needs in its environment to find the gate."""
        return {"GATE": str(self._path)}

    def wait_for_arrival(self, timeout: float = 30) -> None:
        """Return once the next one has arrived at the gate."""
        self._listener.settimeout(timeout)
        self._waiting.append(self._listener.accept()[0])

    @property
    def last_pid(self) -> int:
        """The process that arrived last."""
        credentials = self._waiting[-1].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0])

    def let_first_through(self) -> None:
        """Let the one through who has waited for longest."""
        self._waiting.pop(0).close()

    def open(self) -> None:
        """Let everybody through who has arrived."""
        while self._waiting:
            self._waiting.pop().close()
