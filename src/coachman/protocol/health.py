"""Whether requests should be sent here: what ``/readyz`` answers."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from coachman.protocol.status import Progress


def readiness(state: str, progress: Sequence[Progress], application: str = "") -> tuple[int, str]:
    """Return the status and a line that gives the reason.

    `state` is that of `SupervisorStatus`; `application` is the name, as it stands in a path, of the one that
    is asked about; "": all of them.
    """
    asked = [each for each in progress if not application or each.name == unquote(application)]
    if not asked:
        return 404, f"there is no application {unquote(application)!r}"
    if state == "stopping":
        return 503, "the supervisor is stopping"
    unready = [_why_not(each) for each in asked if not each.ready]
    return (503, "; ".join(unready)) if unready else (200, "ready")


def _why_not(application: Progress) -> str:
    problem = " ".join(application.problem.split())
    return f"{application.name} has no worker that is ready" + (f": {problem}" if problem else "")
