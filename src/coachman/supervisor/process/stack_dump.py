"""Asking a worker where its threads and tasks are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

from coachman.protocol.control import STACKS_LIMIT
from coachman.supervisor.process.application_process import first_of

ANSWER_SECONDS: Final = 2.0
"""How long Python in the worker may take to answer; after that, what C code has written counts."""


class StackDump:
    """The stacks of one worker, whenever they are asked for.

    Upon the signal, C code writes them to a file in memory at once, and Python sends a text that says more as
    soon as it can run. `fd` is that file, shared with the worker, and stays the caller's; `exited` is done
    when the worker has ended, and nothing more can come.
    """

    def __init__(self, fd: int, send_signal: Callable[[], object], exited: asyncio.Future[Any]) -> None:
        self._fd = fd
        self._send_signal = send_signal
        self._exited = exited
        self._answer: asyncio.Future[bytes] | None = None
        self._asking: asyncio.Task[str] | None = None
        """The question that is under way, whoever of those that asked still waits for it."""

    async def text(self) -> str:
        """Return the stacks; "" where the worker does not even take a signal: it is stopped, or has ended.

        Who asks while a question is under way gets the answer to that. Raises OSError where this process has
        no descriptor left.
        """
        if self._asking is None:
            file = os.dup(self._fd)  # the caller may close its own when the worker ends
            self._empty()
            self._answer = asyncio.get_running_loop().create_future()
            self._send_signal()
            self._asking = asyncio.create_task(self._hear(self._answer, file))
        return await asyncio.shield(self._asking)

    async def _hear(self, answer: asyncio.Future[bytes], file: int) -> str:
        """Return the answer, or what is in `file` by the time that it should be here; close that."""
        try:
            await first_of(answer, self._exited, timeout=ANSWER_SECONDS)
            text = answer.result() if answer.done() else os.pread(file, STACKS_LIMIT, 0)
        finally:
            self._answer = self._asking = None
            os.close(file)
        return text.decode("utf-8", "replace")

    def answered(self, text: bytes) -> None:
        """Take in the worker's answer, unless it comes too late."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(text)

    def _empty(self) -> None:
        # The worker writes at the position that both have in common.
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
