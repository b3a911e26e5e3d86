"""The options of the commands that take a whole configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from coachman.cli.options import values_given, with_options
from coachman.config.loading import Given, Loaded, load
from coachman.config.settings import APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.location import current_folder

Command = TypeVar("Command", bound=Callable[..., Any])


def with_configuration(command: Command) -> Command:
    """Give a command APP, ``--config`` and an option for every setting; `loaded_from` makes use of them."""
    decorators = (
        click.argument("application", metavar="[APP]", required=False),
        click.option(
            "--config",
            "config_file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Read this file. Default: without APP, the coachman.toml of the current folder, or "
            "[tool.coachman] in its pyproject.toml.",
        ),
        with_options(APPLICATION_SETTINGS),
        with_options(SUPERVISOR_SETTINGS),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def loaded_from(
    application: str | None,
    config_file: Path | None,
    given: dict[str, Any],
    environment: Mapping[str, str] = os.environ,
) -> Loaded:
    """Return the configuration; say on standard error what looks like a mistake in the environment."""
    options = values_given((*APPLICATION_SETTINGS, *SUPERVISOR_SETTINGS), given)
    folder = Path(current_folder())
    file = None if config_file is None else folder / config_file
    loaded = load(Given(options, application, file, environment, folder))
    for note in loaded.notes:
        click.echo(f"coachman: {note}", err=True)
    return loaded
