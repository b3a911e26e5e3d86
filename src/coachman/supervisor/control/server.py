"""The control socket itself."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from coachman.errors import ConfigurationError
from coachman.policy.exhaustion import obstacle
from coachman.policy.repetition import Repetition
from coachman.supervisor.control.client import Client
from coachman.supervisor.control.requests import Requests
from coachman.supervisor.log.log import Log
from coachman.unix.async_channel import AsyncMessageChannel
from coachman.unix.control_socket import listen_in, peer_uid, socket_name
from coachman.unix.runtime_folder import make_runtime_folder, usual_runtime_folder

MOST_CLIENTS: Final = 256
"""Clients that are served at the same time; those beyond are told so."""

PAUSE_SECONDS: Final = 1.0
"""How long nobody is accepted after that was not possible."""

FAREWELL_SECONDS: Final = 1.0
"""How long clients have for the last lines and answers when the supervisor ends."""


class ControlServer:
    """Listens in the runtime folder and serves whoever is this user or root."""

    def __init__(
        self, folder: Path | None, applications: Sequence[str], requests: Requests, log: Log
    ) -> None:
        """Listen in `folder`, or where that is None in the usual one.

        A folder that was asked for and cannot be used is a `ConfigurationError`; the usual one is only noted,
        because applications can be served without.
        """
        self._folder = folder or usual_runtime_folder(os.environ)
        self._name = socket_name(os.getpid(), list(applications))
        self._requests = requests
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._clients: dict[asyncio.Task[None], Client] = {}
        self._socket: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._repetition = Repetition()
        try:
            self._listen()
        except (ConfigurationError, OSError) as error:
            if folder is not None:
                raise ConfigurationError(f"no control socket: {error}") from error
            log.note(f"there is no control socket: {error}")

    def look_after(self) -> None:
        """Make the socket anew where it, or its folder, has vanished."""
        if self._socket is not None and self._identity == self._found():
            return
        try:
            self._stop_listening()
            self._listen()
        except (ConfigurationError, OSError) as error:
            self._log.note(f"the control socket has vanished, and cannot be made anew: {error}")
        else:
            self._log.note(f"the control socket had vanished; it is back at {self._folder / self._name}")

    async def close(self) -> None:
        """Stop listening, let clients read what they were promised, and remove the socket."""
        self._stop_listening()
        self._log.recent.end()
        owed = [task for task, client in self._clients.items() if client.is_owed]
        if owed:
            await asyncio.wait(owed, timeout=FAREWELL_SECONDS, return_when=asyncio.ALL_COMPLETED)
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _listen(self) -> None:
        folder = make_runtime_folder(self._folder)
        try:
            self._socket = listen_in(folder, self._name)
        finally:
            os.close(folder)
        self._identity = self._found()
        self._loop.add_reader(self._socket, self._accept)

    def _stop_listening(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        if self._identity == self._found():
            with suppress(OSError):
                (self._folder / self._name).unlink()
        self._socket.close()
        self._socket = None

    def _found(self) -> tuple[int, int] | None:
        """Return what tells the file of the socket from another; None where there is none."""
        with suppress(OSError):
            found = os.lstat(self._folder / self._name)
            return found.st_dev, found.st_ino
        return None

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # Without a descriptor to be had the connection stays, and with it the event: not in a circle.
            if self._repetition.kept_quiet(error.errno, self._loop.time()) is not None:
                self._log.note(f"cannot accept on the control socket: {obstacle(error)}")
            self._loop.remove_reader(self._socket)
            self._pause = self._loop.call_later(
                PAUSE_SECONDS, self._loop.add_reader, self._socket, self._accept
            )
            return
        uid = peer_uid(connection)
        client = Client(AsyncMessageChannel(connection), self._requests, self._log)
        if uid not in (0, os.geteuid()):
            serving = client.refuse(f"user {uid} may not control what user {os.geteuid()} has started")
        elif len(self._clients) >= MOST_CLIENTS:
            serving = client.refuse(f"{MOST_CLIENTS} clients are being served; try again")
        else:
            serving = client.serve()
        task = self._loop.create_task(serving)
        self._clients[task] = client
        task.add_done_callback(self._clients.pop)
