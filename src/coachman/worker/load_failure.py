"""What to tell the person whose application could not be loaded, in words."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Iterator

from coachman import hooks
from coachman.errors import ApplicationError
from coachman.policy.own_code import first_to_look_at

OWN_FOLDER = os.path.dirname(__file__) + os.sep


def describe_load_failure(error: BaseException) -> str:
    """Return the cause, then the traceback where there is one to show."""
    told = traceback_of(error)
    text = f"the application could not be loaded: {cause_of(error)}"
    return f"{text}\n\n{told}" if told else text


def cause_of(error: BaseException) -> str:
    """Return the type and the message; of our own error the message alone."""
    message = message_of(error)
    if isinstance(error, ApplicationError):
        return message
    name = type_name(type(error))
    return f"{name}: {message}" if message else name


def traceback_of(error: BaseException) -> str:
    """Return the traceback without the wrapper's own frames, or "" where only those would be in it."""
    if isinstance(error, ApplicationError):
        return ""
    shown = traceback.TracebackException.from_exception(error)
    for link in _chain(shown):
        frames = traceback.StackSummary.from_list(_application_frames(link.stack))
        link.stack = frames or None  # type: ignore[assignment]  # None: it is written without a header
    text = "".join(shown.format()).rstrip()
    return "" if text == cause_of(error) else text


def innermost_place(error: BaseException) -> tuple[str, int] | None:
    """Return file and line of the innermost of the application's own frames, or of what is no Python.

    The frames of libraries that it called count only where there are no others.
    """
    if isinstance(error, SyntaxError) and error.filename is not None and error.lineno is not None:
        return error.filename, error.lineno
    frames = _application_frames(traceback.extract_tb(error.__traceback__))[::-1]
    found = first_to_look_at([frame.filename for frame in frames])
    return None if found is None else (frames[found].filename, frames[found].lineno or 0)


def message_of(error: BaseException) -> str:
    """Return what the error says of itself, whatever its own code does when it is asked."""
    if isinstance(error, SyntaxError):
        return error.msg
    try:
        return str(error)
    except Exception as broken:  # the application's own code
        return f"<its __str__ failed with {type(broken).__name__}>"


def type_name(kind: type[BaseException]) -> str:
    """Return the name as a traceback has it."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _chain(error: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Iterate over an error and every other that is shown with it."""
    waiting = [error]
    while waiting:
        error = waiting.pop()
        yield error
        waiting += [link for link in (error.__cause__, error.__context__) if link is not None]
        waiting += getattr(error, "exceptions", None) or []


def _application_frames(stack: traceback.StackSummary | None) -> list[traceback.FrameSummary]:
    """Return the frames without the wrapper's, and without those of the import system that it called."""
    frames = list(stack or [])
    while frames and (_is_own(frames[0]) or _is_import_system(frames[0])):
        del frames[0]
    return [frame for frame in frames if not _is_own(frame)]


def _is_own(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(OWN_FOLDER) or frame.filename == hooks.__file__


def _is_import_system(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith("<frozen importlib") or frame.filename == importlib.__file__
