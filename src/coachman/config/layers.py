"""What was given where: values with their origins, in layers of which the upper win over the lower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from coachman.config.building import default_of
from coachman.config.config_file import ConfigFile
from coachman.config.nearest import nearest
from coachman.config.setting import Setting
from coachman.config.settings import SUPERVISOR_SETTINGS
from coachman.config.values import usual_process_count
from coachman.errors import ConfigurationError

DEFAULT: Final = "default"
NAME: Final = "name"


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it comes from."""

    value: Any
    origins: tuple[str, ...]
    """``--bind``, ``COACHMAN_BIND``, ``FILE:LINE`` or ``default``; several where tables were joined."""


Layer: TypeAlias = Mapping[str, Found]
"""By key of the setting."""


def defaults(settings: Iterable[Setting]) -> Layer:
    """Return what holds where nothing is given."""
    layer = {setting.key: Found(default_of(setting), (DEFAULT,)) for setting in settings}
    if "processes" in layer:
        layer["processes"] = Found(usual_process_count(), (DEFAULT,))
    return layer


def from_file(file: ConfigFile, table: tuple[str, ...], settings: Iterable[Setting]) -> Layer:
    """Return what a table of the file says of these settings; `ConfigurationError` where it is wrong."""
    values: Any = file.table
    for name in table:
        values = values[name]
    layer = {}
    for setting in settings:
        if setting.key in values:
            place = (*table, setting.key)
            try:
                value = setting.parse(values[setting.key], file.folder)
            except ConfigurationError as error:
                raise file.error(f"{setting.key}: {error}", *place) from None
            layer[setting.key] = Found(value, (file.place(*place),))
    return layer


def from_environment(variables: Mapping[str, str], settings: Iterable[Setting], folder: Path) -> Layer:
    """Return what ``COACHMAN_...`` variables say; an empty one says nothing."""
    layer = {}
    for setting in settings:
        if raw := variables.get(setting.variable):
            try:
                value = setting.parse(raw, folder)
            except ConfigurationError as error:
                raise ConfigurationError(f"{setting.variable}: {error}") from None
            layer[setting.key] = Found(value, (setting.variable,))
    return layer


def from_options(values: Mapping[str, Any], settings: Iterable[Setting]) -> Layer:
    """Return what the command line says, where the values have been read already."""
    return {s.key: Found(values[s.key], (s.option,)) for s in settings if s.key in values}


def joined(*layers: Layer) -> dict[str, Found]:
    """Lay each layer over those before it. Tables (`env`, `static`) are joined, all else is replaced."""
    result: dict[str, Found] = {}
    for layer in layers:
        for key, found in layer.items():
            below = result.get(key)
            if below is not None and below.value and isinstance(found.value, dict):
                found = Found({**below.value, **found.value}, below.origins + found.origins)
            result[key] = found
    return result


def refuse_unknown(file: ConfigFile, table: tuple[str, ...], known: Iterable[str]) -> None:
    """Raise `ConfigurationError` for the first key of a table that is none of `known`."""
    values: Any = file.table
    for name in table:
        values = values[name]
    known = list(known)
    for key in values:
        if key not in known:
            raise file.error(f"there is no setting {key!r} here{_hint(key, table, known)}", *table, key)


def _hint(key: str, table: tuple[str, ...], known: list[str]) -> str:
    if table and any(key == setting.key for setting in SUPERVISOR_SETTINGS):
        return "; it is for the supervisor: put it at the top of the file"
    if table and key == NAME:
        return "; the application is called as its table is"
    return nearest(key, known)
