"""`coachman restart`."""

from __future__ import annotations

import sys
from typing import Any

import click

from coachman.cli.supervisors import chosen_supervisor
from coachman.cli.target import target_from, with_target
from coachman.protocol.control_socket import RESTART, RESTARTED, RestartsResult
from coachman.protocol.text import safe


@click.command(short_help="Restart applications without losing a request.")
@click.option("--wait", is_flag=True, help="End when the restart does: with 0 if the new code serves.")
@with_target
def restart(wait: bool, **target: Any) -> None:
    """Restart applications without losing a request: new workers with new code replace the old, one by one.

    With --wait: where somebody asks for another restart meanwhile, that one takes the place of this one,
    and is waited for.

    Exit status 0: it has begun, or with --wait the new generation serves; 1: it failed (without --wait: the
    configuration cannot be used), and the workers of before serve on; 3: no supervisor; 4: several; 5: no
    answer.
    """
    meant = target_from(target)
    with chosen_supervisor(meant) as supervisor:
        result = supervisor.ask(
            RESTARTED if wait else RESTART,
            meant.app,
            result=RestartsResult,
            timeout=None if wait else 10.0,  # a start may take any time; its own limit ends it
        )
    for name, restart in result.restarts.items():
        took = "" if restart.took is None else f" after {restart.took:.2f} s"
        reason = f": {restart.reason}" if restart.reason else ""
        instead = f" (in place of {restart.instead_of}, which it superseded)" if restart.instead_of else ""
        print(safe(f"{name}: generation {restart.generation}{instead}, {restart.outcome}{took}{reason}"))
    if result.any_failed or (wait and not result.all_done):
        sys.exit(1)
