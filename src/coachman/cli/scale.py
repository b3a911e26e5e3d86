"""`coachman scale`."""

from __future__ import annotations

from typing import Any

import click

from coachman.cli.supervisors import chosen_supervisor
from coachman.cli.target import target_from, with_target
from coachman.protocol.control_socket import SCALE


# -1 is a change, not an option.
@click.command(
    context_settings={"ignore_unknown_options": True}, short_help="Change how many workers there are."
)
@click.argument("change", metavar="N|LEAST-MOST|+N|-N", type=click.UNPROCESSED)
@with_target
def scale(change: str, **target: Any) -> None:
    """Change how many workers there are, until the supervisor ends.

    Exit status 0: done; 1: refused; 3: no supervisor; 4: several; 5: no answer.
    """
    meant = target_from(target)
    with chosen_supervisor(meant) as supervisor:
        counts = supervisor.ask(SCALE, meant.app, change, result=dict[str, str])
    for name, count in counts.items():
        print(f"{name}: {count}")
