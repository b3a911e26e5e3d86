"""Prints numbered lines as fast as it can, once it is let to: a program, and a WSGI application.

It is told by its environment: TALKER_GATE is a unix socket, where it waits for a byte and which it leaves
when it has printed TALKER_LINES lines.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable

LINE_SIZE = 100
"""Bytes of a line, with its newline."""

LINES_IN_BLOCK = 640
"""Lines that are printed with one write: what a block-buffered stdout of 64 KiB does."""

_BLOCK = b"BBBBBBBB"


def line(pid: int, block: bytes, number: int) -> bytes:
    """Return a line without its newline."""
    return (b"talker %d %s %04d " % (pid, block, number)).ljust(LINE_SIZE - 1, b".")


def talk(lines: int) -> None:
    """Print so many lines, each with this process, the number of its block and its number therein.

    Made by replacing the number of the block at the speed of memory: the benchmark is not about making lines.
    """
    template = b"".join(line(os.getpid(), _BLOCK, number) + b"\n" for number in range(LINES_IN_BLOCK))
    for number in range(lines // LINES_IN_BLOCK):
        left = memoryview(template.replace(_BLOCK, b"%08d" % number))
        while left:
            left = left[os.write(1, left) :]


def wait_and_talk() -> None:
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(os.environ["TALKER_GATE"])
        if gate.recv(1):
            talk(int(os.environ["TALKER_LINES"]))


def application(
    environ: dict[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


if __name__ == "__main__":
    wait_and_talk()
elif "TALKER_GATE" in os.environ:
    threading.Thread(target=wait_and_talk, daemon=True).start()
