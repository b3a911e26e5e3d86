"""Loading the application, and saying what is wrong where that fails."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, TypeAlias

from coachman.errors import ApplicationError

Application: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]

_OWN_FOLDER = os.path.dirname(__file__)


def load_application(*, root: str, file: str | None, module: str | None, attribute: str) -> Application:
    """Import `file` or, where that is None, `module`, and return the callable that it has as `attribute`.

    `root` becomes the first entry of `sys.path`. Raises `ApplicationError` where there is no such callable;
    whatever the application's own code raises passes through.
    """
    sys.path.insert(0, root)
    source = file or module
    loaded = _load_file(file) if file is not None else importlib.import_module(module or "")
    application = loaded
    for name in attribute.split("."):
        try:
            application = getattr(application, name)
        except AttributeError:
            raise ApplicationError(_missing(source, attribute, loaded)) from None
    if not callable(application):
        raise ApplicationError(
            f"{attribute!r} in {source} is not callable: it is of the type {type(application).__name__}"
        )
    return application


def describe_load_failure(error: BaseException) -> str:
    """Return what to tell the person whose application could not be loaded: the cause, then the traceback."""
    if isinstance(error, ApplicationError):
        return f"the application could not be loaded: {error}"
    cause = traceback.format_exception_only(error)[-1].strip()
    error = error.with_traceback(_application_frames(error))
    frames = "".join(traceback.format_exception(error)).rstrip()
    return f"the application could not be loaded: {cause}\n\n{frames}"


def _load_file(file: str) -> ModuleType:
    """Import a file under its own name, whatever else of that name could be imported."""
    name = os.path.splitext(os.path.basename(file))[0]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ApplicationError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _missing(source: str | None, attribute: str, module: ModuleType) -> str:
    candidates = sorted(
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and name in ("app", "application", "create_app", "wsgi")
    )
    what = f"{source} has no {attribute!r}"
    if candidates:
        names = " and ".join(map(repr, candidates))
        return f"{what}; it has {names}: serve {source}:{candidates[0]}, for example"
    return what


def _application_frames(error: BaseException) -> Any:
    """Return the traceback without the wrapper's and the import system's frames at its top."""
    frames = error.__traceback__
    while frames is not None:
        filename = frames.tb_frame.f_code.co_filename
        if not filename.startswith((_OWN_FOLDER, "<frozen importlib")) and filename != importlib.__file__:
            break
        frames = frames.tb_next
    return frames
