"""The command `coachman`."""

from __future__ import annotations

import sys
from importlib.metadata import version

import click

from coachman.cli.serve import serve
from coachman.cli.spawn import spawn
from coachman.errors import CoachmanError
from coachman.unix.standard_descriptors import keep_standard_descriptors


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("coachman"), prog_name="coachman")
def coachman() -> None:
    """Start applications, keep them running and carry their requests."""


coachman.add_command(serve)
coachman.add_command(spawn)


def main() -> None:
    """Run the command line. Exit status 0: done; 1: it failed, and stderr says why; 2: wrong usage."""
    keep_standard_descriptors()  # started without them, a socket would get the number, and then the log
    try:
        coachman()
    except CoachmanError as error:
        click.echo(f"coachman: {error}", err=True)
        sys.exit(1)
