"""What the supervisor process runs: it listens, keeps the pool, and stops when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack

from coachman.config import ServeConfig
from coachman.supervisor.log.log import Log
from coachman.supervisor.pool import Pool
from coachman.supervisor.process.spawner import Account
from coachman.supervisor.strays import Strays
from coachman.unix.adoption import become_subreaper
from coachman.unix.identity import find_identity
from coachman.unix.listeners import Listener
from coachman.unix.signals import signal_name

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(config: ServeConfig) -> None:
    """Serve the application until SIGINT or SIGTERM; a second one gives up what is in hand.

    Raises `ConfigurationError` where an address or the log file cannot be used, `StartFailed` where the first
    worker does not become ready. Whatever happens, no process and no socket file is left when it returns.
    """
    with ExitStack() as on_end:
        # Workers that the preloader forks are to be children of this process, as is what they leave behind.
        become_subreaper()
        settings = config.process
        identity = find_identity(settings.user, settings.group)
        listeners = []
        for address in config.addresses:
            listeners.append(listener := Listener.bind(address))
            on_end.callback(listener.close)
        # Before the log, so that it is undone after it: a rotation must not kill a supervisor that is ending.
        on_end.callback(asyncio.get_running_loop().remove_signal_handler, signal.SIGUSR1)
        log = Log(config.log_file, config.log_format)
        on_end.callback(log.close)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, log.reopen)
        account = Account(identity, settings.umask)
        pool = Pool(config, account, listeners, log)
        strays = Strays(pool.pids, log)
        on_end.callback(strays.close)
        stop = StopSignals(pool, log)
        on_end.callback(stop.close)

        log.announce(
            f"starting {config.application}: {_plural(config.processes, 'process')} of "
            f"{_plural(config.threads, 'thread')}",
        )
        if os.geteuid() == 0 and identity is None:
            log.note("the application runs as root; --user NAME runs it with less power")
        starting = asyncio.create_task(pool.start())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                starting.result()
                for listener in listeners:
                    log.announce(f"listening at {listener.address.url}")
                await stopped
        finally:
            stopped.cancel()
            starting.cancel()
            await asyncio.wait([starting])
            await pool.stop()
            strays.end()
        log.announce("stopped")


class StopSignals:
    """Tells that the supervisor was asked to stop, and kills the workers when it is asked again."""

    def __init__(self, pool: Pool, log: Log) -> None:
        self._pool = pool
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
            self._pool.kill()
        else:
            self._log.note(f"{signal_name(number)}: stopping")
            self._asked.set()


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"
