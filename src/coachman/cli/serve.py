"""`coachman serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coachman.cli.loading import loaded_from, with_configuration
from coachman.errors import ApplicationError


@click.command(short_help="Serve APP, or the applications of coachman.toml.")
@with_configuration
def serve(application: str | None, config_file: Path | None, **given: Any) -> None:
    """Serve APP, or the applications of coachman.toml, until Ctrl-C or SIGTERM.

    APP is MODULE:ATTRIBUTE, a file, or a folder with a passenger_wsgi.py or wsgi.py in it; the attribute is
    "application" where none is named. Without APP and without a file, the current folder is served.
    """
    loaded = loaded_from(application, config_file, given)
    config = loaded.config
    # Not above: neither the help nor a wrong setting has any use for what is run here.
    import asyncio

    from coachman.supervisor.failures.failure import StartFailed
    from coachman.supervisor.failures.failure_text import summary
    from coachman.supervisor.supervisor import serve as serve_until_stopped

    try:
        asyncio.run(serve_until_stopped(config, loaded.read_again))
    except StartFailed as error:
        # On standard output the log has just shown what the process printed; a file has to be looked for.
        quote = config.log_file is not None
        raise ApplicationError(summary(error.failure, quote_printed=quote)) from error
