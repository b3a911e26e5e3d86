"""A service manager, as far as it takes notifications (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifyReceiver:
    """The datagram socket that NOTIFY_SOCKET names, and what has arrived there."""

    def __init__(self, address: Path | str) -> None:
        """Listen at a path, or at a name in the abstract namespace, which begins with "@"."""
        self.address = str(address)
        self.messages: list[dict[str, str]] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.address.replace("@", "\0", 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address}

    def wait_for(self, name: str, timeout: float = 30) -> dict[str, str]:
        """Return the next message that assigns `name`; those before it are in `messages` as well."""
        deadline = time.monotonic() + timeout
        while True:
            self._sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._sock.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no {name} within {timeout} s, but {self.messages}") from None
            message = dict(line.split("=", 1) for line in data.decode().split("\n"))
            self.messages.append(message)
            if name in message:
                return message

    def rest(self) -> list[dict[str, str]]:
        """Return what has arrived and was not waited for: all of it, once the sender has ended."""
        before = len(self.messages)
        self._sock.setblocking(False)
        while True:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                return self.messages[before:]
            self.messages.append(dict(line.split("=", 1) for line in data.decode().split("\n")))


def abstract_address() -> str:
    """Return a name in the abstract namespace that nobody else has."""
    return f"@coachman-test-{os.getpid()}-{time.monotonic_ns()}"
