"""A trial as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator

from coachman.supervisor.durations import duration
from coachman.supervisor.failures import page
from coachman.supervisor.failures.failure_page import failure_page
from coachman.supervisor.trial.trial import Trial


def trial_page(trial: Trial) -> str:
    """Return the page of the failure, or of the start that succeeded."""
    if trial.failure is not None:
        return failure_page(trial.failure)
    return page.document(f"{trial.application} starts", _parts(trial), failed=False)


def _parts(trial: Trial) -> Iterator[str]:
    yield page.heading(
        "Started once, for trial", f"Ready after {duration(trial.journey.seconds)}", trial.application
    )
    yield page.journey("The journey", trial.journey, failed=False)
    if trial.imports:
        rows = [
            (p.name, duration(p.seconds), duration(p.self_seconds), str(p.modules)) for p in trial.imports
        ]
        yield page.table("The slowest imports", ("package", "with imports", "itself", "modules"), rows)
    if trial.printed:
        yield page.printed("What it printed", trial.printed)
