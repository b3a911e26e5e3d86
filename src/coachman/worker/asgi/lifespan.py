"""The application's own start and end: the lifespan protocol of ASGI, version 2.0."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from coachman.errors import ApplicationError
from coachman.worker.complaints import complain

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

EXPLANATION_SECONDS = 1.0
"""How long an application that has said that its startup failed may take to raise the reason."""

_DECLINING = (AssertionError, LookupError, NotImplementedError, RuntimeError, ValueError)
"""What applications without a lifespan raise at the sight of its scope; anything else is a mistake in one."""


class Lifespan:
    """One task that calls the application with the lifespan scope, from the startup to the shutdown.

    An application that does not support the protocol raises or returns; it is served without, as the
    specification asks for.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self.state: dict[str, Any] = {}
        """What the application has put there for its requests: each gets a copy in its scope."""
        self._task: asyncio.Task[None] | None = None
        self._asked = 0
        """How many messages it has asked for."""
        self._answered = ""
        """The last phase that it has answered for."""
        self._ending = asyncio.Event()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()

    async def startup(self) -> BaseException | None:
        """Run the startup; return why it failed, None where it did not, or where there is nothing to run."""
        self._task = asyncio.create_task(self._run())
        answer = await self._answer()
        if answer is None:
            self._note_missing_support()
            return None
        if answer["type"] == "lifespan.startup.complete":
            return None
        # Frameworks say that it failed, and then raise what tells more.
        await asyncio.wait([self._task], timeout=EXPLANATION_SECONDS)
        error = _error_of(self._task)
        return error or ApplicationError(_reason_in(answer))

    async def shutdown(self) -> None:
        """Run the shutdown, where there was a startup; what goes wrong is reported."""
        if self._task is None or self._task.done():
            return
        self._ending.set()
        answer = await self._answer()
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            complain(f"the application's lifespan shutdown failed: {_reason_in(answer)}")
        elif answer is None and (error := _error_of(self._task)) is not None:
            complain(f"the application's lifespan shutdown failed\n{_frames(error)}")

    async def end(self) -> None:
        """Cancel what is left of the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=EXPLANATION_SECONDS)
            _error_of(self._task)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._application(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await self._ending.wait()
        if self._asked > 2:
            await asyncio.Event().wait()  # there are no further messages
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        phase = "shutdown" if self._ending.is_set() else "startup"
        if message["type"] not in (f"lifespan.{phase}.complete", f"lifespan.{phase}.failed"):
            raise RuntimeError(f"{message['type']!r} is not an answer to lifespan.{phase}")
        if self._answered == phase:
            raise RuntimeError(f"a second answer to lifespan.{phase}")
        self._answered = phase
        self._answers.put_nowait(message)

    async def _answer(self) -> Message | None:
        """Return what the application answers, None where its task ends without an answer."""
        assert self._task is not None
        waiting = asyncio.create_task(self._answers.get())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not self._answers.empty():
            await waiting  # it has answered and ended in one go
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        return None

    def _note_missing_support(self) -> None:
        """Say so where the application seems to have meant to support it."""
        assert self._task is not None
        error = _error_of(self._task)
        if error is not None and (self._asked or not isinstance(error, _DECLINING)):
            complain(
                "the application failed in its lifespan startup without a lifespan.startup.failed; by the "
                f"specification it is served all the same\n{_frames(error)}"
            )


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _reason_in(answer: Message) -> str:
    return str(answer.get("message") or "it gives no reason").rstrip()


def _frames(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
