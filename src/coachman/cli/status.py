"""`coachman status`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec

from coachman.cli.seconds import Seconds
from coachman.cli.status_view import Snapshot, is_well
from coachman.cli.supervisors import Supervisor, chosen_supervisor
from coachman.cli.target import target_from, with_target
from coachman.config.nearest import no_such_application
from coachman.errors import CoachmanError
from coachman.protocol.status import SupervisorStatus
from coachman.protocol.text import sendable


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C or the supervisor's end.")
@click.option(
    "--interval",
    type=Seconds(0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch, how often.",
)
@with_target
def status(as_json: bool, watch: bool, interval: float, **target: Any) -> None:
    """Show applications, generations and workers.

    Exit status 0: all serve as they should; 6: something does not, and the table says what; 1: there is no
    such application; 3: no supervisor; 4: several; 5: no answer.
    """
    if watch and as_json:
        raise click.UsageError("--watch draws a table; ask again for further JSON")
    meant = target_from(target)
    with chosen_supervisor(meant) as supervisor:
        if watch:
            from coachman.cli.status_table import watch_table

            watch_table(lambda: _snapshot(supervisor, meant.app), interval)
            return
        snapshot = _snapshot(supervisor, meant.app)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(snapshot.status), indent=2) + b"\n")
    else:
        from coachman.cli.status_table import print_table

        print_table(snapshot)
    if not is_well(snapshot.status):
        sys.exit(6)


def _snapshot(supervisor: Supervisor, application: str) -> Snapshot:
    found = supervisor.status()
    return Snapshot(_of_application(found, application), time.monotonic())


def _of_application(status: SupervisorStatus, name: str) -> SupervisorStatus:
    chosen = tuple(one for one in status.applications if sendable(name) in ("", one.name))
    if not chosen:
        raise CoachmanError(no_such_application(name, [one.name for one in status.applications]))
    return msgspec.structs.replace(status, applications=chosen)
