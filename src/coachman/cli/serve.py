"""`coachman serve`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from coachman.config import ServeConfig, SpawnMethod, locate_application, parse_address
from coachman.errors import ApplicationError
from coachman.supervisor.failure import StartFailed
from coachman.supervisor.supervisor import serve as serve_until_stopped

DEFAULT_BIND = "127.0.0.1:8000"


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
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the log to this file instead of writing it to standard output.",
)
def serve(
    application: str,
    binds: tuple[str, ...],
    processes: int | None,
    threads: int,
    spawn_method: str,
    max_preloader_idle_time: float,
    log_file: Path | None,
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
        log_file=log_file,
    )
    try:
        asyncio.run(serve_until_stopped(config))
    except StartFailed as error:
        # On standard output the log has just shown what the process printed; a file has to be looked for.
        quotation = error.failure.quotation if log_file is not None else ""
        raise ApplicationError(f"{error}{quotation}") from error
