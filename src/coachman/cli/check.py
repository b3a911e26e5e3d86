"""`coachman check`, as the command line's library sees it: for help, mistakes and completion."""

from __future__ import annotations

import sys

import click

from coachman.cli.check_arguments import DEFAULT_TIMEOUT, CheckArguments
from coachman.cli.checking import run_check
from coachman.cli.seconds import Seconds


@click.command(short_help="Start APP once, serve nothing, and report how that went.")
@click.argument("application", metavar="[APP]", default=".")
@click.option("--html", metavar="FILE", help="Write the report to this file as well, as an HTML page.")
@click.option("--json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--timeout",
    type=Seconds(more_than_least=True),
    metavar="SECONDS",
    default=DEFAULT_TIMEOUT,
    show_default=True,
    help="How long the start may take.",
)
def check(application: str, html: str | None, json: bool, timeout: float) -> None:
    """Start APP once, serve nothing, and report: the steps with their times, and the slowest imports.

    APP is what it is for `coachman serve`. Exit status 0: it starts; 1: it does not, and the report says why
    and what to try.
    """
    sys.exit(run_check(CheckArguments(application, html or None, json, timeout)))
