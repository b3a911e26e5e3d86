"""Loading the application."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType

from coachman.errors import ApplicationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

Application: TypeAlias = "Callable[[dict[str, Any], Any], Iterable[bytes]]"


def load_application(*, root: str, file: str | None, module: str | None, attribute: str) -> Application:
    """Import `file` or, where that is None, `module`, and return the callable that it has as `attribute`.

    `root` becomes the first entry of `sys.path`. Raises `ApplicationError` where there is no such callable;
    whatever the application's own code raises passes through.
    """
    sys.path.insert(0, root)
    loaded = _load_file(file) if file is not None else importlib.import_module(module or "")
    return _callable_in(loaded, attribute, file or module)


def load_functions(names: str) -> list[Callable[[], object]]:
    """Import what `names` lists, as ``module:function`` with commas between; "" lists nothing.

    The application has been loaded before, so its folder is where modules are looked for. Raises as
    `load_application` does.
    """
    functions = []
    for name in filter(None, names.split(",")):
        module, _, attribute = name.partition(":")
        functions.append(_callable_in(importlib.import_module(module), attribute, module))
    return functions


def _callable_in(loaded: ModuleType, attribute: str, source: str | None) -> Callable[..., Any]:
    found: Any = loaded
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ApplicationError(_missing(source, attribute, loaded)) from None
    if not callable(found):
        raise ApplicationError(
            f"{attribute!r} in {source} is not callable: it is of the type {type(found).__name__}"
        )
    function: Callable[..., Any] = found
    return function


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
