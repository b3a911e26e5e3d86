"""From settings to the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig, SupervisorConfig
from coachman.config.setting import Setting
from coachman.config.settings import APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.config.values import usual_process_count

Model = TypeVar("Model", bound=msgspec.Struct)


def application_config(location: ApplicationLocation, given: Mapping[str, Any]) -> ApplicationConfig:
    """Return the configuration of an application, from parsed values by key; the rest is as usual."""
    given = {"processes": usual_process_count(), **given}
    return _with_values(ApplicationConfig(location=location), APPLICATION_SETTINGS, given)


def supervisor_config(
    applications: tuple[ApplicationConfig, ...], given: Mapping[str, Any]
) -> SupervisorConfig:
    """Return the configuration of the supervisor, from parsed values by key; the rest is as usual."""
    return _with_values(SupervisorConfig(applications=applications), SUPERVISOR_SETTINGS, given)


def default_of(setting: Setting) -> Any:
    """Return what holds where a setting is not given."""
    usual = ApplicationConfig(location=ApplicationLocation(root=Path()))
    found: Any = SupervisorConfig(applications=()) if setting in SUPERVISOR_SETTINGS else usual
    for name in setting.target.split("."):
        found = getattr(found, name)
    return found


def _with_values(model: Model, settings: tuple[Setting, ...], given: Mapping[str, Any]) -> Model:
    for setting in settings:
        if setting.key in given:
            model = _replaced(model, setting.target.split("."), given[setting.key])
    return model


def _replaced(model: Model, path: list[str], value: Any) -> Model:
    name, *rest = path
    if rest:
        value = _replaced(getattr(model, name), rest, value)
    return msgspec.structs.replace(model, **{name: value})
