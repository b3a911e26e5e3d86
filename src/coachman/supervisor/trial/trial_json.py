"""A trial as JSON, for programs: one object, whose keys stay as they are; new ones may come."""

from __future__ import annotations

import msgspec

from coachman.protocol.text import sendable
from coachman.supervisor.failures.advice import advice
from coachman.supervisor.failures.failure import StartFailure
from coachman.supervisor.trial.trial import Trial


def trial_json(trial: Trial) -> str:
    """Return the object, in one line."""
    journey = trial.journey if trial.failure is None else trial.failure.journey or trial.journey
    told = {
        "application": sendable(trial.application),
        "ready": trial.failure is None,
        "pid": trial.pid,
        "interface": None if trial.interface is None else trial.interface[0],
        "seconds": journey.seconds,
        "journey": [{"step": s.step.value, "seconds": s.seconds} for s in journey.stages()],
        "imports": [vars(package) for package in trial.imports],
        "printed": [{"stream": line.stream, "text": sendable(line.text)} for line in trial.printed],
        "failure": None if trial.failure is None else failure_object(trial.failure),
    }
    return msgspec.json.encode(told).decode()


def failure_object(failure: StartFailure) -> dict[str, object]:
    """Return a failure as what JSON can carry."""
    ending = failure.ending
    number = None if ending is None else ending.signal
    return {
        "kind": failure.kind.name.lower(),
        "headline": sendable(failure.headline),
        "advice": sendable(advice(failure)),
        "message": sendable(failure.message),
        "step": None if failure.journey is None else failure.journey.step.value,
        "exit_status": None if ending is None else ending.status,
        "signal": None if number is None else int(number),
        "stacks": sendable(failure.stacks),
        "report": failure.report,
    }
