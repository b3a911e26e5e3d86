"""Failures as values, made up for tests."""

from __future__ import annotations

from typing import Any

from coachman.protocol.application_report import ApplicationReport
from coachman.protocol.journey import Journey, Step
from coachman.supervisor.failures.failure import FailureKind, StartFailure

TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/srv/app/wsgi.py", line 3, in <module>\n    import this_one\n'
    "ModuleNotFoundError: No module named 'this_one'"
)


def report(
    error: str = "ModuleNotFoundError ImportError Exception BaseException", **fields: Any
) -> ApplicationReport:
    """Return what the wrapper would tell of an error of this type, with the fields that a test is about."""
    message = fields.setdefault("message", "No module named 'this_one'")
    told = {
        "cause": f"{error.split()[0]}: {message}",
        "error": error,
        "file": "/srv/app/wsgi.py",
        "line": 3,
        "traceback": TRACEBACK,
        "root": "/srv/app",
        "interpreter": "/usr/bin/python3",
        "version": "3.11.7",
        "path": ("/srv/app", "/usr/lib/python3.11"),
        "environment": {"HOME": "/root", "SECRET_KEY": "********"},
        "packages": (("Django", "5.2"), ("click", "8.1")),
    }
    return ApplicationReport(**{**told, **fields})


def failure(kind: FailureKind = FailureKind.REFUSED, **fields: Any) -> StartFailure:
    """Return a failure of this kind after half a second of loading."""
    journey = (
        Journey.begin(0.0).enter(Step.EXEC, 0.001).enter(Step.HANDSHAKE, 0.1).enter(Step.LOAD, 0.1).end(0.6)
    )
    return StartFailure(
        **{
            "kind": kind,
            "pid": 4711,
            "reason": "",
            "journey": journey,
            "application": "/srv/app/wsgi.py:app",
            **fields,
        }
    )
