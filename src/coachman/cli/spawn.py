"""`coachman spawn`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from coachman.cli.seconds import Seconds
from coachman.config.model import LogLevel
from coachman.errors import ApplicationError, CoachmanError
from coachman.supervisor.process.patience import Patience
from coachman.supervisor.process.spawn_request import SpawnConfig

STDOUT = 1


@click.command(short_help="Start one process of any application behind a wrapper.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A field to send to the wrapper, instead of ours of that name; may be given several times.",
)
@click.option(
    "--timeout",
    type=Seconds(more_than_least=True),
    default=90.0,
    show_default=True,
    metavar="S",
    help="Seconds that the start may take.",
)
@click.option(
    "--quit-wait",
    type=Seconds(),
    default=Patience().after_stdin,
    show_default=True,
    metavar="S",
    help="Seconds to wait after the application's stdin was closed, before SIGTERM.",
)
@click.option(
    "--term-wait",
    type=Seconds(),
    default=Patience().after_sigterm,
    show_default=True,
    metavar="S",
    help="Seconds to wait after SIGTERM, before SIGKILL.",
)
@click.option(
    "--log-level",
    type=click.Choice([level.value for level in LogLevel]),
    default=LogLevel.INFO.value,
    show_default=True,
    help="debug: tell also what the application sent that has no meaning here.",
)
def spawn(
    command: tuple[str, ...],
    options: tuple[str, ...],
    timeout: float,
    quit_wait: float,
    term_wait: float,
    log_level: str,
) -> None:
    """Start one application process: COMMAND is a wrapper that speaks the stdio channel.

    What the application says of itself is printed as one line of JSON; its log goes to standard error. It is
    kept until the end of input, Ctrl-C or SIGTERM, then asked to quit by closing its stdin.

    Exit status: 0 it ended when it was asked to; 1 the start failed; 2 wrong usage; 137 it had to be killed.
    An application that ends unasked gives its own status, or 128 + the signal that ended it.
    """
    # Not above: the options and the help of a command need none of what it runs.
    import asyncio

    from coachman.supervisor.failures.failure import StartFailed
    from coachman.supervisor.failures.failure_text import summary
    from coachman.supervisor.single_application import run_application

    config = SpawnConfig(
        command=command,
        options=dict(_parse_option(text) for text in options),
        start_timeout=timeout,
        log_level=LogLevel(log_level),
        patience=Patience(quit_wait, term_wait),
    )
    try:
        status = asyncio.run(run_application(config, _announce))
    except StartFailed as error:
        # The log, also on standard error, has just shown what the process printed.
        told = summary(error.failure, quote_printed=False, with_journey=True)
        raise ApplicationError(told) from error
    sys.exit(status)


def _parse_option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE", param_hint="--option")
    return key, value


def _announce(properties: dict[str, Any]) -> None:
    # Not through sys.stdout, which would keep what a closed pipe does not take, and complain at the exit.
    data = json.dumps(properties).encode() + b"\n"
    try:
        while data:
            data = data[os.write(STDOUT, data) :]
    except OSError as error:
        raise CoachmanError(f"cannot write to standard output: {error.strerror}") from error
