"""The options by which a command chooses a supervisor and an application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from coachman.cli.supervisors import Target

Command = TypeVar("Command", bound=Callable[..., Any])

_FOLDER = click.option(
    "--runtime-folder",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where the control sockets are. Default: $COACHMAN_RUNTIME_FOLDER, or the usual place of this user.",
)
_OPTIONS = (
    click.option("--app", metavar="NAME", default="", help="The application. Default: all of them."),
    click.option("--pid", metavar="PID", type=int, help="The supervisor, by its pid."),
    click.option(
        "--socket",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="The supervisor, by its control socket.",
    ),
    _FOLDER,
)


def with_target(command: Command) -> Command:
    """Give a command the options; it gets what was given as ``**target``, the fields of a `Target`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def with_folder(command: Command) -> Command:
    """Give a command the option for the runtime folder alone, as ``folder``."""
    return _FOLDER(command)


def target_from(given: dict[str, Any]) -> Target:
    """Return the target that the options name."""
    return Target(**given)
