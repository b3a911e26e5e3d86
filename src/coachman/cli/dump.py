"""`coachman dump`."""

from __future__ import annotations

from typing import Any

import click

from coachman.cli.supervisors import chosen_supervisor
from coachman.cli.target import target_from, with_target
from coachman.protocol.control_socket import DUMP


@click.command(short_help="Print the stacks of all threads of workers.")
@click.argument("worker", metavar="[PID]", type=int, required=False)
@with_target
def dump(worker: int | None, **target: Any) -> None:
    """Print the stacks of all threads of one worker, or of every worker.

    Exit status 0: done; 1: there is no such worker; 3: no supervisor; 4: several; 5: no answer.
    """
    meant = target_from(target)
    with chosen_supervisor(meant) as supervisor:
        # Each worker has its own time to answer, and says so where it does not.
        stacks = supervisor.ask(
            DUMP, meant.app, "" if worker is None else str(worker), result=dict[int, str], timeout=60.0
        )
    for pid, text in stacks.items():
        print(f"Worker {pid}:\n")
        print(text.rstrip() or "It has said nothing.")
        print()
