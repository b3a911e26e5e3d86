"""`coachman stop`."""

from __future__ import annotations

import os
import select
from typing import Any, Final

import click

from coachman.cli.seconds import Seconds
from coachman.cli.supervisors import NoAnswer, chosen_supervisor
from coachman.cli.target import target_from, with_target
from coachman.counted import counted
from coachman.errors import ConfigurationError
from coachman.protocol.control_socket import GRACEFULLY, NOW, STOP

TIMEOUT: Final = 120.0


@click.command(short_help="Stop a supervisor, and wait until it has ended.")
@click.option("--now", is_flag=True, help="Give up the requests that are in hand.")
@click.option(
    "--timeout",
    type=Seconds(),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the end.",
)
@with_target
def stop(now: bool, timeout: float, **target: Any) -> None:
    """Stop a supervisor with all of its applications, and wait until it has ended.

    Exit status 0: it has ended; 3: no supervisor; 4: several; 5: it has not ended in time.
    """
    meant = target_from(target)
    if meant.app:
        raise ConfigurationError("a supervisor stops with all of its applications: leave --app out")
    with chosen_supervisor(meant) as supervisor:
        # While it has the connection open, the number is its own.
        try:
            process = os.pidfd_open(supervisor.name.pid)
        except OSError as error:
            raise NoAnswer(f"cannot see process {supervisor.name.pid}: {error.strerror}") from error
        try:
            supervisor.ask(STOP, NOW if now else GRACEFULLY, result=type(None))
            ended, _, _ = select.select([process], [], [], timeout)
        finally:
            os.close(process)
    if not ended:
        raise NoAnswer(f"supervisor {supervisor.name.pid} has not ended within {counted(timeout, 'second')}")
