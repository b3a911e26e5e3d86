"""Running the application's own code during a start, and telling everything about it where that fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from coachman.errors import CoachmanError
from coachman.protocol.text import sendable
from coachman.worker.reporter import Reporter
from coachman.worker.wrapper import Wrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")


class StartReported(CoachmanError):
    """The start has failed, and the supervisor knows it already."""


def explained(call: Callable[[], T], *, wrapper: Wrapper, reporter: Reporter, root: str) -> T:
    """Return what `call` returns; whatever it raises is reported, and `StartReported` is raised instead."""
    path = list(sys.path)
    try:
        return call()
    except BaseException as error:  # the application's own code, which may also raise SystemExit
        reporter.raised()
        _report(error, wrapper, reporter, root=root, path=path)
        raise StartReported(f"reported: {type(error).__name__}") from None


def _report(
    error: BaseException, wrapper: Wrapper, reporter: Reporter, *, root: str, path: list[str]
) -> None:
    # What is imported from here on must not be looked for in the application's folders: `path` is older.
    sys.path, applications_path = [entry for entry in path if entry != root], sys.path
    # What the application leaves behind can break anything, also what is done here.
    try:
        from coachman.worker.report import collect_report

        reporter.report(collect_report(error, root=root, path=[str(entry) for entry in applications_path]))
    except Exception as broken:
        os.write(2, f"coachman: no details of this failure, because of {broken!r}\n".encode(errors="replace"))
    try:
        from coachman.worker.load_failure import describe_load_failure

        text = describe_load_failure(error)
    except Exception:
        text = f"the application could not be loaded: {type(error).__name__}: {error}"
    wrapper.error(sendable(text))
