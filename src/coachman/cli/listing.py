"""`coachman list`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from coachman.cli.amounts import span
from coachman.cli.supervisors import NoAnswer, Refused, Target, running_supervisors
from coachman.cli.target import with_folder
from coachman.protocol.status import SupervisorStatus
from coachman.protocol.text import safe


@click.command("list", short_help="List the running supervisors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@with_folder
def list_supervisors(as_json: bool, folder: Path | None) -> None:
    """List the supervisors that are running for this user, and remove what killed ones have left behind.

    Exit status 0: there is at least one; 3: there is none.
    """
    rows = []
    for supervisor in running_supervisors(Target(folder=folder)):
        try:
            rows.append(_row(supervisor.status()))
        except (NoAnswer, Refused) as error:
            rows.append({"pid": supervisor.name.pid, "state": "no answer", "problem": str(error)})
        finally:
            supervisor.close()
    if as_json:
        print(json.dumps(rows, indent=2))
    for row in rows if not as_json else ():
        print(_line(row))
    if not rows:
        if not as_json:
            print("coachman: no supervisor is running for this user", file=sys.stderr)
        sys.exit(3)


def _row(status: SupervisorStatus) -> dict[str, Any]:
    return {
        "pid": status.pid,
        "state": status.state,
        "age": max(0.0, time.time() - status.started_at),
        "applications": {
            application.name: {
                "ready": application.ready,
                "processes": application.processes,
                "addresses": application.addresses,
            }
            for application in status.applications
        },
    }


def _line(row: dict[str, Any]) -> str:
    words = [f"{row['pid']:<8}", f"{row['state']:<9}"]
    if "age" in row:
        words.append(f"{span(row['age']):>6}")
    for name, application in row.get("applications", {}).items():
        addresses = " ".join(application["addresses"])
        words.append(f"{name} ({application['ready']} of {application['processes']}, {addresses})")
    if "problem" in row:
        words.append(row["problem"])
    return safe("  ".join(words))
