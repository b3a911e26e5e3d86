"""What `coachman check` does."""

from __future__ import annotations

import os
import sys

from coachman.cli.check_arguments import CheckArguments
from coachman.errors import ConfigurationError
from coachman.location import Location, find_location, working_directory
from coachman.policy.environment import application_environment
from coachman.supervisor.trial.trial import Trial, try_start
from coachman.version import VERSION
from coachman.worker.trial import become_trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coachman.supervisor.failures.failure import StartFailure


def run_check(arguments: CheckArguments) -> int:
    """Start the application once and report; return the exit status.

    Raises `ConfigurationError` where there is nothing to start, or the page cannot be written.
    """
    location = find_location(arguments.application, working_directory())
    environment = _environment(location)
    trial = try_start(
        _request(location, arguments.timeout),
        application=str(location),
        folder=location.root,
        environment=environment,
        timeout=arguments.timeout,
        become=become_trial,
    )
    if trial.failure is not None and trial.failure.report is None:
        trial = _with_surroundings(trial, trial.failure, location, environment)
    if arguments.html is not None:
        _write_page(arguments.html, trial)
    _print(trial, as_json=arguments.json)
    return 0 if trial.failure is None else 1


def _request(location: Location, timeout: float) -> dict[str, str]:
    request = {
        "app_root": location.root,
        "app_type": "auto",
        "environment": "production",
        "startup_attribute": location.attribute,
        "start_timeout": f"{timeout:g}",
    }
    if location.file is not None:
        request["startup_file"] = location.file
    if location.module is not None:
        request["startup_module"] = location.module
    return request


def _environment(location: Location) -> dict[str, str]:
    """Return what the application finds under `coachman serve`."""
    told = {
        "VERSION": VERSION,
        "APP_ROOT": location.root,
        "ENVIRONMENT": "production",
        "GENERATION": "1",
        "SPAWN_METHOD": "direct",
    }
    return application_environment(os.environ, account={}, configured={}, told=told)


def _with_surroundings(
    trial: Trial, failure: StartFailure, location: Location, environment: dict[str, str]
) -> Trial:
    """Return the trial with what the process was started with: it has ended without telling of that."""
    from dataclasses import replace

    from coachman.supervisor.failures.failure import FailureKind
    from coachman.worker.report import surroundings

    if failure.kind is FailureKind.REFUSED:  # it has told, and could not tell more
        return trial
    path = [location.root, *(sys.path if sys.flags.safe_path else sys.path[1:])]
    report = surroundings(root=location.root, path=path, environment=environment)
    return Trial(**{**vars(trial), "failure": replace(failure, report=report)})


def _write_page(file: str, trial: Trial) -> None:
    from coachman.supervisor.trial.trial_page import trial_page

    try:
        with open(file, "w", encoding="utf-8") as page:
            page.write(trial_page(trial))
    except OSError as error:
        raise ConfigurationError(f"cannot write the page {file}: {error.strerror}") from error


def _print(trial: Trial, *, as_json: bool) -> None:
    # A terminal that knows fewer characters gets escapes, not a second failure.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper here
    if as_json:
        from coachman.supervisor.trial.trial_json import trial_json

        print(trial_json(trial))
    elif trial.failure is not None:
        from coachman.supervisor.failures.failure_text import full_text

        colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        print(f"coachman: {full_text(trial.failure, colour=colour)}", file=sys.stderr)
    else:
        from coachman.supervisor.trial.trial_text import trial_text

        print(trial_text(trial))
