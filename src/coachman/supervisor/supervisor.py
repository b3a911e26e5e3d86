"""What the supervisor process runs: it serves its applications, and stops when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from coachman.config.model import SupervisorConfig
from coachman.counted import counted
from coachman.supervisor.activation import adopt_passed_sockets
from coachman.supervisor.application.application import Application
from coachman.supervisor.control.requests import Requests
from coachman.supervisor.control.server import ControlServer
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.live_configuration import LiveConfiguration
from coachman.supervisor.log.log import Log
from coachman.supervisor.metrics_server import MetricsServer
from coachman.supervisor.operations import Operations
from coachman.supervisor.overview import Overview
from coachman.supervisor.service_manager import ServiceManager, take_service_environment
from coachman.supervisor.signals import Signals, ignore_until_started
from coachman.supervisor.strays import Strays
from coachman.supervisor.undertaker.undertaker import Undertaker
from coachman.unix.adoption import become_subreaper
from coachman.unix.allocation import keep_freed_memory
from coachman.unix.pid_file import pid_file


async def serve(config: SupervisorConfig, read: Callable[[], SupervisorConfig]) -> None:
    """Serve the applications until it is asked to stop, by a signal or on the control socket.

    `read` returns what is configured by now, or raises `ConfigurationError`: restarts go by it.

    Raises `ConfigurationError` where an address, the log file, the pid file or the runtime folder cannot be
    used, `StartFailed` where the only application's first worker does not become ready. Whatever happens, no
    process and no socket file is left when it returns.
    """
    async with AsyncExitStack() as on_end:
        ignore_until_started()
        service = take_service_environment()
        # Workers that the preloader forks are to be children of this process, as is what they leave behind.
        become_subreaper()
        keep_freed_memory()  # of what passes through the log
        log = Log(config.log_file, config.log_format, config.log_level)
        on_end.callback(log.close)
        if config.pid_file is not None:
            on_end.enter_context(pid_file(config.pid_file))
        applications: list[Application] = []
        overview = Overview(applications, log)
        manager = ServiceManager(service, config.applications, overview.progress, log.note)
        on_end.callback(manager.close)
        live = LiveConfiguration(config, read, log.note)
        undertaker: Undertaker | None = None

        def on_change() -> None:
            manager.configured([application.config for application in applications])
            manager.refresh()
            if undertaker is not None:
                undertaker.look_after([application.estate for application in applications])

        passed = adopt_passed_sockets(service.descriptors, config.applications)
        for each in config.applications:
            about = log if len(config.applications) == 1 else log.about(each.title)
            application = Application(
                each, about, passed=passed.get(each.title, ()), reread=live.of, on_change=on_change
            )
            applications.append(application)
            on_end.callback(application.close)
        if config.metrics is not None:
            metrics = MetricsServer(config.metrics, overview, log.note)
            on_end.push_async_callback(metrics.close)
            log.announce(f"metrics at {metrics.url}/metrics")
        undertaker = Undertaker([application.estate for application in applications], log.note)
        on_end.callback(undertaker.close)
        strays = Strays(lambda: _pids([*applications, undertaker]), log)
        on_end.callback(strays.close)
        operations = Operations(applications, overview, log)
        names = [application.name for application in applications]
        control = ControlServer(config.runtime_folder, names, Requests(operations, log), log)
        on_end.push_async_callback(control.close)
        signals = Signals(operations, log, control.look_after)
        on_end.callback(signals.close)

        try:
            await _run(operations, overview, log)
        except StartFailed as error:
            manager.failed(error.failure.headline)
            raise
        finally:
            overview.state = "stopping"
            manager.stopping()
            await asyncio.gather(*(application.stop() for application in applications))
            strays.end()
        log.announce("stopped")


async def _run(operations: Operations, overview: Overview, log: Log) -> None:
    """Start the applications; return when they are to be stopped. Raise where the only one cannot start."""
    for application in operations.applications:
        workers, threads = application.config.scaling.processes, application.config.worker.threads
        log.announce(
            f"starting {application.config.location}: {counted(str(workers), 'process')} of "
            f"{counted(threads, 'thread')}",
        )
    starting = asyncio.create_task(_start(operations.applications))
    stopping = asyncio.create_task(operations.stopping.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            starting.result()
            overview.state = "serving"
            await stopping
    finally:
        stopping.cancel()
        starting.cancel()
        await asyncio.wait([starting])


async def _start(applications: Sequence[Application]) -> None:
    """Start all of them. A single one that cannot be started raises; one of several is tried again."""
    several = len(applications) > 1
    await asyncio.gather(*(application.start(keep_trying=several) for application in applications))


def _pids(owners: Sequence[Application | Undertaker]) -> set[int] | None:
    """Return every process that somebody looks after; None while there may be one more."""
    found: set[int] = set()
    for owner in owners:
        pids = owner.pids()
        if pids is None:
            return None
        found |= pids
    return found
