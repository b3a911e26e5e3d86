"""One client of the control socket, from its first request until it goes or is sent away."""

from __future__ import annotations

import asyncio
from typing import Final

from coachman.errors import ChannelError
from coachman.protocol.control_socket import FOLLOW, LogLines, answer, refusal
from coachman.supervisor.control.requests import Requests
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import first_of
from coachman.unix.async_channel import AsyncMessageChannel

REQUEST_SECONDS: Final = 10.0
"""How long a client may take for a request, from its connection or from the last answer."""

READING_SECONDS: Final = 10.0
"""How long a client may take to read an answer."""


class Client:
    """Serves requests one after the other. What it holds is bounded: one request, one answer."""

    def __init__(self, channel: AsyncMessageChannel, requests: Requests, log: Log) -> None:
        """Take over `channel`."""
        self._channel = channel
        self._requests = requests
        self._log = log
        self.is_owed = False
        """Whether a request of it has not been answered to the end."""

    async def serve(self) -> None:
        """Serve until the client goes, is too slow, or sends what is no request."""
        try:
            message = await self._channel.read(timeout=REQUEST_SECONDS)
            while message is not None:
                message = await self._serve_one(message)
        except ChannelError as error:
            # A client that breaks off or babbles is nobody's business but its own.
            self._log.debug(f"a client of the control socket was sent away: {error}")
        finally:
            self._channel.close()

    async def refuse(self, reason: str) -> None:
        """Say why there is nothing to be had here, and close the connection."""
        try:
            await self._channel.write_scalar(refusal(reason), timeout=READING_SECONDS)
        except ChannelError:
            pass  # it has not waited for that
        finally:
            self._channel.close()

    async def _serve_one(self, message: list[str]) -> list[str] | None:
        """Answer a request; return the next one. None: the client has gone, perhaps without waiting."""
        answering = asyncio.create_task(self._answer(message))
        # Read meanwhile, so that what nobody waits for any more ends when the client does.
        reading = asyncio.create_task(self._channel.read())
        self.is_owed = True
        try:
            await first_of(answering, reading)
            if reading.done() and reading.result() is None:
                return None
            if not await answering:
                return None
            self.is_owed = False
            async with asyncio.timeout(REQUEST_SECONDS):
                return await reading
        except TimeoutError:
            return None
        finally:
            answering.cancel()
            reading.cancel()
            await asyncio.gather(answering, reading, return_exceptions=True)

    async def _answer(self, message: list[str]) -> bool:
        """Answer a request; return whether there may be another one after it."""
        if message[0] == FOLLOW and not self._requests.complaint(message):
            await self._follow(message)
            return False
        await self._channel.write_scalar(await self._requests.answer(message), timeout=READING_SECONDS)
        return True

    async def _follow(self, message: list[str]) -> None:
        with self._log.recent.follow(message[1]) as follower:
            await self._channel.write_scalar(await self._requests.answer(message), timeout=READING_SECONDS)
            while (taken := await follower.take()) is not None:
                skipped, items = taken
                lines = LogLines.last_of(self._log.text(items), skipped)
                await self._channel.write_scalar(answer(lines), timeout=READING_SECONDS)
