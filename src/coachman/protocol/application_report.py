"""What a wrapper tells of an application that could not be loaded: a value, as JSON on the control channel.

Every field has a default: an older or a newer wrapper, or one in another language, may tell less or more.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

SIZE_LIMIT: Final = 1024 * 1024
"""Bytes of a report; what is larger is not sent."""


class VirtualEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual environment that lies near the application and is not the one in use."""

    folder: str
    python: str
    """Its interpreter."""
    coachman: str | None = None
    """Its `coachman` command, where it has one."""


class ApplicationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The error, as the interpreter saw it, and where it happened.

    Without an error it is what the process was started with, of one that could tell nothing.
    """

    cause: str = ""
    """The last lines of the traceback: the error's type and message."""
    error: str = ""
    """The names of the error's type and of its bases, the nearest first, separated by spaces."""
    message: str = ""
    errno: int | None = None
    missing_module: str | None = None
    """The module that was not found, or that has not what was to be imported from it."""
    module_file: str | None = None
    """Where that module, or the package that should have it, was loaded from."""
    found_in: str | None = None
    """The folder near the application in which the missing module lies."""
    file: str | None = None
    line: int | None = None
    """The innermost place in the application's own code."""
    traceback: str = ""
    """Without the wrapper's own frames; "" where it would say nothing more than the cause."""
    root: str = ""
    """The application's folder."""
    interpreter: str = ""
    version: str = ""
    path: tuple[str, ...] = ()
    """`sys.path` as it was when the error occurred."""
    environment: dict[str, str] = {}
    """Secrets masked."""
    packages: tuple[tuple[str, str], ...] = ()
    """What is installed: names and versions."""
    packages_complete: bool = True
    """False where looking took too long."""
    virtual_environments: tuple[VirtualEnvironment, ...] = ()
    """Those in which the missing module is installed."""


def encode_report(report: ApplicationReport) -> bytes:
    """Return the JSON for the wire, within `SIZE_LIMIT`: what is least telling goes first."""
    lighter: dict[str, Any]
    for lighter in ({}, {"packages": (), "packages_complete": False}, {"environment": {}, "path": ()}):
        report = msgspec.structs.replace(report, **lighter)
        data = msgspec.json.encode(report)
        if len(data) <= SIZE_LIMIT:
            return data
    keep = SIZE_LIMIT // 8
    short = ApplicationReport(
        cause=report.cause[:keep], error=report.error[:keep], traceback=report.traceback[-keep:]
    )
    return msgspec.json.encode(short)


def decode_report(data: bytes) -> ApplicationReport:
    """Read a report; raise ValueError where it is none."""
    try:
        return msgspec.json.decode(data, type=ApplicationReport)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the report is not readable: {error}") from None
