"""What the supervisor process runs: it serves its applications, and stops when it is told to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from coachman.config.model import SupervisorConfig
from coachman.supervisor.activation import adopt_passed_sockets
from coachman.supervisor.application.application import Application
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.log.log import Log
from coachman.supervisor.metrics_server import MetricsServer
from coachman.supervisor.overview import Overview
from coachman.supervisor.service_manager import ServiceManager, take_service_environment
from coachman.supervisor.strays import Strays
from coachman.supervisor.undertaker.undertaker import Undertaker
from coachman.unix.adoption import become_subreaper
from coachman.unix.allocation import keep_freed_memory
from coachman.unix.pid_file import pid_file
from coachman.unix.signals import signal_name

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(config: SupervisorConfig) -> None:
    """Serve the applications until SIGINT or SIGTERM; a second one gives up what is in hand.

    Raises `ConfigurationError` where an address, the log file or the pid file cannot be used, `StartFailed`
    where the first worker of an application does not become ready. Whatever happens, no process and no socket
    file is left when it returns.
    """
    async with AsyncExitStack() as on_end:
        service = take_service_environment()
        # Workers that the preloader forks are to be children of this process, as is what they leave behind.
        become_subreaper()
        keep_freed_memory()  # of what passes through the log
        # Before the log, so that it is undone after it: a rotation must not kill a supervisor that is ending.
        on_end.callback(asyncio.get_running_loop().remove_signal_handler, signal.SIGUSR1)
        log = Log(config.log_file, config.log_format, config.log_level)
        on_end.callback(log.close)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, log.reopen)
        if config.pid_file is not None:
            on_end.enter_context(pid_file(config.pid_file))
        applications: list[Application] = []
        overview = Overview(applications, log)
        manager = ServiceManager(service, config.applications, overview.progress, log.note)
        on_end.callback(manager.close)
        passed = adopt_passed_sockets(service.descriptors, config.applications)
        for each in config.applications:
            application = Application(each, log, passed=passed.get(each.title, ()), on_change=manager.refresh)
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
        stop = StopSignals(applications, log)
        on_end.callback(stop.close)
        on_end.enter_context(restarting_upon_hangup(applications))

        for application in applications:
            workers, threads = application.config.scaling.processes, application.config.worker.threads
            log.announce(
                f"starting {application.config.location}: {_plural(str(workers), 'process')} of "
                f"{_plural(str(threads), 'thread')}",
            )
        starting = asyncio.create_task(_start(applications))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                starting.result()
                overview.state = "serving"
                await stopped
        except StartFailed as error:
            manager.failed(error.failure.headline)
            raise
        finally:
            overview.state = "stopping"
            manager.stopping()
            stopped.cancel()
            starting.cancel()
            await asyncio.wait([starting])
            await asyncio.gather(*(application.stop() for application in applications))
            strays.end()
        log.announce("stopped")


async def _start(applications: Sequence[Application]) -> None:
    """Start all of them. A single one that cannot be started raises; one of several is tried again."""
    several = len(applications) > 1
    await asyncio.gather(*(application.start(keep_trying=several) for application in applications))


@contextmanager
def restarting_upon_hangup(applications: Sequence[Application]) -> Iterator[None]:
    """Let SIGHUP restart every application, as it does with gunicorn and nginx."""
    loop = asyncio.get_running_loop()

    def restart() -> None:
        for application in applications:
            application.begin_restart("SIGHUP")

    loop.add_signal_handler(signal.SIGHUP, restart)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a server that is ending has nothing to restart


class StopSignals:
    """Tells that the supervisor was asked to stop, and kills the workers when it is asked again."""

    def __init__(self, applications: Sequence[Application], log: Log) -> None:
        self._applications = applications
        self._log = log
        self._asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._asked.wait()

    def close(self) -> None:
        """Listen to signals no longer: another Ctrl-C now must not spoil the exit status."""
        for number in STOP_SIGNALS:
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int) -> None:
        if self._asked.is_set():
            self._log.note(f"{signal_name(number)} again: what is in hand is given up")
            for application in self._applications:
                application.kill()
        else:
            self._log.note(f"{signal_name(number)}: stopping")
            self._asked.set()


def _pids(owners: Sequence[Application | Undertaker]) -> set[int] | None:
    """Return every process that somebody looks after; None while there may be one more."""
    found: set[int] = set()
    for owner in owners:
        pids = owner.pids()
        if pids is None:
            return None
        found |= pids
    return found


def _plural(count: str, noun: str) -> str:
    return f"{count} {noun}" if count == "1" else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"
