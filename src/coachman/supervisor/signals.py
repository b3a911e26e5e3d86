"""The signals of the supervisor. `docs/signals.md` has the table for people."""

from __future__ import annotations

import asyncio
import signal
import termios
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from coachman.errors import ConfigurationError
from coachman.supervisor.log.log import Log
from coachman.supervisor.operations import Operations
from coachman.unix.signals import signal_name

Act: TypeAlias = Callable[[Operations, str], object]
"""Does what a signal stands for; it is given the signal's name as the cause."""


def _restart(operations: Operations, cause: str) -> None:
    operations.begin_restart("", cause)


def _nothing_else(_operations: Operations, _cause: str) -> None:
    """Only what is done for every signal: unhandled, this one would end the process."""


ACTIONS: Final[Mapping[signal.Signals, Act]] = {
    signal.SIGTERM: Operations.stop,
    signal.SIGINT: Operations.stop,
    signal.SIGQUIT: Operations.stop_now,
    signal.SIGHUP: _restart,
    signal.SIGUSR1: lambda operations, _cause: operations.reopen_log(),
    signal.SIGUSR2: _nothing_else,
    signal.SIGTTIN: lambda operations, cause: operations.scale_each("+1", cause),
    signal.SIGTTOU: lambda operations, cause: operations.scale_each("-1", cause),
}
"""By signal. SIGWINCH, by which nginx and gunicorn drain their workers, is sent by every terminal that
changes its size: it is left to its default, which is nothing. SIGCHLD belongs to `Strays`."""


WITH_THE_START: Final = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""Those that ask for nothing that a supervisor which only begins would not do anyway."""


def ignore_until_started() -> None:
    """Let no signal that is meant for a serving supervisor end one that is about to serve."""
    for number in WITH_THE_START:
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """Does what each signal asks for, until it is closed; `after_each` is called behind every one."""

    def __init__(self, operations: Operations, log: Log, after_each: Callable[[], None]) -> None:
        self._operations = operations
        self._log = log
        self._after_each = after_each
        self._loop = asyncio.get_running_loop()
        for number in ACTIONS:
            self._loop.add_signal_handler(number, self._on_signal, number)
        if _terminal_stops_writers():
            # It would send SIGTTOU at each write from its background. Handled, that write is tried and
            # interrupted again, without an end; ignored, it goes through.
            self._loop.remove_signal_handler(signal.SIGTTOU)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def close(self) -> None:
        """Listen to signals no longer: one that comes now must not spoil the exit status."""
        for number in ACTIONS:
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: signal.Signals) -> None:
        try:
            ACTIONS[number](self._operations, signal_name(number))
        except ConfigurationError as error:
            self._log.note(f"{signal_name(number)}: {error}")
        self._after_each()


def _terminal_stops_writers() -> bool:
    """Return whether one of the standard descriptors is a terminal with `stty tostop`."""
    for fd in (0, 1, 2):
        try:
            local_modes = termios.tcgetattr(fd)[3]
        except (OSError, termios.error):  # no terminal
            continue
        if local_modes & termios.TOSTOP:
            return True
    return False
