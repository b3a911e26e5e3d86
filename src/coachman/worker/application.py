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


def load_hooks(names: str) -> list[Callable[[], object]]:
    """Import the functions that `names` lists, as ``module:function`` with commas between; "" lists nothing.

    The application has been loaded before, so its folder is where modules are looked for. Raises
    `ApplicationError` where there is no such function; what the code of its module raises passes through.
    """
    return [_load_hook(name) for name in names.split(",") if name]


def _load_hook(name: str) -> Callable[[], object]:
    module, _, attribute = name.partition(":")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise ApplicationError(f"the hook {name} cannot be found: {error.msg}") from None
        raise
    return _callable_in(loaded, attribute, module, missing=f"the hook {name} cannot be found")


def _callable_in(
    loaded: ModuleType, attribute: str, source: str | None, missing: str = ""
) -> Callable[..., Any]:
    found: Any = loaded
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            what = f"{source} has no {attribute!r}"
            what = f"{missing}: {what}" if missing else what + _proposal(source, loaded)
            raise ApplicationError(what) from None
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


def _proposal(source: str | None, module: ModuleType) -> str:
    candidates = sorted(
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and name in ("app", "application", "create_app", "wsgi")
    )
    if not candidates:
        return ""
    names = " and ".join(map(repr, candidates))
    return f"; it has {names}: serve {source}:{candidates[0]}, for example"
