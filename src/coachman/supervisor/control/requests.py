"""What the supervisor does for each request on its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from coachman.errors import ConfigurationError
from coachman.protocol import control_socket as words
from coachman.protocol.control_socket import LogLines, RestartsResult, answer, complaint_about, refusal
from coachman.supervisor.log.log import Log
from coachman.supervisor.operations import Operations

CAUSE: Final = "coachman {}"
"""Who asked, in the log and in `status`."""

Handler: TypeAlias = Callable[..., Awaitable[object]]


class Requests:
    """Answers requests. Any number may be under way at the same time."""

    def __init__(self, operations: Operations, log: Log) -> None:
        self._operations = operations
        self._log = log
        self._snapshot: asyncio.Future[bytes] | None = None
        self._handlers: Final[Mapping[str, Handler]] = {
            words.RESTART: self._restart,
            words.RESTARTED: self._restarted,
            words.SCALE: self._scale,
            words.DUMP: self._dump,
            words.STOP: self._stop,
            words.REOPEN: self._reopen,
            words.LOGS: self._logs,
            words.FOLLOW: self._logs,
        }

    def complaint(self, message: list[str]) -> str:
        """Return what is wrong with a request, as far as that can be seen before it is tried; "": nothing."""
        complaint = complaint_about(message)
        if not complaint and message[0] in (words.LOGS, words.FOLLOW):
            try:
                self._operations.chosen(message[1])
            except LookupError as error:
                return str(error.args[0])
        return complaint

    async def answer(self, message: list[str]) -> bytes:
        """Return the scalar message that answers a request: of `FOLLOW`, the first one."""
        if complaint := self.complaint(message):
            return refusal(complaint)
        name, *arguments = message
        try:
            if name == words.STATUS:
                return await self._status()
            return answer(await self._handlers[name](*arguments))
        except (LookupError, ConfigurationError) as error:
            return refusal(str(error.args[0]))
        except Exception as error:
            # The supervisor's own fault, which both the client and the log are to name.
            self._log.note(f"the request {name!r} on the control socket has failed: {error!r}")
            return refusal(f"the supervisor could not do that: {error!r}")

    async def _status(self) -> bytes:
        """Return the state; all who ask in the same turn of the loop get the same answer, made once."""
        if self._snapshot is None:
            loop = asyncio.get_running_loop()
            self._snapshot = loop.create_future()
            loop.call_soon(self._take_snapshot, self._snapshot)
        return await asyncio.shield(self._snapshot)

    def _take_snapshot(self, snapshot: asyncio.Future[bytes]) -> None:
        self._snapshot = None
        try:
            snapshot.set_result(answer(self._operations.status()))
        except Exception as error:
            snapshot.set_exception(error)  # for each of those who wait for it

    async def _restart(self, application: str) -> RestartsResult:
        begun = self._operations.begin_restart(application, CAUSE.format("restart"))
        return RestartsResult({name: generation.restart for name, generation in begun.items()})

    async def _restarted(self, application: str) -> RestartsResult:
        return RestartsResult(await self._operations.restart(application, CAUSE.format("restart --wait")))

    async def _scale(self, application: str, change: str) -> dict[str, str]:
        return self._operations.scale(application, change, CAUSE.format("scale"))

    async def _dump(self, application: str, pid: str) -> dict[int, str]:
        if pid and not (pid.isascii() and pid.isdecimal()):
            raise ConfigurationError(f"{pid!r} is no pid")
        return await self._operations.dump(application, int(pid) if pid else None)

    async def _stop(self, way: str) -> None:
        stop = self._operations.stop_now if way == words.NOW else self._operations.stop
        stop(CAUSE.format("stop --now" if way == words.NOW else "stop"))

    async def _reopen(self) -> None:
        self._operations.reopen_log()

    async def _logs(self, application: str) -> LogLines:
        return LogLines.last_of(self._log.text(self._log.recent.items(application)))
