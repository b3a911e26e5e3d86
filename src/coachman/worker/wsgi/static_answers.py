"""Requests of a connection that files answer: found early, since they need no thread."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from coachman.protocol.http.target import split_target
from coachman.protocol.static.ranges import Span
from coachman.protocol.static.response import deciding_fields
from coachman.worker.wsgi.file_wrapper import FilePart
from coachman.worker.wsgi.outbox import PendingFile
from coachman.worker.wsgi.request import Request

if TYPE_CHECKING:
    from coachman.worker.static.files import StaticAnswer, StaticFiles

INLINE_SIZE: Final = 64 * 1024
"""Bytes of a file that are read at once: less work than to have the kernel send them."""

PEEK_SIZE: Final = 8192
"""Bytes of a request that are looked at before it is read."""


class StaticAnswers:
    """Those of requests that wait. It owns them, each until it is taken."""

    __slots__ = ("_answers", "_static")

    def __init__(self, static: StaticFiles) -> None:
        self._static = static
        self._answers: dict[Request, StaticAnswer | None] = {}
        """By requests that may be for a file. None: there is none, so it is for the application."""

    def find(self, request: Request) -> StaticAnswer | None:
        """Return the answer to `request`, which stays here; None where it is for the application."""
        static = self._static
        target = request.target
        if target[0] == "/" and not target.startswith(static.starts):
            return None  # as nearly always
        try:
            return self._answers[request]
        except KeyError:
            pass
        answer = None
        if not target.startswith("/"):
            path, query, _ = split_target(target)
            target = f"{path}?{query}"
        if target.startswith(static.starts):
            fields = deciding_fields(request.fields.headers)
            answer = static.answer(request.method, target.encode("latin-1"), fields)
        self._answers[request] = answer
        return answer

    def take(self, request: Request) -> StaticAnswer | None:
        """Return the answer to `request`, which is the caller's to close; None: it is for the application."""
        if request.target[0] == "/" and not request.target.startswith(self._static.starts):
            return None  # as nearly always
        answer = self.find(request)
        self._answers.pop(request, None)
        return answer

    def any_asked_for(self, sock: socket.socket) -> bool:
        """Return whether what waits to be read begins with a request for a file that exists."""
        try:
            line = sock.recv(PEEK_SIZE, socket.MSG_PEEK)
        except OSError:
            return False
        target = line.partition(b" ")[2].partition(b" ")[0]
        if not target.startswith(self._static.starts_in_bytes):
            return False
        answer = self._static.answer("HEAD", target, {})
        if answer is None:
            return False
        answer.close()
        return True

    def close(self) -> None:
        """Close those that were not taken."""
        for answer in self._answers.values():
            if answer is not None:
                answer.close()
        self._answers.clear()


def pending_parts(parts: Iterable[bytes | Span], fd: int) -> list[bytes | PendingFile]:
    """Return what is to be sent for the parts of an answer, with the file's bytes from `fd`.

    Raises OSError as `pending_part` does; nothing is left open then.
    """
    made: list[bytes | PendingFile] = []
    try:
        made.extend(pending_part(part, fd) for part in parts)
    except OSError:
        for made_part in made:
            if isinstance(made_part, PendingFile):
                made_part.close()
        raise
    return made


def pending_part(part: bytes | Span, fd: int) -> bytes | PendingFile:
    """Return what is to be sent for a part of an answer, with the file's bytes from `fd`.

    Raises OSError where no descriptor is left, or the file cannot be read.
    """
    if isinstance(part, bytes):
        return part
    if part.size <= INLINE_SIZE:
        block = os.pread(fd, part.size, part.start)
        if len(block) < part.size:
            raise OSError(errno.EIO, "the file became shorter")
        return block
    return PendingFile(FilePart(fd, part.start, part.size))
