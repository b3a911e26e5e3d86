"""`coachman serve`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from coachman.cli.options import values_given, with_options
from coachman.config.application_location import locate_application
from coachman.config.building import application_config, supervisor_config
from coachman.config.model import SupervisorConfig
from coachman.config.settings import APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.errors import ApplicationError
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.failures.failure_text import summary
from coachman.supervisor.supervisor import serve as serve_until_stopped


def configuration(application: str, **given: Any) -> SupervisorConfig:
    """Return the configuration from what `serve` was given."""
    location = locate_application(application, Path.cwd())
    return supervisor_config(
        (application_config(location, values_given(APPLICATION_SETTINGS, given)),),
        values_given(SUPERVISOR_SETTINGS, given),
    )


@click.command()
@click.argument("application", metavar="[APP]", default=".")
@with_options(APPLICATION_SETTINGS)
@with_options(SUPERVISOR_SETTINGS)
def serve(application: str, **given: Any) -> None:
    """Serve APP until Ctrl-C or SIGTERM.

    APP is MODULE:ATTRIBUTE, a file, or a folder with a passenger_wsgi.py or wsgi.py in it; the attribute is
    "application" where none is named. Without APP, the current folder is served.
    """
    config = configuration(application, **given)
    try:
        asyncio.run(serve_until_stopped(config))
    except StartFailed as error:
        # On standard output the log has just shown what the process printed; a file has to be looked for.
        quote = config.log_file is not None
        raise ApplicationError(summary(error.failure, quote_printed=quote)) from error
