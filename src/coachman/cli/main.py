"""The command `coachman`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

import click

from coachman.cli.serve import serve
from coachman.errors import CoachmanError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("coachman"), prog_name="coachman")
def coachman() -> None:
    """Start applications, keep them running and carry their requests."""


coachman.add_command(serve)


def main() -> None:
    """Run the command line. Exit status 0: done; 1: it failed, and stderr says why; 2: wrong usage."""
    keep_standard_descriptors()
    try:
        coachman()
    except CoachmanError as error:
        click.echo(f"coachman: {error}", err=True)
        sys.exit(1)


def keep_standard_descriptors() -> None:
    """Put the null device where 0, 1 or 2 is closed: a socket would get the number, and then the log."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        pass
    os.close(null)
