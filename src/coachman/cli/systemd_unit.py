"""`coachman systemd-unit`."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from coachman.cli.loading import loaded_from
from coachman.cli.serve import serve
from coachman.cli.unit_text import Service, service_unit, socket_unit
from coachman.config.loading import ALL, FILE_VARIABLE
from coachman.config.settings import SUPERVISOR_SETTINGS
from coachman.location import current_folder

RUNTIME_FOLDER = "--runtime-folder"
VARIABLES = (
    FILE_VARIABLE,
    # Where the commands of this user look for supervisors says nothing about a service.
    *(each.variable for each in (*ALL, *SUPERVISOR_SETTINGS) if each.option != RUNTIME_FOLDER),
)


@click.command(
    context_settings={"ignore_unknown_options": True},
    short_help="Print a systemd unit that serves APP as `serve` would.",
)
@click.option(
    "--user", metavar="NAME", help="Run everything as this user. Default: whoever runs this command."
)
@click.option("--group", metavar="NAME", help="Run everything with this group. Default: the user's own.")
@click.option(
    "--socket", is_flag=True, help="Print the socket unit: systemd listens, and passes the sockets."
)
@click.option(
    "--notify-reload",
    is_flag=True,
    help="For systemd 253 and later: let `systemctl reload` wait until the new generation serves.",
)
@click.argument("arguments", metavar="[APP] [OPTIONS OF SERVE]", nargs=-1, type=click.UNPROCESSED)
def systemd_unit(
    user: str | None, group: str | None, socket: bool, notify_reload: bool, arguments: tuple[str, ...]
) -> None:
    """Print a systemd unit that serves APP as `coachman serve` does, started in the current folder.

    Takes the options of `coachman serve`, which are checked, and the COACHMAN_ variables of the environment.
    Nothing is installed: put the output into /etc/systemd/system.
    """
    made_by = shlex.join(["coachman", "systemd-unit", *sys.argv[2:]])
    given = serve.make_context("coachman serve", list(arguments)).params
    # With the variables that the unit takes along, and no others: the service will not have them.
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    config = loaded_from(given.pop("application"), given.pop("config_file"), given, variables).config
    if user is None and os.geteuid() != 0:
        user = getpass.getuser()
    service = Service(
        config=config,
        command=(str(_program()), "serve", *arguments),
        folder=Path(current_folder()),
        interpreter=[Path(sys.prefix), Path(os.path.realpath(sys.executable))],
        variables=variables,
        user=user,
        group=group,
    )
    if config.runtime_folder is None:
        # The usual one of a user is not there for a service.
        option = (RUNTIME_FOLDER, f"/run/coachman/{service.name}")
        service = replace(service, command=(*service.command, *option))
    if socket:
        click.echo(socket_unit(service, made_by=made_by), nl=False)
    else:
        click.echo(service_unit(service, made_by=made_by, notify_reload=notify_reload), nl=False)


def _program() -> Path:
    """Return the command that this is, by its path: that of its virtual environment."""
    found = Path(sys.argv[0]).absolute()
    return found if found.name == "coachman" else Path(sys.executable).with_name("coachman")
