"""`coachman serve`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from coachman.config import (
    LogFormat,
    ProcessSettings,
    ServeConfig,
    SpawnMethod,
    locate_application,
    parse_address,
)
from coachman.errors import ApplicationError
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.failures.failure_text import summary
from coachman.supervisor.supervisor import serve as serve_until_stopped
from coachman.unix.limits import parse_limit

DEFAULT_BIND = "127.0.0.1:8000"


def parse_umask(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """Read an octal umask."""
    if text is None:
        return None
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise click.BadParameter(f"{text!r} is not an octal number from 000 to 777")
    return value


def parse_functions(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    """Check MODULE:FUNCTION names; whether they exist is found out by the process that loads them."""
    for text in texts:
        module, _, function = text.partition(":")
        parts = [*module.split("."), *function.split(".")]
        if not all(part.isidentifier() for part in parts):
            raise click.BadParameter(f"{text!r} is not of the form MODULE:FUNCTION")
    return texts


def parse_variables(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    """Read NAME=VALUE pairs."""
    variables = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE")
        variables[name] = value
    return variables


@click.command()
@click.argument("application", metavar="[APP]", default=".")
@click.option(
    "--bind",
    "binds",
    multiple=True,
    metavar="HOST:PORT|unix:PATH",
    help=f"Where to listen; may be given several times. Default: {DEFAULT_BIND}.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Worker processes. Default: one for each core that this process may use.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=1,
    show_default=True,
    help="Requests that one process handles at the same time.",
)
@click.option(
    "--spawn-method",
    type=click.Choice([method.value for method in SpawnMethod]),
    default=SpawnMethod.AUTO.value,
    show_default=True,
    help="preload: load the application once and fork the workers; direct: load it in each worker; "
    "auto: preload, unless loading it leaves a thread alive.",
)
@click.option(
    "--max-preloader-idle-time",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=0.0,
    help="Stop a preloader that has forked nothing for so long, to save its memory. Default: never.",
)
@click.option(
    "--before-fork",
    multiple=True,
    metavar="MODULE:FUNCTION",
    callback=parse_functions,
    help="Call this function of the application in the preloader before each fork; as coachman.hooks does.",
)
@click.option(
    "--after-fork-in-worker",
    multiple=True,
    metavar="MODULE:FUNCTION",
    callback=parse_functions,
    help="Call this function of the application in each worker before it takes requests, forked or not.",
)
@click.option("--user", metavar="NAME", help="Run the application as this user; for root.")
@click.option("--group", metavar="NAME", help="Run the application with this group; for root.")
@click.option("--umask", metavar="OCTAL", callback=parse_umask, help="The application's umask: 027, say.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=SOFT[:HARD]",
    help="A resource limit of the application's processes: nofile=4096, say. May be given several times.",
)
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_variables,
    help="An environment variable for the application; may be given several times.",
)
@click.option(
    "--environment",
    default="production",
    show_default=True,
    help="What kind of place this is, for the application to know: COACHMAN_ENVIRONMENT.",
)
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the log to this file instead of writing it to standard output.",
)
@click.option(
    "--log-format",
    type=click.Choice([log_format.value for log_format in LogFormat]),
    default=LogFormat.TEXT.value,
    show_default=True,
    help="text: each line with its process and pipe; json: an object a line; raw: what was printed.",
)
def serve(
    application: str,
    binds: tuple[str, ...],
    processes: int | None,
    threads: int,
    spawn_method: str,
    max_preloader_idle_time: float,
    before_fork: tuple[str, ...],
    after_fork_in_worker: tuple[str, ...],
    user: str | None,
    group: str | None,
    umask: int | None,
    limits: tuple[str, ...],
    variables: dict[str, str],
    environment: str,
    log_file: Path | None,
    log_format: str,
) -> None:
    """Serve APP until Ctrl-C or SIGTERM.

    APP is MODULE:ATTRIBUTE, a file, or a folder with a passenger_wsgi.py or wsgi.py in it; the attribute is
    "application" where none is named. Without APP, the current folder is served.
    """
    config = ServeConfig(
        application=locate_application(application, Path.cwd()),
        addresses=tuple(parse_address(text) for text in binds or (DEFAULT_BIND,)),
        processes=processes or len(os.sched_getaffinity(0)),
        threads=threads,
        spawn_method=SpawnMethod(spawn_method),
        max_preloader_idle_time=max_preloader_idle_time,
        before_fork=before_fork,
        after_fork_in_worker=after_fork_in_worker,
        environment=environment,
        process=ProcessSettings(
            user=user,
            group=group,
            umask=umask,
            limits=tuple(str(parse_limit(text)) for text in limits),
            variables=variables,
        ),
        log_file=log_file,
        log_format=LogFormat(log_format),
    )
    try:
        asyncio.run(serve_until_stopped(config))
    except StartFailed as error:
        # On standard output the log has just shown what the process printed; a file has to be looked for.
        raise ApplicationError(summary(error.failure, quote_printed=log_file is not None)) from error
