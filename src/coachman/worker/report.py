"""Everything about an application that could not be loaded, collected only then.

Its error is reported in its own process, after its code has had its way with that: expect anything.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from coachman.protocol.application_report import (
    ApplicationReport,
    VirtualEnvironment,
    encode_report,
)
from coachman.protocol.masking import masked
from coachman.protocol.text import sendable
from coachman.worker.load_failure import cause_of, innermost_place, message_of, traceback_of, type_name
from coachman.worker.neighbourhood import folder_with, virtual_environments_with

PACKAGES_SECONDS = 1.0
"""How long the installed packages are looked at."""
PACKAGES = 2000
TEXT_LIMIT = 200_000
"""Characters of a traceback, or of a message, that are kept: its beginning and its end."""


def collect_report(error: BaseException, *, root: str, path: list[str]) -> bytes:
    """Return the report for the wire; `path` is `sys.path` as the application had it."""
    missing = _missing_module(error)
    found_in, environments = _look_around(missing, root) if missing else (None, ())
    place = innermost_place(error)
    return encode_report(
        replace(
            surroundings(root=root, path=path, environment=os.environ),
            cause=_short(cause_of(error)),
            error=" ".join(_type_names(error)),
            message=_short(message_of(error)),
            errno=error.errno if isinstance(error, OSError) else None,
            missing_module=missing,
            module_file=_module_file(error, missing),
            found_in=found_in,
            file=sendable(place[0]) if place else None,
            line=place[1] if place else None,
            traceback=_short(traceback_of(error)),
            virtual_environments=environments,
        )
    )


def surroundings(*, root: str, path: Iterable[str], environment: Mapping[str, str]) -> ApplicationReport:
    """Return what there is around an application that this interpreter runs: a report without an error."""
    packages, complete = installed_packages()
    return ApplicationReport(
        root=sendable(root),
        interpreter=sendable(sys.executable or ""),
        version=".".join(map(str, sys.version_info[:3])),
        path=tuple(sendable(str(entry)) for entry in path),
        environment={sendable(k): sendable(v) for k, v in masked(environment).items()},
        packages=packages,
        packages_complete=complete,
    )


def installed_packages() -> tuple[tuple[tuple[str, str], ...], bool]:
    """Return names and versions, sorted, and whether there was time for all."""
    from importlib import metadata

    deadline = time.monotonic() + PACKAGES_SECONDS
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        if time.monotonic() > deadline or len(found) >= PACKAGES:
            return tuple(sorted(found.items())), False
        try:
            name, version = distribution.metadata["Name"], distribution.version
        except (OSError, KeyError, ValueError):  # a broken installation; it may be the cause, and is not ours
            continue
        if name:
            found.setdefault(sendable(str(name)), sendable(str(version)))
    return tuple(sorted(found.items())), True


def _type_names(error: BaseException) -> Iterator[str]:
    for kind in type(error).__mro__:
        if kind is object:
            break
        yield type_name(kind)


def _missing_module(error: BaseException) -> str | None:
    """Return the module that an import asked for in vain, or in which a name is missing."""
    return sendable(error.name) if isinstance(error, ImportError) and error.name else None


def _module_file(error: BaseException, missing: str | None) -> str | None:
    path = getattr(error, "path", None) if isinstance(error, ImportError) else None
    if path is None and missing is not None and "." in missing:
        path = getattr(sys.modules.get(missing.rpartition(".")[0]), "__file__", None)
    return sendable(path) if isinstance(path, str) else None


def _look_around(module: str, root: str) -> tuple[str | None, tuple[VirtualEnvironment, ...]]:
    try:
        return folder_with(module, root), virtual_environments_with(module, root)
    except OSError:  # a folder that may not be read: then nothing is known of it
        return None, ()


def _short(text: str) -> str:
    text = sendable(text)
    if len(text) <= TEXT_LIMIT:
        return text
    half = TEXT_LIMIT // 2
    return f"{text[:half]}\n[{len(text) - TEXT_LIMIT} characters left out here]\n{text[-half:]}"
