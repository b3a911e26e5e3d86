"""What `coachman spawn` runs: one application process, from its start until it is asked to quit."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from coachman.errors import ApplicationError, ConfigurationError
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.failures.failure import StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import first_of
from coachman.supervisor.process.spawn_request import SpawnConfig, environment, request_fields
from coachman.supervisor.process.spawner import spawn
from coachman.supervisor.process.wrapped_process import Rung, WrappedProcess
from coachman.supervisor.stop_request import StopRequest
from coachman.supervisor.strays import Strays
from coachman.unix.adoption import become_subreaper
from coachman.unix.processes import Ending

STDERR = 2
SIGNAL_STATUS = 128
"""What a shell adds to the number of the signal that ended a command, for its exit status."""

Announce: TypeAlias = Callable[[dict[str, Any]], None]
"""Called once with the properties of the application, when it is ready."""


async def run_application(config: SpawnConfig, announce: Announce) -> int:
    """Start the application, announce it, keep it until it is to quit; return the exit status.

    It is to quit at the end of our stdin, or upon SIGINT, SIGTERM or SIGHUP; a second of these kills it at
    once. The status is 0 where it then ended, 128 + 9 where it had to be killed. Where it ends unasked, the
    status is its own, or 128 + the number of the signal that ended it. The log goes to standard error.

    Raises `StartFailed` where the start fails, `ApplicationError` where it was called off,
    `ConfigurationError` where it could not be tried. No process of the application and no file of ours is
    left when this returns or raises.
    """
    # What leaves the group to outlive its parent becomes our child, and is ended like the group.
    become_subreaper()
    with ExitStack() as on_end:
        log = Log(None, level=config.log_level, fd=STDERR)
        on_end.callback(log.close)
        sockets = on_end.enter_context(_folder_for_sockets())
        request = request_fields(config, sockets)
        process = _spawn(config, request, log)
        strays = Strays(lambda: {process.pid}, log)
        stop = StopRequest(process.kill)
        try:
            ready = await _start(process, config, stop)
            announce(_properties(process, ready))
            status = await _keep(process, config, stop, log)
        finally:
            process.kill()
            ending = await asyncio.shield(process.ended())
            strays.end()
            strays.close()
            stop.close()
        if status is None:
            log.note(f"process {process.pid} ended with {ending}; nobody asked it to")
            status = _status_of(ending)
        return status


def _spawn(config: SpawnConfig, request: dict[str, str], log: Log) -> WrappedProcess:
    if not config.app_root.is_dir():
        raise ConfigurationError(f"app_root is {str(config.app_root)!r}, which is no folder")
    try:
        spawned = spawn(config.command, config.app_root, environment=environment())
    except OSError as error:
        raise StartFailed(StartFailure.not_executed(error)) from error
    return WrappedProcess(spawned, request, log, uid=os.geteuid())


async def _start(process: WrappedProcess, config: SpawnConfig, stop: StopRequest) -> Ready:
    starting = asyncio.create_task(process.start(config.start_timeout))
    try:
        await first_of(starting, stop.asked)
        if starting.done():
            return starting.result()
        await process.quit(config.patience)
        raise ApplicationError(f"{stop.asked.result()}: stopped before process {process.pid} was ready")
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


async def _keep(process: WrappedProcess, config: SpawnConfig, stop: StopRequest, log: Log) -> int | None:
    """Let it run until it is to quit, and see to that; return None where it ends unasked."""
    # Only now: a start without any input is a fine way to try a wrapper.
    stop.watch_input()
    exiting = asyncio.create_task(process.exited())
    try:
        await first_of(exiting, stop.asked)
        if exiting.done():
            return None
    finally:
        exiting.cancel()
        await asyncio.gather(exiting, return_exceptions=True)
    log.note(f"{stop.asked.result()}: process {process.pid} is asked to quit")
    rung = await process.quit(config.patience)
    killed = rung is Rung.KILLED or stop.repeated
    log.note(f"process {process.pid} {'had to be killed' if killed else 'has ended'}")
    return SIGNAL_STATUS + signal.SIGKILL if killed else 0


def _properties(process: WrappedProcess, ready: Ready) -> dict[str, Any]:
    assert process.ready_at is not None
    fields = dict(ready.fields)
    return {
        "pid": int(fields.pop("pid", process.pid)),
        "process_group": process.pid,
        "sockets": [
            {
                "name": socket.name,
                "address": socket.address,
                "protocol": socket.protocol,
                "concurrency": socket.concurrency,
            }
            for socket in ready.sockets
        ],
        "fields": fields,
        "seconds": round(process.ready_at - process.started_at, 3),
    }


def _status_of(ending: Ending) -> int:
    if ending.status is not None:
        return ending.status
    return SIGNAL_STATUS + ending.signal if ending.signal is not None else 1


@contextmanager
def _folder_for_sockets() -> Iterator[Path]:
    """Make the folder that wrappers know as ``socket_dir``, and those of the original as a subfolder."""
    folder = Path(tempfile.mkdtemp(prefix="coachman-"))
    try:
        sockets = folder / "backends"
        sockets.mkdir(mode=0o700)
        yield sockets
    finally:
        # An application may have left something behind that we may not remove.
        shutil.rmtree(folder, ignore_errors=True)
