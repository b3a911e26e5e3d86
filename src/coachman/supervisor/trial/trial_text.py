"""A trial that succeeded as text for a terminal; one that failed is a failure like any other."""

from __future__ import annotations

from coachman.supervisor.durations import duration
from coachman.supervisor.failures.wording import attributed, indented, journey_lines
from coachman.supervisor.trial.trial import Trial

PACKAGES = 10
"""How many of the slowest packages are shown."""


def trial_text(trial: Trial) -> str:
    """Return how long each step took, what the imports took, and what was printed."""
    parts = [
        f"{trial.application} starts: ready after {duration(trial.journey.seconds)}",
        *([] if trial.interface is None else ["", interface_line(trial.interface)]),
        "",
        "The journey",
        indented(journey_lines(trial.journey, failed=False)),
    ]
    if trial.imports:
        parts += ["", "The slowest imports", indented(import_lines(trial))]
    if trial.printed:
        parts += ["", "What it printed", indented(map(attributed, trial.printed))]
    return "\n".join(parts)


def interface_line(interface: tuple[str, str]) -> str:
    """Return what the application is called by, and how that is known."""
    name, reason = interface
    return f"It is served as {name.upper()}: {reason}"


def import_lines(trial: Trial) -> list[str]:
    """Return a line for each of the slowest packages."""
    lines = [f"{'package':<24}{'with imports':>14}{'itself':>12}{'modules':>9}"]
    for package in trial.imports[:PACKAGES]:
        whole, own = duration(package.seconds), duration(package.self_seconds)
        lines.append(f"{package.name:<24}{whole:>14}{own:>12}{package.modules:>9}")
    return lines
